"""A program that tells where a workload's connections go, and what range the network has.

    python -m mesh.redirect [ADDRESS/LENGTH]

With an address it first gives that to this machine, in a network namespace that ends with it. It
prints the range, then where each of `CALLS` has ended, and what is left of the network.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass

from pyroute2 import IPRoute

from testbed import sweep
from testbed.capture import PROXY_ID, PROXY_PORT, capture_outbound
from testbed.network import Network

APPLICATION_ID = 1000
OWN_PORT, OUTSIDE_PORT = 8080, 80
OUTSIDE, OUTSIDE_V6 = "198.51.100.7", "2001:db8::7"
OWN = "own"
"""Stands for the workload's own address."""
ORIGINAL_DESTINATION = 80
"""A socket option: where a redirected connection was to go."""
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Call:
    """A connection, and for whom it is made."""

    address: str
    port: int
    user: int = APPLICATION_ID
    group: int = APPLICATION_ID
    source: str = ""


CALLS = {
    "an application calls outside": Call(OUTSIDE, OUTSIDE_PORT),
    "an application calls outside by IPv6": Call(OUTSIDE_V6, OUTSIDE_PORT),
    "the proxy calls outside": Call(OUTSIDE, OUTSIDE_PORT, user=PROXY_ID),
    "the proxy calls outside by IPv6": Call(OUTSIDE_V6, OUTSIDE_PORT, user=PROXY_ID),
    "the proxy's group calls outside": Call(OUTSIDE, OUTSIDE_PORT, group=PROXY_ID),
    "an application calls itself": Call("127.0.0.1", OWN_PORT),
    "an application calls itself by IPv6": Call("::1", OWN_PORT),
    "an application calls its own address": Call(OWN, OWN_PORT),
    "the proxy calls its application": Call(OWN, OWN_PORT, user=PROXY_ID, source="127.0.0.6"),
}


def main() -> None:
    """Make the network, call inside, and look at what is left."""
    if sys.argv[1:]:
        address, _, length = sys.argv[1].partition("/")
        with IPRoute() as channel:
            (index,) = channel.link_lookup(ifname="lo")
            channel.addr("add", index=index, address=address, prefixlen=int(length))
    with Network() as network:
        _tell([str(network.addresses.network)])
        network.add_outside()
        netns = network.add("shop-checkout", network.addresses.workload(1))
        network.add_ipv6(netns)
        capture_outbound(netns, ipv6=True)
        words = (sys.executable, "-P", "-m", "mesh.redirect", "inside", netns.address)
        subprocess.run(netns.command(*words), check=True, timeout=TIMEOUT_S * 3)
    _tell(sweep.find_remains())


def call_inside(own: str) -> None:
    """Tell where the calls go. There is a server on OWN_PORT, and one in place of the sidecar."""
    servers = [
        socket.create_server(("", port), family=family)
        for family in (socket.AF_INET, socket.AF_INET6)
        for port in (PROXY_PORT, OWN_PORT)
    ]
    _tell([_call(call, own, servers) for call in CALLS.values()])


def _call(call: Call, own: str, servers: list[socket.socket]) -> str:
    target = own if call.address == OWN else call.address
    with _open(call, target) as client:
        try:
            client.connect((target, call.port))
        except ConnectionRefusedError:
            # Nobody listens outside: it got there.
            return "left"
        (server,) = select.select(servers, [], [], TIMEOUT_S)[0]
        with server.accept()[0] as channel:
            if server.getsockname()[1] == OWN_PORT:
                return "arrived"
            return f"captured on its way to {_read_destination(channel)}"


def _open(call: Call, target: str) -> socket.socket:
    """Open a socket that the rules take for one of that user and group."""
    os.setegid(call.group)
    os.seteuid(call.user)
    try:
        opened = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET)
    finally:
        os.seteuid(0)
        os.setegid(0)
    opened.settimeout(TIMEOUT_S)
    if call.source:
        opened.bind((call.source, 0))
    return opened


def _read_destination(channel: socket.socket) -> str:
    if channel.family is socket.AF_INET:
        option = channel.getsockopt(socket.SOL_IP, ORIGINAL_DESTINATION, 16)
        port, address = struct.unpack("!2xH4s8x", option)
    else:
        option = channel.getsockopt(socket.IPPROTO_IPV6, ORIGINAL_DESTINATION, 28)
        port, address = struct.unpack("!2xH4x16s4x", option)
    return f"{socket.inet_ntop(channel.family, address)} {port}"


def _tell(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - this is a program


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        call_inside(sys.argv[2])
    else:
        main()
