"""Two requests about links, for programs that have the standard library only."""

import fcntl
import os
import socket
import struct

IFF_UP = 1
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
LINK_REQUEST = struct.Struct("16sh14x")
"""`struct ifreq`: name and flags of a link."""

RTM_DELLINK = 17
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NETLINK_TIMEOUT_S = 5.0
LINK_DELETION = struct.Struct("=IHHII BxHiII")
"""`struct nlmsghdr` and `struct ifinfomsg`."""
REPLY = struct.Struct("=IHHIIi")
"""`struct nlmsghdr` and the negative error of `struct nlmsgerr`, 0 for success."""


def set_up(link: str) -> None:
    """Set a link of this thread's network namespace up. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = LINK_REQUEST.pack(link.encode(), 0)
        _, flags = LINK_REQUEST.unpack(fcntl.ioctl(channel, SIOCGIFFLAGS, request))
        fcntl.ioctl(channel, SIOCSIFFLAGS, LINK_REQUEST.pack(link.encode(), flags | IFF_UP))


def delete_link(link: str) -> None:
    """Delete a link of this thread's network namespace, and its peer. Raises OSError."""
    index = socket.if_nametoindex(link)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as channel:
        channel.settimeout(NETLINK_TIMEOUT_S)
        header = (LINK_DELETION.size, RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
        channel.send(LINK_DELETION.pack(*header, socket.AF_UNSPEC, 0, index, 0, 0))
        error = -REPLY.unpack_from(channel.recv(4096))[-1]
    if error:
        raise OSError(error, os.strerror(error), link)
