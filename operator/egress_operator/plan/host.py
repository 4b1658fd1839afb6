"""`compile_host`: the objects of one host."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from egress_operator.diagnostic import Diagnostic
from egress_operator.istio import destination_rule, service_entry, virtual_service
from egress_operator.istio.facts import Spec, build_gateway_ref
from egress_operator.istio.gateway import build_host_server_spec, build_inner_server_spec
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.name import INNER, WAY, build_host_name
from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.route import HostRoutes, Route
from egress_operator.istio.set_key import HostSet
from egress_operator.istio.sidecar import NO_NAMES, PrivateNames
from egress_operator.istio.traffic import HostIntent
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.claim import Arbitration, Claim, find_lifted
from egress_operator.plan.intent import Authorization
from egress_operator.plan.route import (
    Tenants,
    find_open_tenant,
    find_private_names,
    resolve_routes,
)
from egress_operator.plan.tenant import (
    Tenant,
    build_baseline,
    build_resolver,
    build_restricted_access,
    build_tenant_access,
)

_ORDER = {kind: index for index, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class CompiledHost:
    """One host of a namespace."""

    object_set: ObjectSet | None
    """None when no claim on it holds."""
    tenants: tuple[Tenant, ...] = ()
    """The tenants whose objects it needs."""
    lifted: Mapping[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    """`find_lifted` of its claims."""
    private: PrivateNames = field(default_factory=lambda: NO_NAMES)
    """`find_private_names` of its routes."""


def compile_host(
    namespace: str,
    key: str,
    results: Arbitration,
    tenants: Tenants,
    *,
    is_covered: bool = False,
    below: frozenset[ObjectKey] = frozenset(),
    resolves_wildcards: bool = True,
) -> CompiledHost:
    """Make the objects of one host from the judged claims on it. Pure.

    Every policy that claims the host owns its objects, also one that lost, if they have room for
    its name: when the winner goes, the objects are changed in place, never deleted and made anew.
    `tenants` has every gateway that a claim names. `is_covered`: whether a wildcard over the host
    has a route. `below`: the routes of the hosts below this one, a wildcard: without them its own
    would count for those too. `resolves_wildcards`: whether proxies can.
    """
    if not results.won:
        return CompiledHost(None)
    claims = (*results.won, *results.lost, *results.waiting)
    owners = {claim.owner for claim in claims} - results.left_out
    routes = resolve_routes(namespace, key, results.won, tenants, is_covered=is_covered)
    used = _select_tenants(results.won, tenants)
    set_key, first = HostSet(namespace, key), results.won[0]
    builder = _Builder(
        set_key, tuple(sorted(owners)), first, routes, used, below, resolves_wildcards
    )
    is_withdrawn = any(claim.gateway and tenants[claim.gateway] is None for claim in results.won)
    return CompiledHost(
        builder.build(is_withdrawn=is_withdrawn),
        tuple(used.values()),
        find_lifted(results.won),
        find_private_names(routes),
    )


def _select_tenants(won: Iterable[Claim], tenants: Tenants) -> Mapping[str, Tenant]:
    """Return the namespace at each gateway that the claims use, by the gateway's label."""
    found = (find_open_tenant(claim, tenants) for claim in won if claim.gateway)
    return {tenant.gateway.label: tenant for tenant in found if tenant is not None}


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds the objects of one host."""

    set_key: HostSet
    owners: tuple[Owner, ...]
    first: Claim
    routes: HostRoutes
    tenants: Mapping[str, Tenant]
    """By the label of the gateway."""
    below: frozenset[ObjectKey]
    resolves_wildcards: bool

    @property
    def namespace(self) -> str:
        return self.set_key.namespace

    @property
    def key(self) -> str:
        return self.set_key.host

    @property
    def name(self) -> str:
        return build_host_name(self.key)

    @property
    def settings(self) -> HostIntent:
        return self.first.settings

    def build(self, *, is_withdrawn: bool) -> ObjectSet:
        """Build the set, its objects in the order of `Kind`.

        `is_withdrawn`: whether a gateway of a port is not open to the namespace. Where one only
        refuses the wildcard's TLS, its EnvoyFilter goes at once, and requests lose nothing.
        """
        permits = {item.key: item for item in self._build_permits()}
        objects = [self._build_entry(), *self._build_rule(), *self._build_route(permits)]
        for route in self.routes.routes:
            objects += self._build_behind(route)
            objects += self._build_way(route)
        ordered = sorted(objects, key=lambda item: (_ORDER[item.key.kind], item.key.name))
        has_lost = is_withdrawn or not self.routes.routes
        return ObjectSet(
            self.set_key,
            tuple(ordered),
            is_closing=not self.routes.is_open and has_lost,
            # Permissions of service accounts, and what finds names, are the host's own.
            allows=tuple(item for item in permits.values() if item.host),
            permits=tuple(permits.values()),
        )

    def _build_permits(self) -> Iterator[Desired]:
        """Build what clients need at gateways: what lets them in, and what finds names there."""
        for route in self.routes.routes:
            if route.hop is None:
                continue
            tenant = self.tenants[route.hop.label]
            is_checked = tenant.gateway.authorization is not Authorization.NONE
            if route.accounts:
                yield build_restricted_access(tenant, self.key, route)
            elif is_checked:
                yield build_tenant_access(tenant.gateway, self.namespace)
            if route.socket and is_checked:
                yield build_baseline(tenant.gateway)
            if route.resolves_names:
                yield build_resolver(tenant, self.key, route)

    def _build_entry(self) -> Desired:
        as_dialled = self.first.as_dialled
        ports = service_entry.build_ports(self.routes.ports, as_dialled=as_dialled)
        spec = service_entry.build_service_entry_spec(
            self.key,
            self.settings,
            ports,
            resolves=not as_dialled and (self.resolves_wildcards or not is_wildcard(self.key)),
        )
        before: Spec | None = None
        allocate = service_entry.needs_address(spec, ports)
        if not self.routes.is_open:
            before, spec = spec, service_entry.close_spec(spec)
        return build_desired(
            ObjectKey(Kind.SERVICE_ENTRY, self.namespace, self.name),
            self.set_key,
            self.owners,
            spec,
            allocate=allocate,
            before=before,
        )

    def _build_rule(self) -> Iterator[Desired]:
        if self.routes.is_open:
            routed = {route.port.number for route in self.routes.routes}
            ports = [port for port in self.routes.ports if port.number not in routed]
            spec = destination_rule.build_open_spec(self.key, self.settings, ports)
            if spec is not None:
                yield self._build(Kind.DESTINATION_RULE, self.name, spec)

    def _build_route(self, permits: Iterable[ObjectKey]) -> Iterator[Desired]:
        spec = virtual_service.build_mesh_spec(self.key, self.routes)
        if spec is not None:
            yield build_desired(
                ObjectKey(Kind.VIRTUAL_SERVICE, self.namespace, self.name),
                self.set_key,
                self.owners,
                spec,
                after=self.below.union(permits, *map(self._list_ways, self.routes.routes)),
            )

    def _build_behind(self, route: Route) -> Iterator[Desired]:
        """Build what a route leads to in the end."""
        for upstream in route.behind:
            name = upstream.name
            entry = service_entry.build_behind_spec(self.key, self.settings, route, upstream)
            yield self._build(Kind.SERVICE_ENTRY, name, entry, allocate=False)
            rule = destination_rule.build_behind_spec(self.settings, route, upstream)
            if rule is not None:
                yield self._build(Kind.DESTINATION_RULE, name, rule)
            if route.hop is None:
                spec = virtual_service.build_closing_spec(self.key, route, upstream)
                yield self._build(Kind.VIRTUAL_SERVICE, name, spec)

    def _build_way(self, route: Route) -> Iterator[Desired]:
        """Build the way of a route through a gateway."""
        if route.hop is None:
            return
        tenant = self.tenants[route.hop.label]
        server = tenant.server_key
        if route.has_server:
            server = tenant.find_server_key(route.name)
            yield from self._build_server(route, tenant, server)
        spec = virtual_service.build_gateway_spec(self.key, route, build_gateway_ref(server))
        yield self._build(Kind.VIRTUAL_SERVICE, route.name, spec)
        if route.socket:
            yield from self._build_inner(route, tenant)

    def _build_inner(self, route: Route, tenant: Tenant) -> Iterator[Desired]:
        """Build the gateway's inner server, and what leads there."""
        entry = service_entry.build_socket_spec(route)
        yield self._build(Kind.SERVICE_ENTRY, route.name, entry, allocate=False)
        rule = destination_rule.build_socket_spec(route)
        if rule is not None:
            yield self._build(Kind.DESTINATION_RULE, route.name, rule)
        name = f"{route.name}{INNER}"
        server = tenant.find_server_key(name)
        place = tenant.gateway.place
        spec = build_inner_server_spec(
            place, self.namespace, self.key, route.socket, is_http=route.port.is_http
        )
        resolvers = [build_resolver(tenant, self.key, route)] if route.resolves_names else []
        after = frozenset(item.key for item in resolvers)
        yield tenant.build_server(self.set_key, server, spec, self.owners, after)
        way = virtual_service.build_inner_spec(self.key, route, build_gateway_ref(server))
        yield self._build(Kind.VIRTUAL_SERVICE, name, way)

    def _build_server(self, route: Route, tenant: Tenant, server: ObjectKey) -> Iterator[Desired]:
        """Build a way of its own into the gateway."""
        spec = build_host_server_spec(
            tenant.gateway.place, self.namespace, route.host, is_http=not route.is_opaque
        )
        yield tenant.build_server(self.set_key, server, spec, self.owners)
        subset = ObjectKey(Kind.DESTINATION_RULE, self.namespace, f"{route.name}{WAY}")
        yield tenant.build_subset(self.set_key, subset, route.name, route.host, self.owners)

    def _build(self, kind: Kind, name: str, spec: Spec, *, allocate: bool | None = None) -> Desired:
        key = ObjectKey(kind, self.namespace, name)
        return build_desired(key, self.set_key, self.owners, spec, allocate=allocate)

    def _list_ways(self, route: Route) -> tuple[ObjectKey, ...]:
        """List the tenant's objects that must be there before clients are led to the gateway."""
        if route.hop is None or route.has_server:
            return ()
        tenant = self.tenants[route.hop.label]
        return tenant.server_key, tenant.subset_key
