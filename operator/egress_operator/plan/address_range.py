"""Ranges of addresses by their place in the tree of all addresses: two nest, or share nothing.

So a range meets only those that it lies in, which are as few as there are lengths of prefixes, and
those that lie in it, of which the first is kept for each length that was asked for.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")


class AddressRange(NamedTuple):
    """An address or a range of addresses. Sorted, a range comes before all that lie in it."""

    version: int
    first: int
    """The first address, with a bit of 1 before its own."""
    length: int
    """Of the prefix, in bits."""
    node: int
    """The prefix, with a bit of 1 before it: 1 is every address, 2n and 2n + 1 the halves of n."""
    text: str
    """As it is written in the policy."""

    def contains(self, other: "AddressRange") -> bool:
        """Whether the whole of `other` lies in this range."""
        return (
            self.version == other.version
            and self.length <= other.length
            and other.node >> (other.length - self.length) == self.node
        )


def parse_range(text: str) -> AddressRange:
    """Parse an address or a CIDR. Pure. Raises `ValueError` for what is neither."""
    network = ip_network(text)
    width, length = network.max_prefixlen, network.prefixlen
    first = 1 << width | int(network.network_address)
    return AddressRange(network.version, first, length, first >> (width - length), text)


class RangeIndex(Generic[V]):
    """Values under ranges of one version of IP, found by overlap. Time per call: lengths in use."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[int, V]] = {}
        """By node, with the order in which they came."""
        self._lengths: set[int] = set()
        self._inside: dict[int, dict[int, tuple[int, V]]] = {}
        """By length and node: the first value whose range is longer and lies in the node."""

    def add(self, place: AddressRange, value: V) -> None:
        """Keep the value; a range that has one already keeps that."""
        if place.node in self._values:
            return
        entry = len(self._values), value
        self._values[place.node] = entry
        self._lengths.add(place.length)
        for length, inside in self._inside.items():
            if length < place.length:
                inside.setdefault(place.node >> (place.length - length), entry)

    def find(self, place: AddressRange) -> V | None:
        """Return the value of this very range; else the first that came of those that overlap."""
        node, own = place.node, place.length
        if (equal := self._values.get(node)) is not None:
            return equal[1]
        found = [
            entry
            for length in self._lengths
            if length < own and (entry := self._values.get(node >> (own - length))) is not None
        ]
        if any(length > own for length in self._lengths):
            entry = self._select_inside(own).get(node)
            if entry is not None:
                found.append(entry)
        return min(found, key=lambda entry: entry[0])[1] if found else None

    def _select_inside(self, length: int) -> dict[int, tuple[int, V]]:
        inside = self._inside.get(length)
        if inside is None:
            inside = self._inside[length] = {}
            for node, entry in self._values.items():
                longer = node.bit_length() - 1 - length
                if longer > 0:
                    inside.setdefault(node >> longer, entry)
        return inside


def list_overlaps(places: Iterable[tuple[AddressRange, str]]) -> Iterator[tuple[str, str]]:
    """List the keys, each with another one, or itself, whose range its own lies in. Pure.

    n log n in the places.
    """
    outer: tuple[AddressRange, str] | None = None
    for place, key in sorted(places):
        if outer is None or not outer[0].contains(place):
            outer = place, key
        yield key, outer[1]
