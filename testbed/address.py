"""The addresses of a mesh: a range that is free on this machine, and who has which of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address

OUTSIDE_NETWORK = "198.51.100.0/24"
OUTSIDE_NETWORK_V6 = "2001:db8::/64"
PREFIX_LENGTH = 16
CANDIDATES = tuple(
    IPv4Network(f"{start}.0.0/{PREFIX_LENGTH}")
    for start in (
        *(f"10.{number}" for number in range(10, 20)),
        *(f"172.{number}" for number in range(20, 30)),
        *("198.18", "198.19"),
    )
)
"""Ranges for private use or for tests; services (10.96.0.0/16) and the outside are elsewhere."""
WIDE = 8
"""A route with a shorter prefix leads everywhere, as the default route: it takes no range."""


@dataclass(frozen=True)
class AddressRange:
    """The network of the bridge."""

    network: IPv4Network = CANDIDATES[0]

    @property
    def host(self) -> str:
        """Our own address: istiod and the name server listen there."""
        return str(self.network[1])

    @property
    def outside(self) -> str:
        """The address by which the outside world is on the bridge."""
        return str(self.network[2])

    def workload(self, number: int) -> str:
        """Build the address of the workload `number`, which counts from 1."""
        return str(self.network[256 + number])


def find_free_range(routes: Iterable[IPv4Network]) -> AddressRange | None:
    """Find the first range that no route leads into; None when all are taken. Pure."""
    taken = [route for route in routes if route.prefixlen >= WIDE]
    for candidate in CANDIDATES:
        if not any(candidate.overlaps(route) for route in taken):
            return AddressRange(candidate)
    return None


def build_ipv6(address: str) -> str:
    """Build the IPv6 address that belongs to an IPv4 address on the bridge. Pure."""
    return str(IPv6Address(f"fd10::{address}"))
