"""Why a list or watch has to start again, and what follows from it. Pure."""

from collections.abc import Callable
from enum import StrEnum
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import JsonObject


class RestartReason(StrEnum):
    """A closed set: it is a metric's label."""

    EXPIRED = "expired"
    """410: the version, or the token of the next page, is too old."""
    ROLLBACK = "rollback"
    """The resource version went back: etcd was restored."""
    LOST = "lost"
    """Somebody else has seen an event that the watch does not bring."""
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    INACTIVE = "inactive"
    UNDECODABLE = "undecodable"
    ERROR_EVENT = "error_event"
    CLOSED = "closed"
    """A watch ended at once, without an event."""
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    OTHER = "other"


RestartHook = Callable[[Resource, RestartReason], None]
"""Called whenever a list or watch starts again, but for the orderly end of a watch."""

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: RestartReason.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: RestartReason.FORBIDDEN,
    HTTPStatus.NOT_FOUND: RestartReason.MISSING,
    HTTPStatus.GONE: RestartReason.EXPIRED,
    HTTPStatus.TOO_MANY_REQUESTS: RestartReason.THROTTLED,
}
_BY_REASON = {
    "ConnectionFailed": RestartReason.CONNECTION,
    "Timeout": RestartReason.TIMEOUT,
    "Undecodable": RestartReason.UNDECODABLE,
}
_IN_DOUBT = frozenset(
    {
        RestartReason.CONNECTION,
        RestartReason.TIMEOUT,
        RestartReason.INACTIVE,
        RestartReason.CLOSED,
        RestartReason.SERVER_ERROR,
    }
)


class Restart(Exception):  # noqa: N818 - control flow within the reflector, not an error
    """Leave the present list or watch."""

    def __init__(self, reason: RestartReason, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after = retry_after

    @property
    def needs_list(self) -> bool:
        """Whether the version is of no use any more."""
        return self.reason in {
            RestartReason.EXPIRED,
            RestartReason.ROLLBACK,
            RestartReason.LOST,
            RestartReason.MISSING,
        }

    @property
    def is_garbled(self) -> bool:
        """What came cannot be used; asking for the same again may bring the same."""
        return self.reason in {RestartReason.UNDECODABLE, RestartReason.ERROR_EVENT}

    @property
    def needs_probe(self) -> bool:
        """Whether the API server may have been restored from a backup meanwhile."""
        return self.reason in _IN_DOUBT


def build_restart(error: ApiError) -> Restart:
    """Say what a failed request means."""
    if error.status:
        reason = _BY_STATUS.get(HTTPStatus(error.status)) if _is_known(error.status) else None
        if reason is None:
            is_server = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            reason = RestartReason.SERVER_ERROR if is_server else RestartReason.OTHER
    else:
        reason = _BY_REASON.get(error.reason, RestartReason.OTHER)
    return Restart(reason, str(error), error.retry_after)


def parse_error_event(status: JsonObject) -> Restart:
    """Say what an ERROR event means: 410 as such, anything else under a reason of its own."""
    code, word = status.get("code"), status.get("reason")
    text = f"ERROR event {code} {word}"[:80]
    if code == HTTPStatus.GONE or word in {"Expired", "Gone"}:
        return Restart(RestartReason.EXPIRED, text)
    return Restart(RestartReason.ERROR_EVENT, text)


def _is_known(status: int) -> bool:
    return status in HTTPStatus._value2member_map_
