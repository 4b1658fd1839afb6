"""What only the operator's settings can tell about a policy.

A policy passes through every check of the list; each is pure and reports all that it finds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.name import DIRECT_DOMAIN
from egress_operator.istio.traffic import HTTP_LIKE, OPAQUE_TLS
from egress_operator.plan.intent import DestinationIntent, Intent
from egress_operator.plan.network import (
    Network,
    is_public,
    is_within,
    overlaps,
    parse_networks,
)
from egress_operator.plan.source import Settings

CLUSTER_NAME = "EG050"
SYNTHETIC_NAME = "EG051"
PRIVATE_ADDRESS = "EG053"
CLUSTER_ADDRESS = "EG054"
ADDRESS_NEEDED = "EG055"

_SERVICE_SUFFIX = "svc"
_CLUSTERSET = "clusterset.local"
"""The domain of the Multi-Cluster Services API, the same in all clusters."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the checks compare a policy with."""

    cluster_domain: str
    synthetic_domains: tuple[str, ...]
    allowed: tuple[Network, ...]
    cluster: tuple[Network, ...]
    dns_capture: bool


def build_cluster_facts(settings: Settings) -> ClusterFacts:
    """Prepare what the checks need. Raises `ValueError` for a setting that is no CIDR."""
    return ClusterFacts(
        cluster_domain=settings.cluster_domain.lower().strip("."),
        synthetic_domains=tuple(sorted({*settings.synthetic_domains, DIRECT_DOMAIN})),
        allowed=parse_networks(settings.allowed_cidrs),
        cluster=parse_networks(settings.cluster_cidrs),
        dns_capture=settings.dns_capture,
    )


def check_intent(intent: Intent, facts: ClusterFacts) -> tuple[Diagnostic, ...]:
    """Everything that the facts forbid in a policy, sorted. Pure."""
    return tuple(
        sorted(
            diagnostic
            for destination in intent.destinations
            for check in _CHECKS
            for diagnostic in check(destination, facts)
        )
    )


Check = Callable[[DestinationIntent, ClusterFacts], Iterator[Diagnostic]]


def _check_names(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    for path, name in _list_names(destination):
        inside = (facts.cluster_domain, _CLUSTERSET, _SERVICE_SUFFIX)
        if any(_is_under(name, domain) for domain in inside):
            yield build_diagnostic(CLUSTER_NAME, path, subject=name)
        elif own := next((own for own in facts.synthetic_domains if _is_under(name, own)), ""):
            what = f"{name} is under {own}, which the operator uses itself"
            yield build_diagnostic(SYNTHETIC_NAME, path, what)


def _check_addresses(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    for path, text, network in _list_addresses(destination):
        inside = next((own for own in facts.cluster if overlaps(network, own)), None)
        if inside is not None:
            what = f"{text} is in {inside}, a range of the cluster's own pods or services"
            yield build_diagnostic(CLUSTER_ADDRESS, path, what)
        elif not is_public(network) and not any(
            is_within(network, allowed) for allowed in facts.allowed
        ):
            yield build_diagnostic(PRIVATE_ADDRESS, path, subject=text)


def _check_listener(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    """Find TCP ports of a host without addresses: they would catch every destination on a port."""
    if facts.dns_capture or destination.settings.addresses or not destination.hosts:
        return
    for port in destination.ports:
        if port.protocol not in HTTP_LIKE and port.protocol != OPAQUE_TLS:
            yield build_diagnostic(
                ADDRESS_NEEDED,
                f"spec.destinations[{destination.index}].ports",
                f"port {port.number} is {port.protocol}, and the proxy cannot tell "
                f"{destination.hosts[0]} from other hosts on that port",
            )


_CHECKS: tuple[Check, ...] = (_check_names, _check_addresses, _check_listener)


def _list_names(destination: DestinationIntent) -> Iterator[tuple[str, str]]:
    path = f"spec.destinations[{destination.index}]"
    for index, host in enumerate(destination.hosts):
        yield f"{path}.hosts[{index}]", host
    for endpoint in destination.settings.endpoints:
        if _parse_ip(endpoint.address) is None:
            yield f"{path}.{endpoint.path}.address", endpoint.address
    if destination.tls is not None:
        if destination.tls.server_name:
            yield f"{path}.originateTLS.serverName", destination.tls.server_name
        for name in destination.tls.names:
            yield f"{path}.originateTLS.subjectAltNames", name


def _list_addresses(destination: DestinationIntent) -> Iterator[tuple[str, str, Network]]:
    path = f"spec.destinations[{destination.index}]"
    for index, address in enumerate(destination.addresses):
        yield f"{path}.addresses[{index}]", address, ip_network(address)
    for endpoint in destination.settings.endpoints:
        network = _parse_ip(endpoint.address)
        if network is not None:
            yield f"{path}.{endpoint.path}.address", endpoint.address, network


def _is_under(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _parse_ip(text: str) -> Network | None:
    try:
        return ip_network(ip_address(text))
    except ValueError:
        return None
