"""What only the operator's settings can tell about a policy, and what it is warned of.

A policy passes through every check of the list; each is pure and reports all that it finds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.traffic import HTTP_LIKE, OPAQUE_TLS
from egress_operator.istio.wildcard import is_wildcard, list_covering
from egress_operator.plan.credential import check_credentials
from egress_operator.plan.effect import check_grpc_methods, check_mirror
from egress_operator.plan.intent import DestinationIntent, Intent
from egress_operator.plan.network import (
    Network,
    is_public,
    is_within,
    overlaps,
    parse_address,
    parse_networks,
)
from egress_operator.plan.plain import check_plain_first, check_plain_to_tls, check_tls_later
from egress_operator.plan.reserved import list_reserved_domains
from egress_operator.plan.source import Settings
from egress_operator.plan.suffix import SharedDomain, find_public_suffix, find_shared_domain
from egress_operator.plan.version import check_needs, parse_minor

CLUSTER_NAME = "EG050"
SYNTHETIC_NAME = "EG051"
PRIVATE_ADDRESS = "EG053"
CLUSTER_ADDRESS = "EG054"
ADDRESS_NEEDED = "EG055"
PUBLIC_SUFFIX = "EG074"
SHARED_DOMAIN = "EG075"
PATHS_AS_SENT = "EG059"
SHORT_NAME = "EG064"

_SERVICE_SUFFIX = "svc"
_NAMESPACES = ("default", "kube-public", "kube-system")
"""Those of every cluster."""
_CLUSTERSET = "clusterset.local"
"""The domain of the Multi-Cluster Services API, the same in all clusters."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the checks compare a policy with."""

    cluster_domain: str
    synthetic_domains: tuple[str, ...]
    allowed: tuple[Network, ...]
    cluster: tuple[Network, ...]
    shared: tuple[str, ...]
    dns_capture: bool
    normalizes_paths: bool
    istio_minor: int
    """The minor version of the oldest Istio among the proxies."""
    namespaces: frozenset[str]
    """Namespaces that every cluster has."""


def build_cluster_facts(settings: Settings) -> ClusterFacts:
    """Prepare what the checks need. Raises `ValueError` for a setting that is no CIDR."""
    return ClusterFacts(
        cluster_domain=settings.cluster_domain.lower().strip("."),
        synthetic_domains=list_reserved_domains(settings),
        namespaces=frozenset({*_NAMESPACES, settings.root_namespace}),
        allowed=parse_networks(settings.allowed_cidrs),
        cluster=parse_networks(settings.cluster_cidrs),
        shared=settings.allowed_shared_domains,
        dns_capture=settings.dns_capture,
        normalizes_paths=settings.normalizes_paths,
        istio_minor=parse_minor(settings.istio_version),
    )


def check_intent(intent: Intent, facts: ClusterFacts, namespace: str) -> tuple[Diagnostic, ...]:
    """Everything that the facts forbid in a policy of the namespace, and warnings, sorted. Pure."""
    found = [
        diagnostic
        for destination in intent.destinations
        for check in _CHECKS
        for diagnostic in check(destination, facts)
    ]
    for destination in intent.destinations:
        found += _check_short_names(destination, facts.namespaces | {namespace})
    found += check_needs(intent, facts.istio_minor)
    return tuple(sorted(found))


Check = Callable[[DestinationIntent, ClusterFacts], Iterator[Diagnostic]]


def _check_names(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    for path, name in _list_names(destination):
        inside = (facts.cluster_domain, _CLUSTERSET, _SERVICE_SUFFIX)
        covered = next((domain for domain in inside if _is_over(name, domain)), "")
        if any(_is_under(name, domain) for domain in inside):
            yield build_diagnostic(CLUSTER_NAME, path, subject=name)
        elif covered:
            what = f"{name} covers {covered}, the domain of the cluster"
            yield build_diagnostic(CLUSTER_NAME, path, what, "name each host outside")
        elif own := next((own for own in facts.synthetic_domains if _is_under(name, own)), ""):
            what = f"{name} is under {own}, which the operator uses itself"
            yield build_diagnostic(SYNTHETIC_NAME, path, what)
        elif own := next((own for own in facts.synthetic_domains if _is_over(name, own)), ""):
            what = f"{name} covers {own}, which the operator uses itself"
            yield build_diagnostic(SYNTHETIC_NAME, path, what)
        elif is_wildcard(name):
            yield from _check_wildcard(path, name, facts)


def _check_short_names(
    destination: DestinationIntent, namespaces: frozenset[str]
) -> Iterator[Diagnostic]:
    """Find `db.shop`: in the namespace shop a Service db is called so, without any policy.

    Of other namespaces nothing is asked: whoever makes one called `com` would warn everybody.
    """
    for path, name in _list_names(destination):
        service, _, namespace = name.partition(".")
        if namespace in namespaces:
            what = f"{name} is what a Service {service} in the namespace {namespace} is called"
            yield build_diagnostic(SHORT_NAME, path, what)


def _check_wildcard(path: str, name: str, facts: ClusterFacts) -> Iterator[Diagnostic]:
    """Find a wildcard over names that everybody, or everybody with an account, can have."""
    domain = name.removeprefix("*.")
    if suffix := find_public_suffix(domain):
        what = (
            f"{name} covers {_name_suffix(domain, suffix)}, below which everybody registers names"
        )
        yield build_diagnostic(PUBLIC_SUFFIX, path, what)
        return
    is_allowed = any(domain == own or _is_under(domain, own) for own in facts.shared)
    if not is_allowed and (shared := find_shared_domain(domain)):
        yield _build_shared_domain(path, name, shared)


def _build_shared_domain(path: str, name: str, shared: SharedDomain) -> Diagnostic:
    """Say why a wildcard is over too much, and what allows it all the same."""
    domain = name.removeprefix("*.")
    what = f"{name} covers {_name_suffix(domain, shared.name)}, below which"
    if domain.endswith(f".{shared.name}"):
        what = f"{name} is below {shared.name}, where"
    why, condition = "others have names too", ""
    if shared.has_any_address:
        why = "names may have any address"
        condition = ", if calls may go to every address, also inside the cluster,"
    fix = (
        f"name each host; or{condition} ask the platform team to add {domain} to "
        "allowed-shared-domains (where it is, call egressctl with --allowed-shared-domains)"
    )
    return build_diagnostic(SHARED_DOMAIN, path, f"{what} {why}", fix)


def _name_suffix(domain: str, suffix: str) -> str:
    return domain if suffix == domain else f"names such as {suffix}"


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


def _check_plain(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    yield from check_plain_first(destination, dns_capture=facts.dns_capture)
    yield from check_plain_to_tls(destination)
    yield from check_tls_later(destination)


def _check_credentials(destination: DestinationIntent, _: ClusterFacts) -> Iterator[Diagnostic]:
    yield from check_credentials(destination)


def _check_paths(destination: DestinationIntent, facts: ClusterFacts) -> Iterator[Diagnostic]:
    """Find what is allowed by path where proxies take paths as they are sent."""
    if facts.normalizes_paths:
        return
    allow = (entry for port in destination.ports if port.http for entry in port.http.allow)
    if any(entry.paths for entry in allow):
        yield build_diagnostic(PATHS_AS_SENT, f"spec.destinations[{destination.index}].http.allow")


def _check_effect(destination: DestinationIntent, _: ClusterFacts) -> Iterator[Diagnostic]:
    yield from check_mirror(destination)
    yield from check_grpc_methods(destination)


_CHECKS: tuple[Check, ...] = (
    _check_effect,
    _check_names,
    _check_addresses,
    _check_listener,
    _check_paths,
    _check_plain,
    _check_credentials,
)


def _list_names(destination: DestinationIntent) -> Iterator[tuple[str, str]]:
    path = f"spec.destinations[{destination.index}]"
    for index, host in enumerate(destination.hosts):
        yield f"{path}.hosts[{index}]", host
    for endpoint in destination.settings.endpoints:
        if parse_address(endpoint.address) is None:
            yield f"{path}.{endpoint.path}.address", endpoint.address
    if destination.tls is not None:
        if destination.tls.server_name:
            yield f"{path}.originateTLS.serverName", destination.tls.server_name
        for name in destination.tls.names:
            yield f"{path}.originateTLS.subjectAltNames", name
    for name in sorted({port.http.host for port in destination.ports if port.http is not None}):
        if name:
            yield f"{path}.http.rewrite.host", name


def _list_addresses(destination: DestinationIntent) -> Iterator[tuple[str, str, Network]]:
    path = f"spec.destinations[{destination.index}]"
    for index, address in enumerate(destination.addresses):
        yield f"{path}.addresses[{index}]", address, ip_network(address)
    for endpoint in destination.settings.endpoints:
        network = parse_address(endpoint.address)
        if network is not None:
            yield f"{path}.{endpoint.path}.address", endpoint.address, network


def _is_over(name: str, domain: str) -> bool:
    return name in list_covering(domain)


def _is_under(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")
