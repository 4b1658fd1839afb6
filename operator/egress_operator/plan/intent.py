"""A policy as plans are made from it: checked, defaults resolved, free of the API's models.

The one module of the plan that reads `egress_operator.api`.
"""

import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from egress_operator.api import gateway as api
from egress_operator.api.backend import Backend
from egress_operator.api.check import check_gateway_spec, check_spec, read_selector
from egress_operator.api.destination import Destination
from egress_operator.api.duration import parse_duration
from egress_operator.api.http import Http, Retries
from egress_operator.api.selector import LabelSelector
from egress_operator.api.source import From
from egress_operator.api.tls import OriginateTLS
from egress_operator.diagnostic import Diagnostic
from egress_operator.istio.http import HttpIntent, RetryIntent
from egress_operator.istio.object import Owner
from egress_operator.istio.traffic import (
    EVERYONE,
    EXTERNAL,
    OPAQUE_TLS,
    EndpointIntent,
    FromIntent,
    HostIntent,
    Labels,
    PortIntent,
    TlsIntent,
)
from egress_operator.plan.selector import Requirement, Selector
from egress_operator.plan.source import GatewaySource, PolicySource

Authorization = api.Authorization

_SECOND = 1000
_SHARED = 1024
"""Values that are remembered: most destinations ask for the same ports and nothing else."""

T = TypeVar("T", bound=Hashable)


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
    tls: TlsIntent | None = None
    """Before the host is known: an empty `server_name` and no names mean the host."""


@dataclass(frozen=True, slots=True)
class Intent:
    """All that a valid policy asks for."""

    owner: Owner
    destinations: tuple[DestinationIntent, ...]
    gateway: str = ""
    """The EgressGateway; empty: direct."""
    source: FromIntent = EVERYONE


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one namespace may have at a gateway."""

    hosts: int = 500
    servers: int = 100


@dataclass(frozen=True, slots=True)
class GatewayIntent:
    """All that a valid EgressGateway says."""

    namespace: str
    selector: Labels
    service: str
    port: int
    authorization: Authorization
    tenants: Selector | None
    """The namespaces that may use it; None: no one."""
    traffic: Mapping[str, Any]
    """`connectionPool` and `outlierDetection` on the way to the gateway, as Istio spells them."""
    limits: Limits = Limits()
    """How much each namespace may have."""


def parse_intent(source: PolicySource) -> tuple[Intent | None, tuple[Diagnostic, ...]]:
    """Check the shape of a policy and resolve its defaults. Pure.

    The intent is None when the policy has a shape error; the diagnostics say which.
    """
    spec, diagnostics = check_spec(source.read_spec())
    if spec is None:
        return None, diagnostics
    destinations = tuple(
        _build_destination(index, destination)
        for index, destination in enumerate(spec.destinations)
    )
    return (
        Intent(
            Owner(source.name, source.uid),
            destinations,
            gateway="" if spec.gateway_ref is None else spec.gateway_ref.name,
            source=EVERYONE if spec.from_ is None else _build_source(spec.from_),
        ),
        diagnostics,
    )


def _share(value: T) -> T:
    """Return the first value that was equal, of those that are remembered."""
    shared: T = _remember(value)
    return shared


@lru_cache(_SHARED)
def _remember(value: Any) -> Any:  # noqa: ANN401 - `_share` has the types
    return value


def _build_source(source: From) -> FromIntent:
    labels = {} if source.workloads is None else source.workloads.match_labels
    return FromIntent(tuple(sorted(labels.items())), tuple(sorted(source.service_accounts)))


def _build_destination(index: int, destination: Destination) -> DestinationIntent:
    http = None if destination.http is None else _build_http(destination.http)
    return DestinationIntent(
        index=index,
        name=destination.name or "",
        hosts=tuple(map(sys.intern, destination.hosts)),
        addresses=destination.addresses,
        settings=_share(
            HostIntent(
                addresses=tuple(sorted(destination.addresses)),
                endpoints=_build_endpoints(destination.backends),
                location=str(destination.location or EXTERNAL),
            )
        ),
        ports=_share(
            tuple(
                PortIntent(
                    number=port.number,
                    protocol=OPAQUE_TLS if port.protocol == "HTTPS" else str(port.protocol),
                    target=port.target_port or port.number,
                    http=http,
                )
                for port in destination.resolve_ports()
            )
        ),
        tls=None if destination.originate_tls is None else _build_tls(destination.originate_tls),
    )


def _build_tls(tls: OriginateTLS) -> TlsIntent:
    files = tls.files
    ca, client = tls.ca_certificate_ref, tls.client_certificate_ref
    return TlsIntent(
        server_name=tls.server_name or "",
        names=tuple(sorted(tls.subject_alt_names)),
        ca=ca.name if ca else (files and files.ca) or "",
        certificate=client.name if client else (files and files.certificate) or "",
        key=(files and files.key) or "",
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
    retries = None if http.retries is None else _build_retries(http.retries)
    intent = HttpIntent(_normalise_duration(http.timeout), retries)
    return None if intent == HttpIntent() else intent


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


def parse_gateway(source: GatewaySource) -> tuple[GatewayIntent | None, tuple[Diagnostic, ...]]:
    """Check the shape of an EgressGateway. Pure. The intent is None when it has an error."""
    spec, diagnostics = check_gateway_spec(source.spec)
    if spec is None:
        return None, diagnostics
    intent = GatewayIntent(
        namespace=spec.namespace,
        selector=tuple(sorted(spec.selector.items())),
        service=spec.service.name,
        port=spec.service.port,
        authorization=spec.authorization,
        tenants=None if spec.namespaces is None else _build_selector(spec.namespaces),
        traffic={} if spec.traffic is None else _build_traffic(spec.traffic),
        limits=Limits() if spec.limits is None else _build_limits(spec.limits),
    )
    return intent, diagnostics


def parse_tenants(spec: object) -> tuple[Selector, ...] | None:
    """Read `namespaces` of an EgressGateway alone, whatever the rest of its spec is. Pure.

    Namespaces are selected by any of the result: none when the field is left out. None: the field
    cannot be read.
    """
    if not isinstance(spec, Mapping):
        return None
    if (tenants := spec.get("namespaces")) is None:
        return ()
    selector = read_selector(tenants)
    return None if selector is None else (_build_selector(selector),)


def _build_limits(limits: api.GatewayLimits) -> Limits:
    given = {"hosts": limits.hosts, "servers": limits.servers}
    return Limits(**{name: value for name, value in given.items() if value is not None})


def _build_selector(selector: LabelSelector) -> Selector:
    wanted = [Requirement(key, "In", (value,)) for key, value in selector.match_labels.items()]
    wanted += [
        Requirement(entry.key, str(entry.operator), tuple(entry.values))
        for entry in selector.match_expressions
    ]
    return Selector(tuple(wanted))


def _build_traffic(traffic: api.GatewayTraffic) -> dict[str, Any]:
    """Sort the settings as Istio has them; `maxPendingRequests` limits HTTP/1 and HTTP/2 alike."""
    pool, outliers = traffic.connection_pool, traffic.outlier_detection
    built: dict[str, Any] = {}
    if pool is not None:
        keepalive = pool.tcp_keepalive
        tcp = _drop_absent(
            maxConnections=pool.max_connections,
            connectTimeout=_normalise_duration(pool.connect_timeout),
            idleTimeout=_normalise_duration(pool.idle_timeout),
            maxConnectionDuration=_normalise_duration(pool.max_connection_duration),
            tcpKeepalive=keepalive
            and _drop_absent(
                time=_normalise_duration(keepalive.time),
                interval=_normalise_duration(keepalive.interval),
                probes=keepalive.probes,
            ),
        )
        http = _drop_absent(
            http1MaxPendingRequests=pool.max_pending_requests,
            maxRequestsPerConnection=pool.max_requests_per_connection,
            idleTimeout=_normalise_duration(pool.idle_timeout),
        )
        built["connectionPool"] = _drop_absent(tcp=tcp, http=http)
    if outliers is not None:
        built["outlierDetection"] = _drop_absent(
            consecutive5xxErrors=outliers.consecutive_5xx_errors,
            interval=_normalise_duration(outliers.interval),
            baseEjectionTime=_normalise_duration(outliers.base_ejection_time),
            maxEjectionPercent=outliers.max_ejection_percent,
        )
    return built


def _drop_absent(**values: object) -> dict[str, Any]:
    """Leave out what is not asked for; 0 is asked for."""
    return {name: value for name, value in values.items() if value not in (None, "", {})}
