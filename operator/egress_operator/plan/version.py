"""What a policy needs that older versions of Istio do not have."""

from collections.abc import Iterator

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.traffic import EVERYONE, HTTP_LIKE
from egress_operator.istio.traffic_policy import NO_TRAFFIC
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.intent import DestinationIntent, Intent
from egress_operator.plan.network import parse_address

ISTIO_TOO_OLD = "EG076"
ADDRESS_NOT_CHECKED = "EG077"

WILDCARDS_SINCE = 30
"""The minor version from which on sidecars resolve names of wildcards (DYNAMIC_DNS).

Source: se-wildcard-host-sidecar.yaml in the release notes of Istio 1.30.
"""
FAILOVER_SINCE = 30
"""The one from which on endpoints that are names have an order of failover.

Source: dns-failover-priority.yaml in the release notes of Istio 1.30.
"""
_SETTING = (
    "or ask the platform team to update Istio, and then to raise istio-version (where it is, call "
    "egressctl with --istio-version)"
)


def parse_minor(text: str) -> int:
    """Return the minor version of a checked text such as `1.31`. Pure."""
    return int(text.partition(".")[2])


def check_needs(intent: Intent, minor: int) -> Iterator[Diagnostic]:
    """Find what a policy asks for, and proxies of Istio 1.`minor` do not have. Pure."""
    for destination in intent.destinations:
        if minor < WILDCARDS_SINCE:
            yield from _check_wildcards(destination, intent)
        if minor < FAILOVER_SINCE:
            yield from _check_failover(destination)


def _check_wildcards(destination: DestinationIntent, intent: Intent) -> Iterator[Diagnostic]:
    """Find wildcards whose names the proxy would have to resolve.

    A connection can go on to the address that the client has dialled, if the server name of TLS is
    below the wildcard. Requests cannot, and a gateway does not know that address.
    """
    has_requests = any(port.protocol in HTTP_LIKE for port in destination.ports)
    for index, host in enumerate(destination.hosts):
        if not is_wildcard(host):
            continue
        path = f"spec.destinations[{destination.index}].hosts[{index}]"
        if intent.gateway or has_requests:
            what = f"{host}, a wildcard {'through a gateway' if intent.gateway else 'with HTTP'},"
            fix = "name each host; "
            if not intent.gateway and _may_be_tls(destination, intent):
                fix += "or leave ports and originateTLS out, and call https://...; "
            yield build_diagnostic(
                ISTIO_TOO_OLD, path, f"{what} {_build_need(WILDCARDS_SINCE)}", fix + _SETTING
            )
        else:
            yield build_diagnostic(ADDRESS_NOT_CHECKED, path, subject=host)


def _may_be_tls(destination: DestinationIntent, intent: Intent) -> bool:
    """Whether nothing that is asked for needs requests in place of TLS of the application."""
    has_http = any(port.http is not None for port in destination.ports)
    is_for_all = intent.source == EVERYONE
    return is_for_all and not has_http and destination.settings.traffic == NO_TRAFFIC


def _check_failover(destination: DestinationIntent) -> Iterator[Diagnostic]:
    settings = destination.settings
    if not settings.failover or all(parse_address(item.address) for item in settings.endpoints):
        return
    yield build_diagnostic(
        ISTIO_TOO_OLD,
        f"spec.destinations[{destination.index}].failover",
        f"failover between endpoints that are names {_build_need(FAILOVER_SINCE)}",
        f"write the addresses of the endpoints; or remove failover and give weights; {_SETTING}",
    )


def _build_need(minor: int) -> str:
    return f"needs Istio 1.{minor}, and the setting istio-version is lower"
