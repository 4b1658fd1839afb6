"""Which way each port of a host goes: openly, by a name of its own, through a gateway, or not."""

from collections.abc import Iterable, Mapping

from egress_operator.istio.name import (
    build_behind_name,
    build_private_host,
    build_restricted_domain,
)
from egress_operator.istio.route import HostRoutes, Route
from egress_operator.istio.traffic import PortIntent
from egress_operator.plan.claim import Claim, unite_sources
from egress_operator.plan.tenant import Tenant

Tenants = Mapping[str, Tenant | None]
"""The namespace at each EgressGateway that claims name; None: it is not open to the namespace."""


def resolve_routes(
    namespace: str, host_key: str, won: Iterable[Claim], tenants: Tenants
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
        if (route := _resolve(namespace, host_key, found, tenants)) is not None
    )
    return HostRoutes(ports, routes, is_open=False)


def _resolve(namespace: str, host_key: str, claims: list[Claim], tenants: Tenants) -> Route | None:
    """Return the route of one port; None when its gateway is not open to the namespace."""
    port, sources = claims[0].port, unite_sources(claims)
    if not claims[0].gateway:
        name = build_behind_name(host_key, port.number, namespace, "direct", _build_payload(port))
        return Route(namespace, port, None, sources, name, build_private_host(name, namespace))
    tenant = tenants[claims[0].gateway]
    if tenant is None:
        return None
    label, mode, domain = tenant.gateway.label, _build_payload(port), tenant.domain
    if any(source.accounts for source in sources):
        mode, domain = f"restricted-{mode}", build_restricted_domain(label, namespace)
    name = build_behind_name(host_key, port.number, namespace, label, mode)
    return Route(namespace, port, tenant.hop, sources, name, f"{name}.{domain}")


def _build_payload(port: PortIntent) -> str:
    return "http" if port.is_http else "opaque"
