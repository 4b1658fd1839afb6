"""Rules for packets as data. `nftables` sends them to the kernel."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal


class Family(IntEnum):
    """An IP version, by its number for the packet filter."""

    IPV4 = 2
    IPV6 = 10


class Verdict(Enum):
    """The end of a packet's way through a chain."""

    ACCEPT = "accept"
    REJECT = "reject"
    """Its sender is told that nobody listens there; Linux tells it each sender once a second."""
    RESET = "reset"
    """The same for each segment of TCP, as the machine itself tells it; the rule names TCP."""


@dataclass(frozen=True)
class Redirect:
    """It goes to a port of its own namespace; the rule names the protocol."""

    port: int


@dataclass(frozen=True)
class DestinationNat:
    """It goes to another address and port, of the family of the table."""

    address: str
    port: int


@dataclass(frozen=True)
class Zone:
    """Its connection is tracked apart from those of other zones; the next rule is tried."""

    number: int


@dataclass(frozen=True)
class Rule:
    """What happens to the packets that have all of this; None: whatever it is."""

    verdict: Verdict | Redirect | DestinationNat | Zone
    protocol: Literal["tcp", "udp"] | None = None
    source: str | None = None
    """An address or a network, of the family of the table."""
    destination: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    link: str | None = None
    """The link by which it leaves."""
    user: int | None = None
    """Of the process that sends it. Packets of no process fit neither this nor `other_user`."""
    other_user: int | None = None
    """Any user but this one."""
    group: int | None = None
    established: bool = False
    """It belongs to a connection that has been answered, or tells of one."""


@dataclass(frozen=True)
class Chain:
    """Rules that each packet meets in this order at one point of its way.

    The first verdict holds; a packet that no rule fits is accepted.
    """

    name: str
    hook: Literal["prerouting", "output"]
    kind: Literal["nat", "filter"]
    priority: int
    rules: tuple[Rule, ...]
