"""Links, addresses and routes of a network namespace, by netlink: no program takes part.

The functions work where their `IPRoute` was opened. They raise NetlinkError.
"""

import os
import socket
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

from pyroute2 import IPRoute

from testbed import netns

LOOPBACK = "lo"
LOCAL_TABLE, HOST_SCOPE, EVERYWHERE = 255, 254, 0
NO_DUPLICATE_DETECTION = 0x02


def wire(name: str, work: Callable[[IPRoute], None]) -> None:
    """Let a function work in the namespace `name`; raises OSError where there is none."""

    def work_with_channel() -> None:
        with IPRoute() as channel:
            work(channel)

    netns.run_inside(name, work_with_channel)


def add_pair(channel: IPRoute, name: str, peer: str, peer_netns: str) -> None:
    """Make a link whose other end is in another namespace."""
    handle = os.open(netns.NETNS_DIR / peer_netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        channel.link("add", ifname=name, kind="veth", peer={"ifname": peer, "net_ns_fd": handle})
    finally:
        os.close(handle)


def add_bridge(channel: IPRoute, name: str) -> None:
    """Make a bridge, which is up."""
    # Without spanning tree a port forwards at once.
    channel.link("add", ifname=name, kind="bridge", br_stp_state=0, br_forward_delay=0)
    set_up(channel, name)


def plug_in(channel: IPRoute, name: str, bridge: str) -> None:
    """Let a link be a port of a bridge, and up."""
    index, master = find_link(channel, name), find_link(channel, bridge)
    channel.link("set", index=index, master=master, state="up")


def add_address(channel: IPRoute, name: str, address: str, length: int) -> None:
    """Give a link an address of either version, and set it up."""
    index = find_link(channel, name)
    # Nobody else can have it, so there is no need to wait until the kernel has found out.
    flags = NO_DUPLICATE_DETECTION if ":" in address else 0
    channel.addr("add", index=index, address=address, prefixlen=length, flags=flags)
    set_up(channel, name)


def add_default_route(channel: IPRoute, gateway: str) -> None:
    """Lead everything of the gateway's version that goes nowhere else through it."""
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    channel.route("add", family=family, dst="default", gateway=gateway)


def add_local(channel: IPRoute, network: IPv4Network | IPv6Network) -> None:
    """Let every address of a network be the namespace's own."""
    is_ipv4 = isinstance(network, IPv4Network)
    channel.route(
        "replace",
        family=socket.AF_INET if is_ipv4 else socket.AF_INET6,
        dst=str(network),
        oif=find_link(channel, LOOPBACK),
        type="local",
        table=LOCAL_TABLE,
        scope=HOST_SCOPE if is_ipv4 else EVERYWHERE,
    )


def set_up(channel: IPRoute, name: str) -> None:
    """Set a link up."""
    channel.link("set", index=find_link(channel, name), state="up")


def find_link(channel: IPRoute, name: str) -> int:
    """Look up the number of a link."""
    (index,) = channel.link_lookup(ifname=name)
    return int(index)


def read_routes(but_of: str) -> list[IPv4Network]:
    """Read where the routes lead that this thread has by other links than `but_of`."""
    with IPRoute() as channel:
        left_out = set(channel.link_lookup(ifname=but_of))
        return [
            IPv4Network(f"{destination}/{route['dst_len']}")
            for route in channel.get_routes(family=socket.AF_INET)
            if (destination := route.get_attr("RTA_DST"))
            and route.get_attr("RTA_OIF") not in left_out
        ]
