"""A failed attempt: its line in the log, and whether to try again when the API server is back."""

import logging
from collections.abc import Mapping
from enum import StrEnum

from egress_operator.engine.failure import ApiError
from egress_operator.reconcile.writer import MissingKindError, StaleError

logger = logging.getLogger(__name__)


class Cause(StrEnum):
    """What a failed attempt tells about other attempts."""

    AWAY = "away"
    """Nobody answered, or the kind is not served: all fail."""
    UNKNOWN = "unknown"
    """An answer, or one that did not come in time: a webhook's about this object, or an outage."""
    OWN = "own"
    """It is about this object."""


def find_cause(error: Exception) -> Cause:
    """Tell what else would fail as well. Pure."""
    if isinstance(error, MissingKindError):
        return Cause.AWAY
    if not isinstance(error, ApiError):
        return Cause.OWN
    is_late = error.status == 0 and error.reason == "Timeout"
    return Cause.UNKNOWN if error.status or is_late else Cause.AWAY


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
