"""Hand-written Istio objects for a host of a policy: seen and said, not governed."""

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import itemgetter

from egress_operator.diagnostic import MOST_NAMED
from egress_operator.istio.destination_rule import TRAFFIC
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired
from egress_operator.istio.wildcard import find_narrowest, is_wildcard
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.namesake import (
    PIECE,
    Group,
    Key,
    Named,
    Namesakes,
    build_namesakes,
    list_names,
    read_key,
)
from egress_operator.plan.override import explain_ruler, find_rulers
from egress_operator.plan.piece import Pieces
from egress_operator.plan.source import HandWritten

_FIRST, _NEXT, _LAST = "", "~", "~~"
"""In the place of a creationTimestamp: before all, after all that are there, and after that."""
_MORE = "more objects that are written by hand and concern"
_MORE_RULES = "more DestinationRules that are written by hand and count in place of ours for"


@dataclass(frozen=True, slots=True)
class Shadows:
    """What stands beside our objects. For each host a few sentences, sorted, and a count."""

    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Objects that name the same host."""
    overriding: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """DestinationRules that count in place of ours."""
    rivals: frozenset[ObjectKey] = frozenset()
    """Our DestinationRules beside which there is another one: their age matters."""


NO_SHADOWS = Shadows()


def find_shadows(
    namespace: str,
    hand_written: Iterable[HandWritten],
    hosts: Mapping[str, CompiledHost],
    ages: Mapping[str, str],
) -> Pieces[Shadows]:
    """Find the objects beside ours, one host, or some names of objects, in each piece. Pure.

    `ages`: the creationTimestamp of our DestinationRules that are there, by name.

    Objects with a wildcard count too: Istio takes the most specific one for a host that has no
    VirtualService, or no DestinationRule, of its own. So do objects for a name below a wildcard of
    ours, which they take away from it; and objects for the private names behind a host, which the
    routes of its clients lead to. An object that has the name of one of ours is no shadow: it is
    squatted, which `next_step` says.
    """
    items = sorted(hand_written, key=read_key)
    around = _look_around(hosts, frozenset(map(read_key, items)))
    yield
    names = [named.name for host in around.values() for named in host.names]
    found = yield from build_namesakes(namespace, items, names)
    yield from _tell_below(around, items)
    rivals: set[ObjectKey] = set()
    for host in around.values():
        yield
        for named in host.names:
            for name, group in found.find_routes(named):
                host.tell(group, partial(_build_sentence, name=name, named=named))
            rivals |= _tell_rules(host, named, found, ages)
    return Shadows(
        {key: told for key, host in around.items() if (told := host.beside.build(_MORE, key))},
        {
            key: told
            for key, host in around.items()
            if (told := host.overriding.build(_MORE_RULES, key))
        },
        frozenset(rivals),
    )


class _Sentences:
    """Sentences on objects: the first ones by the keys of the objects, and how many there are."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[tuple[Key, str]] = []

    def add(
        self, count: int, items: Iterable[HandWritten], build: Callable[[HandWritten], str]
    ) -> None:
        """Take a sentence on each of `count` objects, which are sorted by their keys."""
        self._count += count
        for item in islice(items, MOST_NAMED):
            key = read_key(item)
            if len(self._first) == MOST_NAMED and key >= self._first[-1][0]:
                return
            insort(self._first, (key, build(item)), key=itemgetter(0))
            del self._first[MOST_NAMED:]

    def build(self, more: str, host: str) -> tuple[str, ...]:
        """Return them, sorted; the last one tells how many are left out."""
        rest = self._count - len(self._first)
        told = sorted(sentence for _, sentence in self._first)
        return (*told, f"{more} {host}: {rest}") if rest else tuple(told)


@dataclass(frozen=True, slots=True)
class _Host:
    """A host of ours, and what is told of it."""

    compiled: CompiledHost
    names: tuple[Named, ...]
    squatters: frozenset[Key]
    """Objects by hand that have the name of one of its own."""
    beside: _Sentences = field(default_factory=_Sentences)
    overriding: _Sentences = field(default_factory=_Sentences)

    def tell(self, group: Group, build: Callable[[HandWritten], str]) -> None:
        """Take a sentence on each object of a group that is no squatter."""
        self.beside.add(group.count(self.squatters), group.choose(self.squatters), build)


def _look_around(hosts: Mapping[str, CompiledHost], written: frozenset[Key]) -> Mapping[str, _Host]:
    """Gather the names of hosts, and the squatters among the objects that are written by hand."""
    found: dict[str, _Host] = {}
    for host, compiled in hosts.items():
        objects = () if compiled.object_set is None else compiled.object_set.objects
        keys: frozenset[Key] = frozenset((item.key.kind, item.key.name) for item in objects)
        found[host] = _Host(compiled, tuple(list_names(host, compiled)), keys & written)
    return found


def _tell_below(around: Mapping[str, _Host], items: Iterable[HandWritten]) -> Pieces[None]:
    """Tell of objects for a name below a wildcard of ours that is no host of ours.

    A DestinationRule alone takes nothing away: there is no service of that name.
    """
    wildcards = {host for host in around if is_wildcard(host)}
    count = 0
    for item in items if wildcards else ():
        for name in () if item.kind == Kind.DESTINATION_RULE else dict.fromkeys(item.hosts):
            count += 1
            if count % PIECE == 0:
                yield
            over = None if name in around else find_narrowest(name, wildcards)
            if over is not None and read_key(item) not in around[over].squatters:
                build = partial(_build_sentence_below, name=name, host=over)
                around[over].beside.add(1, (item,), build)


def _tell_rules(
    host: _Host, named: Named, found: Namesakes, ages: Mapping[str, str]
) -> set[ObjectKey]:
    """Tell of the DestinationRules for a name of a host; return ours if it has rivals."""
    groups = {name: group for name, group in found.find_rules(named) if group.count(host.squatters)}
    if not groups:
        return set()
    own = _find_rule(named.name, host.compiled)
    if own is None:
        _tell_followed(host, named, found, next(iter(groups)))
    elif named.name in groups:
        _tell_rivals(host, named, _build_own(own, ages), groups[named.name])
        return {own.key}
    return set()


def _find_rule(host: str, compiled: CompiledHost) -> Desired | None:
    """Return our DestinationRule for the host itself."""
    objects = () if compiled.object_set is None else compiled.object_set.objects
    rules = (item for item in objects if item.key.kind is Kind.DESTINATION_RULE)
    return next((rule for rule in rules if host in rule.facts.hosts), None)


def _build_own(own: Desired, ages: Mapping[str, str]) -> HandWritten:
    """Return our DestinationRule in the form of the others."""
    return HandWritten(
        own.key.kind,
        own.key.name,
        ages.get(own.key.name, _NEXT),
        own.facts.hosts,
        own.facts.export_to,
        own.facts.parts,
    )


def _is_open(compiled: CompiledHost) -> bool:
    """Whether the sidecars call the host itself, and not by another name or through a gateway."""
    found = compiled.object_set
    return found is None or not any(
        item.key == found.service_entry_key and item.facts.is_closed for item in found.objects
    )


def _tell_followed(host: _Host, named: Named, found: Namesakes, name: str) -> None:
    """Tell of the rules for a name without one of ours; `name` is the most specific of theirs."""
    is_called = not named.is_own or _is_open(host.compiled)
    build = partial(_build_sentence_followed, name=name, named=named, is_called=is_called)
    if name == named.name:
        host.tell(found.rules[name], build)
    elif is_called and name in found.followed:
        host.tell(found.followed[name], build)


def _tell_rivals(host: _Host, named: Named, ours: HandWritten, group: Group) -> None:
    """Tell which of the other rules for a name count in place of ours, and which do not."""
    rivals = tuple(group.choose(host.squatters))
    why = _find_overriding(ours, rivals)
    over = [item for item in rivals if item in why]
    host.overriding.add(
        len(over), over, lambda item: _build_sentence_overriding(item, named, why[item])
    )
    rest = [item for item in rivals if item not in why]
    host.beside.add(len(rest), rest, partial(_build_sentence_lost, named=named))


def _find_overriding(
    ours: HandWritten, rivals: Collection[HandWritten]
) -> Mapping[HandWritten, str]:
    """Return the other rules for a name that count in place of ours, each with the reason.

    In files the others may be older than ours or younger: both are tried.
    """
    found: dict[HandWritten, str] = {}
    is_known = all(item.created for item in rivals)
    for unknown in (_FIRST,) if is_known else (_FIRST, _LAST):
        aged = {replace(item, created=item.created or unknown): item for item in rivals}
        for ruler in find_rulers([ours, *aged]):
            if ruler != ours:
                item = aged[ruler]
                why = explain_ruler(ruler, ours, is_certain=bool(item.created))
                found.setdefault(item, why)
    return found


def _name(item: HandWritten, name: str, named: Named) -> str:
    what = str(named) if name == named.name else f"{named.host} (by {name})"
    return f"{item.kind} {item.name}, written by hand, also names {what}"


def _build_sentence(item: HandWritten, name: str, named: Named) -> str:
    if item.kind == Kind.VIRTUAL_SERVICE:
        effect = "Istio may route by it and not by this policy"
    else:
        effect = "Istio mixes its endpoints and ports with those of this policy"
    return f"{_name(item, name, named)}: {effect}, so remove one"


def _build_sentence_below(item: HandWritten, name: str, host: str) -> str:
    what = f"{item.kind} {item.name}, written by hand, names {name}, which is below {host}"
    if item.kind == Kind.VIRTUAL_SERVICE:
        return (
            f"{what}: Istio routes the name by it, and, if it has `tls` routes, no TLS connection "
            f"to any other name below {host} gets out; remove it"
        )
    return f"{what}: the name goes its way and not that of this policy, so remove one"


def _build_sentence_followed(item: HandWritten, name: str, named: Named, *, is_called: bool) -> str:
    if TRAFFIC in item.parts and is_called:
        effect = "Istio applies its trafficPolicy to calls of this host, so remove one"
    else:
        effect = "it has no effect beside this policy, so remove it"
    return f"{_name(item, name, named)}: {effect}"


def _build_sentence_overriding(item: HandWritten, named: Named, why: str) -> str:
    return (
        f"DestinationRule {item.name}, written by hand, counts for {named} in place of the "
        f"operator's own {why}: originateTLS, traffic and failover have no effect then, and "
        "requests may leave in plain text; delete it"
    )


def _build_sentence_lost(item: HandWritten, named: Named) -> str:
    what = _name(item, named.name, named)
    return f"{what}: it has no effect beside the operator's own, so remove it"
