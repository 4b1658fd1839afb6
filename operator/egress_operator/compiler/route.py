"""Which way each port of a host goes: openly, by a name of its own, through a gateway, or not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from egress_operator.compiler.claim import Claim, unite_sources
from egress_operator.compiler.intent import FromIntent, PortIntent
from egress_operator.compiler.name import (
    build_behind_name,
    build_private_host,
    build_restricted_domain,
)
from egress_operator.compiler.tenant import Tenant

Tenants = Mapping[str, Tenant | None]
"""The namespace at each EgressGateway that claims name; None: it is not open to the namespace."""

PRIVATE_PORT = 443
"""Where a raw port is served under its private name, as TLS: under its own number every proxy of
the namespace would wait for the first bytes of what other hosts speak there."""


@dataclass(frozen=True, slots=True)
class Route:
    """One port of a host that is reached under a synthetic name."""

    namespace: str
    """Of the policy."""
    port: PortIntent
    tenant: Tenant | None
    """At which gateway; None: directly, by the client's own sidecar."""
    sources: tuple[FromIntent, ...]
    """Who may use it; none: everyone in the namespace."""
    name: str
    """Of the objects behind it, unique in the mesh: the first label of `host`."""
    host: str
    """The synthetic name."""

    @property
    def accounts(self) -> tuple[str, ...]:
        """The service accounts that may use it; none: all."""
        return next((source.accounts for source in self.sources if source.accounts), ())

    @property
    def has_server(self) -> bool:
        """Whether the gateway has a server for this name alone."""
        return self.tenant is not None and (not self.port.is_http or bool(self.accounts))

    @property
    def export(self) -> str:
        """The entry of `exportTo` that shows what is behind to those who dial, and to no other."""
        if self.tenant is None:
            return "."
        return self.tenant.gateway.build_export(self.namespace)

    @property
    def number(self) -> int:
        """The port under the synthetic name."""
        if self.tenant is None and not self.port.is_http and self.port.protocol != "TLS":
            return PRIVATE_PORT
        return self.port.number

    @property
    def protocol(self) -> str:
        """The protocol under the synthetic name.

        For what is no HTTP it is TLS, because then no proxy opens a port for it; all that matters
        to those who dial is where it leads.
        """
        return self.port.protocol if self.port.is_http else "TLS"


@dataclass(frozen=True, slots=True)
class HostRoutes:
    """All ports of a host."""

    ports: tuple[PortIntent, ...]
    """By number."""
    routes: tuple[Route, ...]
    """By number; a port without one goes as `is_open` says: openly, or not at all."""
    is_open: bool
    """Every port goes directly and for everyone."""


def resolve_routes(
    namespace: str, group: str, won: Iterable[Claim], tenants: Tenants
) -> HostRoutes:
    """Decide the way of every port of a host, by the claims that hold. Pure.

    As soon as one port is not open, none is: the host's ServiceEntry has endpoints for all of its
    ports or for none, and without endpoints a lost route lets nothing out.
    """
    claims: dict[int, list[Claim]] = {}
    for claim in won:
        claims.setdefault(claim.port.number, []).append(claim)
    ordered = sorted(claims.items())
    ports = tuple(found[0].port for _, found in ordered)
    if all(not found[0].gateway and not unite_sources(found) for _, found in ordered):
        return HostRoutes(ports, (), is_open=True)
    routes = tuple(
        route
        for _, found in ordered
        if (route := _resolve(namespace, group, found, tenants)) is not None
    )
    return HostRoutes(ports, routes, is_open=False)


def _resolve(namespace: str, group: str, claims: list[Claim], tenants: Tenants) -> Route | None:
    """Return the route of one port; None when its gateway is not open to the namespace."""
    port, sources = claims[0].port, unite_sources(claims)
    if not claims[0].gateway:
        name = build_behind_name(group, port.number, namespace, "direct", _build_payload(port))
        return Route(namespace, port, None, sources, name, build_private_host(name, namespace))
    tenant = tenants[claims[0].gateway]
    if tenant is None:
        return None
    label, mode, domain = tenant.gateway.label, _build_payload(port), tenant.domain
    if any(source.accounts for source in sources):
        mode, domain = f"restricted-{mode}", build_restricted_domain(label, namespace)
    name = build_behind_name(group, port.number, namespace, label, mode)
    return Route(namespace, port, tenant, sources, name, f"{name}.{domain}")


def _build_payload(port: PortIntent) -> str:
    return "http" if port.is_http else "opaque"
