"""A policy as the compiler works with it: checked, defaults resolved, free of the API's models.

The one module of the compiler that reads `egress_operator.api`.
"""

from dataclasses import dataclass, field

from egress_operator.api.backend import Backend
from egress_operator.api.check import check_spec
from egress_operator.api.destination import Destination
from egress_operator.api.duration import parse_duration
from egress_operator.api.http import Http, Retries
from egress_operator.compiler.object import Owner
from egress_operator.compiler.source import PolicySource
from egress_operator.diagnostic import Diagnostic

EXTERNAL = "External"
HTTP_LIKE = frozenset({"HTTP", "HTTP2", "GRPC"})
OPAQUE_TLS = "TLS"

_SECOND = 1000


@dataclass(frozen=True, slots=True)
class RetryIntent:
    """Retries of an HTTP port. `attempts` 0 turns them off; an empty text means Istio's default."""

    attempts: int
    per_try_timeout: str
    conditions: tuple[str, ...]
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HttpIntent:
    """What the proxy does with the requests of a port. An empty `timeout` means none."""

    timeout: str
    retries: RetryIntent | None


@dataclass(frozen=True, slots=True)
class PortIntent:
    """What a policy asks for one port of a host. `target` is the destination's own port."""

    number: int
    protocol: str
    """As Istio spells it; HTTPS is TLS."""
    target: int
    http: HttpIntent | None


@dataclass(frozen=True, slots=True)
class EndpointIntent:
    """Where a host really is: an IP address or a name."""

    address: str
    locality: str = ""
    service_account: str = ""
    path: str = field(default="", compare=False)
    """Its place in the destination, such as `backends[0].endpoints[1]`."""


@dataclass(frozen=True, slots=True)
class HostIntent:
    """What a policy asks for a host as a whole, for all of its ports."""

    addresses: tuple[str, ...]
    """What clients dial, sorted."""
    endpoints: tuple[EndpointIntent, ...]
    """Of the backends, in their order; empty: the host's own DNS name or its addresses."""
    location: str
    """`External` or `Internal`."""


@dataclass(frozen=True, slots=True)
class DestinationIntent:
    """One destination. Without hosts its addresses are allowed as they are dialled."""

    index: int
    """Its place in the policy, from 0."""
    name: str
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    """In the order of the policy; `settings` has them sorted."""
    settings: HostIntent
    ports: tuple[PortIntent, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """All that a valid policy asks for."""

    owner: Owner
    destinations: tuple[DestinationIntent, ...]


def parse_intent(source: PolicySource) -> tuple[Intent | None, tuple[Diagnostic, ...]]:
    """Check the shape of a policy and resolve its defaults. Pure.

    The intent is None when the policy has a shape error; the diagnostics say which.
    """
    spec, diagnostics = check_spec(source.spec)
    if spec is None:
        return None, diagnostics
    destinations = tuple(
        _build_destination(index, destination)
        for index, destination in enumerate(spec.destinations)
    )
    return Intent(Owner(source.name, source.uid), destinations), diagnostics


def _build_destination(index: int, destination: Destination) -> DestinationIntent:
    http = None if destination.http is None else _build_http(destination.http)
    return DestinationIntent(
        index=index,
        name=destination.name or "",
        hosts=destination.hosts,
        addresses=destination.addresses,
        settings=HostIntent(
            addresses=tuple(sorted(destination.addresses)),
            endpoints=_build_endpoints(destination.backends),
            location=str(destination.location or EXTERNAL),
        ),
        ports=tuple(
            PortIntent(
                number=port.number,
                protocol=OPAQUE_TLS if port.protocol == "HTTPS" else str(port.protocol),
                target=port.target_port or port.number,
                http=http,
            )
            for port in destination.resolve_ports()
        ),
    )


def _build_endpoints(backends: tuple[Backend, ...]) -> tuple[EndpointIntent, ...]:
    return tuple(
        EndpointIntent(
            endpoint.address,
            endpoint.locality or "",
            endpoint.service_account or "",
            f"backends[{index}].endpoints[{number}]",
        )
        for index, backend in enumerate(backends)
        for number, endpoint in enumerate(backend.endpoints)
    )


def _build_http(http: Http) -> HttpIntent | None:
    """None when nothing is asked for: then Istio's own route is as good."""
    if http.timeout is None and http.retries is None:
        return None
    retries = None if http.retries is None else _build_retries(http.retries)
    return HttpIntent(_normalise_duration(http.timeout), retries)


def _build_retries(retries: Retries) -> RetryIntent:
    return RetryIntent(
        attempts=retries.attempts,
        per_try_timeout=_normalise_duration(retries.per_try_timeout),
        conditions=tuple(str(condition) for condition in retries.conditions),
        codes=tuple(retries.codes),
    )


def _normalise_duration(text: str | None) -> str:
    """One spelling for each length, in seconds (`90s` for `1m30s`, `0.5s` for `500ms`).

    Equal settings must not differ, and this form is both Go's and protobuf's.
    """
    if text is None:
        return ""
    milliseconds = parse_duration(text) or 0
    seconds, rest = divmod(milliseconds, _SECOND)
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    return f"{seconds}{fraction}s"
