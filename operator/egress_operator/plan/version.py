"""What a policy needs that older versions of Istio do not have."""

from collections.abc import Iterator
from typing import NamedTuple

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.traffic import HTTP_LIKE
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.intent import DestinationIntent, Intent
from egress_operator.plan.network import parse_address

ISTIO_TOO_OLD = "EG076"
_NEEDS = " needs Istio 1.30, and the setting istio-version is lower"
_NO_FAILOVER = "write the addresses of the endpoints, or remove failover and give weights"


class IstioVersion(NamedTuple):
    """A minor version, compared by its numbers."""

    major: int
    minor: int

    @property
    def has_wildcards(self) -> bool:
        """Whether sidecars resolve names of wildcards (DYNAMIC_DNS).

        Istio 1.30, se-wildcard-host-sidecar.yaml in its release notes.
        """
        return self >= (1, 30)

    @property
    def has_failover(self) -> bool:
        """Whether endpoints that are names have an order.

        Istio 1.30, dns-failover-priority.yaml in its release notes.
        """
        return self >= (1, 30)


def parse_version(text: str) -> IstioVersion:
    """Return the version that a checked text such as `1.31` names. Pure."""
    major, _, minor = text.partition(".")
    return IstioVersion(int(major), int(minor))


def check_needs(intent: Intent, version: IstioVersion) -> Iterator[Diagnostic]:
    """Find what a policy asks for and the proxies do not have. Pure."""
    for destination in intent.destinations:
        if not version.has_wildcards:
            yield from _check_wildcards(destination, intent.gateway)
        if not version.has_failover:
            yield from _check_failover(destination)


def _check_wildcards(destination: DestinationIntent, gateway: str) -> Iterator[Diagnostic]:
    """Find wildcards whose names the proxy would have to resolve.

    A connection can go on to the address that the client has dialled, if the server name of TLS is
    below the wildcard. Requests cannot, and a gateway does not know that address.
    """
    what = "through a gateway" if gateway else "with HTTP ports"
    if not gateway and all(port.protocol not in HTTP_LIKE for port in destination.ports):
        return
    for index, host in enumerate(destination.hosts):
        if is_wildcard(host):
            path = f"spec.destinations[{destination.index}].hosts[{index}]"
            yield build_diagnostic(ISTIO_TOO_OLD, path, f"{host}, a wildcard {what},{_NEEDS}")


def _check_failover(destination: DestinationIntent) -> Iterator[Diagnostic]:
    settings = destination.settings
    if not settings.failover or all(parse_address(item.address) for item in settings.endpoints):
        return
    path = f"spec.destinations[{destination.index}].failover"
    what = f"failover between endpoints that are names{_NEEDS}"
    yield build_diagnostic(ISTIO_TOO_OLD, path, what, _NO_FAILOVER)
