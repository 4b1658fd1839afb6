"""Hand-written Istio objects by the names of our hosts that they have, also by wildcard."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from egress_operator.istio.destination_rule import TRAFFIC
from egress_operator.istio.facts import OWN_NAMESPACE
from egress_operator.istio.kind import Kind
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.override import is_seen
from egress_operator.plan.piece import Pieces
from egress_operator.plan.source import HandWritten

PIECE = 1000
"""Names of objects that are looked at in one piece."""
_ANY = "*"

Key = tuple[str, str]
"""Kind and name of an object of the namespace."""


@dataclass(slots=True)
class Group:
    """Objects that have one name, sorted by their keys."""

    items: dict[Key, HandWritten] = field(default_factory=dict)

    def choose(self, squatters: frozenset[Key]) -> Iterator[HandWritten]:
        """Give those that do not have the name of an object of ours."""
        return (item for key, item in self.items.items() if key not in squatters)

    def count(self, squatters: frozenset[Key]) -> int:
        """Count them; the work is that of the squatters."""
        return len(self.items) - sum(key in self.items for key in squatters)


Groups = defaultdict[str, Group]


@dataclass(frozen=True, slots=True)
class Named:
    """A name that leads to a host of ours: its own, or a private one behind it."""

    host: str
    name: str

    def __str__(self) -> str:
        """Name it as people do."""
        return self.host if self.is_own else f"{self.name} behind {self.host}"

    @property
    def is_own(self) -> bool:
        """Whether it is the host's own name."""
        return self.name == self.host


def list_names(host: str, compiled: CompiledHost) -> Iterator[Named]:
    """List the names under which sidecars of the namespace reach a host. Pure."""
    yield Named(host, host)
    for item in () if compiled.object_set is None else compiled.object_set.objects:
        if item.key.kind is Kind.SERVICE_ENTRY and item.facts.export_to == OWN_NAMESPACE:
            yield from (Named(host, name) for name in item.facts.hosts if name != host)


def read_key(item: HandWritten) -> Key:
    """Return what tells an object from the others of its namespace. Pure."""
    return item.kind, item.name


class _SuffixIndex:
    """Names sorted from their ends: those with one end stand side by side."""

    def __init__(self, names: Iterable[str]) -> None:
        self._reversed = sorted(name[::-1] for name in names)

    def holds(self, suffix: str) -> bool:
        """Whether a name ends with `suffix`; log n."""
        start = suffix[::-1]
        place = bisect_left(self._reversed, start)
        return place < len(self._reversed) and self._reversed[place].startswith(start)


def _build_groups() -> Groups:
    return defaultdict(Group)


@dataclass(slots=True)
class Namesakes:
    """Objects by those of their names that stand for one of ours."""

    routes: Groups = field(default_factory=_build_groups)
    """VirtualServices by all of these names, ServiceEntries by those without wildcard."""
    rules: Groups = field(default_factory=_build_groups)
    """DestinationRules that the namespace sees."""
    followed: Groups = field(default_factory=_build_groups)
    """Those of them with a trafficPolicy."""

    def find_routes(self, named: Named) -> Iterator[tuple[str, Group]]:
        """Give the groups of VirtualServices and ServiceEntries that have a name of ours.

        Private names have a ServiceEntry and a VirtualService of their own, before any by wildcard.
        """
        for name, group in _find(self.routes, named.name):
            if named.is_own or name == named.name:
                yield name, group

    def find_rules(self, named: Named) -> Iterator[tuple[str, Group]]:
        """Give the groups of DestinationRules that have a name of ours, the most specific first."""
        return _find(self.rules, named.name)


def _find(groups: Groups, name: str) -> Iterator[tuple[str, Group]]:
    """Give the groups of a name, and of the wildcards over it from the longest on."""
    if name in groups:
        yield name, groups[name]
    for start in range(len(name) + 1) if groups else ():
        wildcard = f"{_ANY}{name[start:]}"
        if wildcard != name and wildcard in groups:
            yield wildcard, groups[wildcard]


def build_namesakes(
    namespace: str, items: Iterable[HandWritten], names: Collection[str]
) -> Pieces[Namesakes]:
    """Sort objects of a namespace, sorted by their keys, by those of our names that they have.

    n log n in the names of all objects. Pure.
    """
    known, ends = frozenset(names), _SuffixIndex(names)

    def stands_for_any(name: str) -> bool:
        return ends.holds(name[1:]) if name.startswith(_ANY) else name in known

    found, count = Namesakes(), 0
    for item in items:
        is_rule = item.kind == Kind.DESTINATION_RULE
        if is_rule and not is_seen(item, namespace):
            continue
        key = read_key(item)
        for name in item.hosts:
            count += 1
            if count % PIECE == 0:
                yield
            is_lost = item.kind == Kind.SERVICE_ENTRY and name.startswith(_ANY)
            if is_lost or not stands_for_any(name):
                continue
            groups = found.rules if is_rule else found.routes
            groups[name].items[key] = item
            if is_rule and TRAFFIC in item.parts:
                found.followed[name].items[key] = item
    return found
