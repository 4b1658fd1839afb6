"""Below HTTP and TLS: segments on the wire, and a server that accepts nothing."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from testbed.member import Member
from testbed.netns import Netns, run_inside

EVERY_PACKET = 3
"""ETH_P_ALL: with less, Linux shows only what comes in."""
IPV4 = 4
ACK_ALONE = 0x10
LARGEST = 2048


@contextmanager
def serve_nobody(netns: Netns, address: str, port: int) -> Iterator[None]:
    """Listen with a full queue: Linux then drops what asks for a connection."""
    place = (address, port)

    def fill() -> list[socket.socket]:
        return [
            socket.create_server(place, backlog=0),
            socket.create_connection(place),
            _begin_connection(place),
        ]

    with ExitStack() as stack:
        for item in run_inside(netns.name, fill):
            stack.enter_context(item)
        yield


def _begin_connection(place: tuple[str, int]) -> socket.socket:
    """Ask for a connection without waiting for it."""
    channel = socket.socket()
    channel.settimeout(0)
    channel.connect_ex(place)
    return channel


def count_empty_segments(member: Member, address: str, port: int, seconds: float) -> int:
    """Count the TCP segments without data that a workload sends to a server in some seconds."""

    def listen() -> socket.socket:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY_PACKET))

    with run_inside(member.netns.name, listen) as wire:
        wire.settimeout(0.1)
        end, found = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            try:
                packet = wire.recv(LARGEST)
            except TimeoutError:
                continue
            found += _is_empty_segment(packet, (member.address, address, port))
    return found


def _is_empty_segment(packet: bytes, way: tuple[str, str, int]) -> bool:
    """Whether a packet acknowledges and says nothing else; `way`: from, to, port. Pure."""
    if packet[0] >> 4 != IPV4 or packet[9] != socket.IPPROTO_TCP:
        return False
    begin = 4 * (packet[0] & 0xF)
    (length,), (port,) = (
        struct.unpack_from("!H", packet, 2),
        struct.unpack_from("!H", packet, begin + 2),
    )
    found = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]), port
    header, flags = 4 * (packet[begin + 12] >> 4), packet[begin + 13]
    return found == way and length == begin + header and flags == ACK_ALONE
