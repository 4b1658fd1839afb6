"""What leads a workload's outgoing traffic to its sidecar: the rules of `istio-iptables`.

Without those for incoming traffic: nobody calls the workloads of these meshes.
"""

from dataclasses import dataclass

from testbed.netns import Netns, run_inside
from testbed.nftables import write_chains
from testbed.rule import Chain, Family, Redirect, Rule, Verdict, Zone

PROXY_ID = 1337
"""User and group of the proxy: its own traffic is not captured."""
PROXY_PORT = 15001
AGENT_NAME_PORT = 15053
"""Of the agent's name server."""
NAME_PORT = 53
NAT_PRIORITY, RAW_PRIORITY = -100, -300


@dataclass(frozen=True)
class Loopback:
    """Local addresses of one IP version."""

    own: str
    inbound: str
    """From which a proxy calls its own application."""


LOOPBACKS = {
    Family.IPV4: Loopback("127.0.0.1", "127.0.0.6"),
    Family.IPV6: Loopback("::1", "::6"),
}


def capture_outbound(netns: Netns, *, dns: bool = False, ipv6: bool = False) -> None:
    """Lead outgoing TCP of everybody but the proxy to the sidecar's port 15001.

    With `dns`, queries go to the agent's name server on 15053 as well; with `ipv6`, what is dialled
    by IPv6 is captured too.
    """
    run_inside(netns.name, lambda: write_capture(dns=dns, ipv6=ipv6))


def write_capture(*, dns: bool = False, ipv6: bool = False) -> None:
    """Do so in this thread's network namespace."""
    zones = build_zone_chains() if dns else ()
    write_chains([build_capture_chain(Family.IPV4, dns=dns), *zones])
    if ipv6:
        write_chains([build_capture_chain(Family.IPV6)], Family.IPV6)


def build_capture_chain(family: Family, *, dns: bool = False) -> Chain:
    """Build the chain that redirects. Pure."""
    loopback = LOOPBACKS[family]
    names = Rule(
        Redirect(AGENT_NAME_PORT),
        protocol="udp",
        destination_port=NAME_PORT,
        other_user=PROXY_ID,
    )
    rules = (
        *((names,) if dns else ()),
        Rule(Verdict.ACCEPT, link="lo", source=loopback.inbound),
        Rule(Verdict.ACCEPT, link="lo", other_user=PROXY_ID),
        Rule(Verdict.ACCEPT, user=PROXY_ID),
        Rule(Verdict.ACCEPT, group=PROXY_ID),
        Rule(Verdict.ACCEPT, destination=loopback.own),
        Rule(Redirect(PROXY_PORT), protocol="tcp"),
    )
    return Chain("capture", "output", "nat", NAT_PRIORITY, rules)


def build_zone_chains() -> tuple[Chain, Chain]:
    """Build the chains that go with captured names. Pure.

    The nat chain decides once for each pair of addresses and ports. Without zones a query of the
    proxy from a port that an application has used within half a minute goes to the agent, and the
    proxy takes the address that was made for the application for that of the host.
    """
    sent = (
        Rule(Zone(1), protocol="udp", destination_port=NAME_PORT, user=PROXY_ID),
        Rule(Zone(2), protocol="udp", source_port=AGENT_NAME_PORT, user=PROXY_ID),
        Rule(Zone(2), protocol="udp", destination_port=NAME_PORT, other_user=PROXY_ID),
    )
    received = (Rule(Zone(1), protocol="udp", source_port=NAME_PORT),)
    return (
        Chain("zones-sent", "output", "filter", RAW_PRIORITY, sent),
        Chain("zones-received", "prerouting", "filter", RAW_PRIORITY, received),
    )
