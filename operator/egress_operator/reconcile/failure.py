"""A failed attempt: its line in the log, and whether to try again when the API server is back."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.reconcile.writer import MissingKindError, StaleError

logger = logging.getLogger(__name__)

_AWAY = frozenset(
    {0, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.UNAUTHORIZED}
)


def may_resume(error: Exception) -> bool:
    """Whether the API server, the way to it, or a kind was away: no answer about this object."""
    if isinstance(error, ApiError):
        return error.status in _AWAY
    return isinstance(error, MissingKindError)


def is_away(error: BaseException) -> bool:
    """Whether any other write would have failed as well; unlike one that is answered too late."""
    if isinstance(error, ApiError):
        late = error.status == 0 and error.reason == "Timeout"
        return error.status in {*_AWAY, HTTPStatus.TOO_MANY_REQUESTS} and not late
    return isinstance(error, MissingKindError)


def log_failure(error: Exception, wait: float, fields: Mapping[str, str]) -> None:
    """Log a failed attempt that is repeated in `wait` seconds; a bug with its traceback."""
    if isinstance(error, StaleError):
        logger.debug("%s", error, extra=fields)
        return
    extra = {**fields, "result": "error", "reason": type(error).__name__}
    if isinstance(error, ApiError):
        extra["reason"] = error.reason
    expected = isinstance(error, ApiError) or type(error).__module__.startswith(
        "egress_operator.reconcile"
    )
    logger.log(
        logging.WARNING if expected else logging.ERROR,
        "%s; tried again in %.1f s",
        error,
        wait,
        extra=extra,
        exc_info=None if expected else error,
    )
