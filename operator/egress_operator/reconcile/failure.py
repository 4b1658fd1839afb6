"""A failed attempt: its line in the log, and whether to try again when the API server is back."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.reconcile.writer import MissingKindError, StaleError

logger = logging.getLogger(__name__)

_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.UNAUTHORIZED})


def is_away(error: BaseException) -> bool:
    """Whether nobody answered, or a kind is not served: no word about this object."""
    if isinstance(error, ApiError):
        return error.status == 0
    return isinstance(error, MissingKindError)


def is_late(error: BaseException) -> bool:
    """Whether the answer did not come in time: a webhook may hang for this object alone."""
    return isinstance(error, ApiError) and error.status == 0 and error.reason == "Timeout"


def may_pass(error: BaseException) -> bool:
    """Whether the answer may be about this object, or about the API server, or a webhook of all."""
    return isinstance(error, ApiError) and error.status != 0


def may_resume(error: BaseException) -> bool:
    """Whether the API server, the way to it, or a kind was away, as far as an answer tells."""
    return is_away(error) or (isinstance(error, ApiError) and error.status in _AWAY)


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
