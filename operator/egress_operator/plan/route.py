"""Which way each port of a host goes: openly, by a name of its own, through a gateway, or not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from egress_operator.istio.name import (
    DIALLED,
    build_behind_name,
    build_host_name,
    build_private_domain,
    build_restricted_domain,
)
from egress_operator.istio.route import HostRoutes, Route
from egress_operator.istio.sidecar import NO_NAMES, PrivateNames, Service
from egress_operator.istio.traffic import BackendIntent, HostIntent
from egress_operator.istio.upstream import Upstream
from egress_operator.istio.wildcard import build_wildcard, is_wildcard
from egress_operator.plan.claim import Claim, unite_sources
from egress_operator.plan.tenant import Tenant

Tenants = Mapping[str, Tenant | None]
"""The namespace at each EgressGateway that claims name; None: it is not open to the namespace."""


def resolve_routes(
    namespace: str, host: str, won: Iterable[Claim], tenants: Tenants, *, is_covered: bool = False
) -> HostRoutes:
    """Decide the way of every port of a host, by the claims that hold. Pure.

    As soon as one port is not open, none is: the host's ServiceEntry has endpoints for all of its
    ports or for none, and without endpoints a lost route lets nothing out. What is HTTP of a
    wildcard has a route in any case, which sees to it that the client names no other port, and TLS
    has none but to a gateway: a sidecar resolves a server name only where no route matches it
    (pilot/pkg/networking/core/tls.go).
    """
    claims: dict[int, list[Claim]] = {}
    for claim in won:
        claims.setdefault(claim.port.number, []).append(claim)
    ordered = sorted(claims.items())
    ports = tuple(found[0].port for _, found in ordered)
    policies = {number: found[0].owner.name for number, found in ordered}
    is_any = is_wildcard(host)
    is_open = all(_is_open(found) for _, found in ordered)
    if is_any:
        is_open = any(not found[0].port.is_http and not found[0].gateway for _, found in ordered)
    routes = tuple(
        route
        for _, found in ordered
        if (not is_open or (is_any and found[0].port.is_http))
        and (route := _resolve(namespace, host, found, tenants)) is not None
    )
    return HostRoutes(ports, routes, is_open, policies, is_covered)


def find_open_tenant(claim: Claim, tenants: Tenants) -> Tenant | None:
    """Return the namespace at the gateway that a claim names; None: it may not go through. Pure."""
    tenant = tenants[claim.gateway]
    if tenant is None or not is_wildcard(claim.key) or claim.port.is_http:
        return tenant
    return None if tenant.gateway.refuses_tls_wildcards else tenant


def find_private_names(routes: HostRoutes) -> PrivateNames:
    """Return the private names to which routes lead, where those have another port. Pure."""
    return {
        route.port.number: tuple(
            Service(route.namespace, upstream.host, route.number) for upstream in route.behind
        )
        for route in routes.routes
        if route.hop is None and route.number != route.port.number
    } or NO_NAMES


def _resolve(namespace: str, host: str, claims: list[Claim], tenants: Tenants) -> Route | None:
    """Return the route of one port; None when its gateway is not open to the namespace."""
    port, sources = claims[0].port, unite_sources(claims)
    hop, label, mode = None, "direct", "http" if port.is_http else "opaque"
    domain, end = build_private_domain(namespace), ""
    if claims[0].gateway:
        tenant = find_open_tenant(claims[0], tenants)
        if tenant is None:
            return None
        hop, label, domain = tenant.hop, tenant.gateway.label, tenant.domain
        if is_wildcard(host):
            mode, end = "opaque", DIALLED
        if any(source.accounts for source in sources):
            mode, domain = f"restricted-{mode}", build_restricted_domain(label, namespace)
    place = _Place(host, port.number, (namespace, label, mode), domain, end)
    name = place.build_name()
    return Route(
        namespace=namespace,
        port=port,
        hop=hop,
        sources=sources,
        name=name,
        host=f"{name}.{domain}",
        policy=claims[0].owner.name,
        upstreams=tuple(_list_upstreams(place, claims[0].settings)),
        mirror=_find_mirror(place, claims[0]),
        is_any=is_wildcard(host),
    )


def _is_open(claims: list[Claim]) -> bool:
    """Whether a port goes directly, for everyone, and all of it to the same endpoints."""
    return not claims[0].is_routed and not unite_sources(claims)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the names behind one port of a host are."""

    host: str
    """As policies name it."""
    number: int
    scope: tuple[str, ...]
    domain: str
    end: str
    """Of the names of what is dialled, where it stands beside the port's own."""

    def build_name(self, backend: str = "") -> str:
        """Return the name of the port, or of one of several backends."""
        scope = (*self.scope, backend) if backend else self.scope
        return build_behind_name(build_host_name(self.host), self.number, *scope)

    def build_host(self, name: str) -> str:
        """Return the host of a name; behind a wildcard it is one, too."""
        behind = f"{name}.{self.domain}"
        return build_wildcard(behind) if is_wildcard(self.host) else behind

    def build_upstream(self, backends: tuple[BackendIntent, ...], backend: str = "") -> Upstream:
        """Return these backends under the name of the port, or of one of them."""
        name = self.build_name(backend)
        weight = backends[0].weight if backend else 0
        return Upstream(f"{name}{self.end}", self.build_host(name), backends, weight)


def _list_upstreams(place: _Place, settings: HostIntent) -> Iterator[Upstream]:
    """List where a port leads: to each backend that has a share, or to all under one name."""
    if not settings.is_split:
        yield place.build_upstream(settings.backends)
        return
    for backend in settings.backends:
        if backend.weight:
            yield place.build_upstream((backend,), backend.name)


def _find_mirror(place: _Place, claim: Claim) -> Upstream | None:
    mirror = None if claim.port.http is None else claim.port.http.mirror
    if mirror is None:
        return None
    backend = next(item for item in claim.settings.backends if item.name == mirror.backend)
    return place.build_upstream((backend,), backend.name)
