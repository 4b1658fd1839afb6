"""What a policy asks for and cannot have an effect, or not the one that is meant: a warning."""

from collections.abc import Iterator

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.traffic import HostIntent
from egress_operator.plan.intent import DestinationIntent

MIRROR_OF_ALL = "EG066"
METHOD_OF_GRPC = "EG067"

_GRPC = "GRPC"
_POST = "POST"
"""The method of every call of gRPC."""


def check_mirror(destination: DestinationIntent) -> Iterator[Diagnostic]:
    """Find copies for a backend that gets every request anyway. Pure."""
    mirrors = {
        port.http.mirror.backend: None
        for port in destination.ports
        if port.http is not None and port.http.mirror is not None
    }
    for name in mirrors:
        if _find_only(destination.settings) == name:
            yield build_diagnostic(
                MIRROR_OF_ALL,
                f"spec.destinations[{destination.index}].http.mirror.backend",
                f"backend {name} gets all requests already, so it would get each of them twice",
            )


def _find_only(settings: HostIntent) -> str:
    """Return the backend that gets all requests while it answers, empty when several share them."""
    if settings.failover:
        return settings.backends[0].name
    used = [backend.name for backend in settings.backends if backend.weight]
    return used[0] if len(used) == 1 else ""


def check_grpc_methods(destination: DestinationIntent) -> Iterator[Diagnostic]:
    """Find entries of `allow` on a GRPC port that no call of gRPC can match. Pure."""
    for port in destination.ports:
        allow = port.http.allow if port.http is not None and port.protocol == _GRPC else ()
        if any(entry.methods and _POST not in entry.methods for entry in allow):
            yield build_diagnostic(
                METHOD_OF_GRPC,
                f"spec.destinations[{destination.index}].http.allow",
                f"port {port.number} is GRPC, whose calls are all POST, and an entry has other "
                "methods alone",
            )
