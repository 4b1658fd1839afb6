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
from egress_operator.api.check import build_path, check_gateway_spec, check_spec, read_selector
from egress_operator.api.destination import Destination
from egress_operator.api.duration import parse_duration
from egress_operator.api.hint import explain_null
from egress_operator.api.http import Http, Retries
from egress_operator.api.moment import parse_moment
from egress_operator.api.request import AllowedRequest, Fault, HeaderChange, Mirror
from egress_operator.api.rule import NULL
from egress_operator.api.selector import LabelSelector
from egress_operator.api.source import From
from egress_operator.api.tls import OriginateTLS
from egress_operator.api.traffic import (
    ConnectionPool,
    LoadBalancer,
    OutlierDetection,
    TcpKeepalive,
    Traffic,
)
from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.http import (
    NO_HEADERS,
    AllowIntent,
    FaultIntent,
    HeaderIntent,
    HttpIntent,
    MirrorIntent,
    RetryIntent,
)
from egress_operator.istio.object import Owner
from egress_operator.istio.traffic import (
    EVERYONE,
    EXTERNAL,
    OPAQUE_TLS,
    BackendIntent,
    EndpointIntent,
    FromIntent,
    HostIntent,
    Labels,
    PortIntent,
    TlsIntent,
)
from egress_operator.istio.traffic_policy import (
    EVERY_ENDPOINT,
    NO_TRAFFIC,
    HashIntent,
    KeepaliveIntent,
    LoadBalancerIntent,
    OutlierIntent,
    PoolIntent,
    TrafficIntent,
)
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.life import Expiry
from egress_operator.plan.selector import Requirement, Selector
from egress_operator.plan.source import GatewaySource, Place, PolicySource

Authorization = api.Authorization
Wildcards = api.Wildcards

_SECOND = 1000
EVERY_REQUEST = 100
"""Percent."""
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

    @property
    def wildcard(self) -> str:
        """The first wildcard, empty when there is none."""
        hosts = (host for destination in self.destinations for host in destination.hosts)
        return next(filter(is_wildcard, hosts), "")

    @property
    def tls_wildcard(self) -> str:
        """The first wildcard with a port that is not HTTP, empty when there is none."""
        hosts = (
            host
            for destination in self.destinations
            if not all(port.is_http for port in destination.ports)
            for host in destination.hosts
        )
        return next(filter(is_wildcard, hosts), "")


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
    traffic: TrafficIntent
    """Settings of the connections to the gateway."""
    limits: Limits = Limits()
    """How much each namespace may have."""
    wildcards: Wildcards = Wildcards.DISABLED
    """What of wildcards may go through."""


def parse_intent(source: PolicySource) -> tuple[Intent | None, tuple[Diagnostic, ...]]:
    """Check the shape of a policy and resolve its defaults. Pure.

    The intent is None when the policy has a shape error; the diagnostics say which.
    """
    spec, diagnostics = check_spec(source.read_spec())
    diagnostics = (*diagnostics, *map(_refuse_null, source.nulls))
    if spec is None or source.nulls:
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


def _refuse_null(place: Place) -> Diagnostic:
    what = f"{explain_null(place).what} in what was applied, and kubectl apply left the key out"
    fix = "give it a value, or remove the key, and apply again"
    return build_diagnostic(NULL, build_path(("spec", *place)), what, fix)


def parse_expiry(source: PolicySource) -> Expiry | None:
    """Tell when a policy expires, whatever is wrong with the rest of it; None: never. Pure."""
    if not source.names_expiry:
        return None
    spec = source.read_spec()
    text = spec.get("expiresAt") if isinstance(spec, Mapping) else None
    moment = parse_moment(text) if isinstance(text, str) else None
    return None if moment is None else Expiry(moment, str(text))


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
                backends=_build_backends(destination),
                location=str(destination.location or EXTERNAL),
                traffic=(
                    NO_TRAFFIC
                    if destination.traffic is None
                    else _build_traffic(destination.traffic)
                ),
                failover=bool(destination.failover),
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


def _build_backends(destination: Destination) -> tuple[BackendIntent, ...]:
    """Build the backends. A single one shares nothing: its name and weight do not count."""
    one = len(destination.backends) == 1
    backends = tuple(
        BackendIntent(
            "" if one else backend.name,
            _build_endpoints(index, backend),
            0 if one else backend.weight or 0,
        )
        for index, backend in enumerate(destination.backends)
    )
    return backends if destination.failover else tuple(sorted(backends, key=lambda it: it.name))


def _build_endpoints(index: int, backend: Backend) -> tuple[EndpointIntent, ...]:
    return tuple(
        EndpointIntent(
            endpoint.address,
            endpoint.locality or "",
            endpoint.service_account or "",
            f"backends[{index}].endpoints[{number}]",
        )
        for number, endpoint in enumerate(backend.endpoints)
    )


def _build_http(http: Http) -> HttpIntent | None:
    """None when nothing is asked for: then Istio's own route is as good."""
    retries = None if http.retries is None else _build_retries(http.retries)
    headers, rewrite = http.headers, http.rewrite
    intent = HttpIntent(
        timeout=_normalise_duration(http.timeout),
        retries=retries,
        allow=tuple(sorted(map(_build_allow, http.allow))),
        request=_build_headers(headers.request if headers else None),
        response=_build_headers(headers.response if headers else None),
        host=(rewrite and rewrite.host) or "",
        path_prefix=(rewrite and rewrite.path_prefix) or "",
        fault=None if http.fault is None else _build_fault(http.fault),
        mirror=None if http.mirror is None else _build_mirror(http.mirror),
    )
    return None if intent == HttpIntent() else intent


def _build_allow(entry: AllowedRequest) -> AllowIntent:
    headers = tuple(sorted((header.name, header.value) for header in entry.headers))
    methods = tuple(sorted(str(method) for method in entry.methods))
    return AllowIntent(methods, tuple(sorted(entry.paths)), headers)


def _build_headers(change: HeaderChange | None) -> HeaderIntent:
    if change is None:
        return NO_HEADERS
    return HeaderIntent(
        set=tuple(sorted((entry.name, entry.value) for entry in change.set_)),
        add=tuple(sorted((entry.name, entry.value) for entry in change.add)),
        remove=tuple(sorted(change.remove)),
    )


def _build_mirror(mirror: Mirror) -> MirrorIntent:
    return MirrorIntent(mirror.backend, mirror.percentage or EVERY_REQUEST)


def _build_fault(fault: Fault) -> FaultIntent:
    delay, abort = fault.delay, fault.abort
    return FaultIntent(
        delay=_normalise_duration(delay.duration) if delay else "",
        delayed=(delay.percentage or EVERY_REQUEST) if delay else 0,
        abort=abort.status if abort else 0,
        aborted=(abort.percentage or EVERY_REQUEST) if abort else 0,
    )


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
        traffic=NO_TRAFFIC if spec.traffic is None else _build_traffic(spec.traffic),
        limits=Limits() if spec.limits is None else _build_limits(spec.limits),
        wildcards=spec.wildcards or Wildcards.DISABLED,
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


def _build_traffic(traffic: Traffic | api.GatewayTraffic) -> TrafficIntent:
    """Build the settings of a destination, or of the way to a gateway."""
    pool, outliers = traffic.connection_pool, traffic.outlier_detection
    balancer = traffic.load_balancer if isinstance(traffic, Traffic) else None
    return TrafficIntent(
        load_balancer=None if balancer is None else _build_balancer(balancer),
        connection_pool=None if pool is None else _build_pool(pool),
        outlier_detection=None if outliers is None else _build_outliers(outliers),
    )


def _build_balancer(balancer: LoadBalancer) -> LoadBalancerIntent:
    consistent = balancer.consistent_hash
    if consistent is None:
        return LoadBalancerIntent(policy=str(balancer.policy))
    cookie = consistent.cookie
    return LoadBalancerIntent(
        consistent_hash=HashIntent(
            header=consistent.header or "",
            cookie=cookie.name if cookie else "",
            cookie_ttl=_normalise_duration(cookie.ttl) if cookie else "",
            is_by_source=consistent.source_ip is not None,
        )
    )


def _build_pool(pool: ConnectionPool) -> PoolIntent:
    keepalive = pool.tcp_keepalive
    return PoolIntent(
        max_connections=pool.max_connections,
        connect_timeout=_normalise_duration(pool.connect_timeout),
        idle_timeout=_normalise_duration(pool.idle_timeout),
        max_connection_duration=_normalise_duration(pool.max_connection_duration),
        max_pending_requests=pool.max_pending_requests,
        max_requests_per_connection=pool.max_requests_per_connection,
        tcp_keepalive=None if keepalive is None else _build_keepalive(keepalive),
    )


def _build_keepalive(keepalive: TcpKeepalive) -> KeepaliveIntent:
    return KeepaliveIntent(
        time=_normalise_duration(keepalive.time),
        interval=_normalise_duration(keepalive.interval),
        probes=keepalive.probes,
    )


def _build_outliers(outliers: OutlierDetection) -> OutlierIntent:
    return OutlierIntent(
        consecutive_5xx_errors=outliers.consecutive_5xx_errors,
        interval=_normalise_duration(outliers.interval),
        base_ejection_time=_normalise_duration(outliers.base_ejection_time),
        max_ejection_percent=outliers.max_ejection_percent or EVERY_ENDPOINT,
    )
