"""Hand-written Istio objects for a host of a policy: seen and said, not governed."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from egress_operator.istio.destination_rule import TRAFFIC
from egress_operator.istio.facts import OWN_NAMESPACE
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired
from egress_operator.istio.wildcard import find_narrowest, is_wildcard
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.override import explain_ruler, find_rulers, is_seen
from egress_operator.plan.source import HandWritten

_FIRST, _NEXT, _LAST = "", "~", "~~"
"""In the place of a creationTimestamp: before all, after all that are there, and after that."""


@dataclass(frozen=True, slots=True)
class Shadows:
    """What stands beside our objects. Sentences by host, sorted."""

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
) -> Shadows:
    """Find the objects beside ours. Pure.

    `ages`: the creationTimestamp of our DestinationRules that are there, by name.

    Objects with a wildcard count too: Istio takes the most specific one for a host that has no
    VirtualService, or no DestinationRule, of its own. So do objects for a name below a wildcard of
    ours, which they take away from it; and objects for the private names behind a host, which the
    routes of its clients lead to. An object that has the name of one of ours is no shadow: it is
    squatted, which `next_step` says.
    """
    beside: dict[str, set[str]] = {}
    rules: dict[_Named, list[tuple[HandWritten, str]]] = {}
    for host, item, name in _match_below(hand_written, hosts):
        beside.setdefault(host, set()).add(_build_sentence_below(item, name, host))
    for named, item, name in _match(hand_written, hosts):
        if item.kind != Kind.DESTINATION_RULE:
            beside.setdefault(named.host, set()).add(_build_sentence(item, name, named))
        elif is_seen(item, namespace):
            rules.setdefault(named, []).append((item, name))
    overriding: dict[str, set[str]] = {}
    rivals: set[ObjectKey] = set()
    for named, found in rules.items():
        host = named.host
        own = _find_rule(named.name, hosts[host])
        exact = [item for item, name in found if name == named.name]
        if own is None:
            told = set(_explain_followed(named, hosts[host], found))
        else:
            over, told = _compare(named, _build_own(own, ages), exact)
            overriding[host] = overriding.get(host, set()) | over
            rivals |= {own.key} if exact else set()
        beside[host] = beside.get(host, set()) | told
    return Shadows(_sort(beside), _sort(overriding), frozenset(rivals))


@dataclass(frozen=True, slots=True)
class _Named:
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


def _list_names(host: str, compiled: CompiledHost) -> Iterator[_Named]:
    """List the names under which sidecars of the namespace reach a host."""
    yield _Named(host, host)
    for item in () if compiled.object_set is None else compiled.object_set.objects:
        if item.key.kind is Kind.SERVICE_ENTRY and item.facts.export_to == OWN_NAMESPACE:
            yield from (_Named(host, name) for name in item.facts.hosts if name != host)


class _SuffixIndex:
    """Hosts sorted by their reversed names: those with one end stand side by side."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(hosts)
        self._reversed = sorted(host[::-1] for host in self.hosts)

    def find(self, suffix: str) -> Iterator[str]:
        """Give the hosts that end with `suffix`; n log n in all, and what is found."""
        start = suffix[::-1]
        first = bisect_left(self._reversed, start)
        for index in range(first, len(self._reversed)):
            if not self._reversed[index].startswith(start):
                return
            yield self._reversed[index][::-1]


def _match(
    hand_written: Iterable[HandWritten], hosts: Mapping[str, CompiledHost]
) -> Iterator[tuple[_Named, HandWritten, str]]:
    """Give each name of ours that an object stands for, with the name by which it does.

    Private names have a ServiceEntry and a VirtualService of their own, before any by wildcard.
    """
    names = {
        named.name: named
        for host, compiled in hosts.items()
        for named in _list_names(host, compiled)
    }
    index = _SuffixIndex(names)
    for item in hand_written:
        for name in item.hosts:
            if not name.startswith("*"):
                found: Iterable[str] = [name] if name in index.hosts else []
            else:
                found = () if item.kind == Kind.SERVICE_ENTRY else index.find(name[1:])
            for named in map(names.__getitem__, found):
                is_met = named.is_own or name == named.name or item.kind == Kind.DESTINATION_RULE
                if is_met and not _is_squatter(item, hosts[named.host]):
                    yield named, item, name


def _match_below(
    hand_written: Iterable[HandWritten], hosts: Mapping[str, CompiledHost]
) -> Iterator[tuple[str, HandWritten, str]]:
    """Give each wildcard of ours with an object for a name below it that is no host of ours.

    A DestinationRule alone takes nothing away: there is no service of that name.
    """
    wildcards = {host for host in hosts if is_wildcard(host)}
    for item in hand_written if wildcards else ():
        for name in () if item.kind == Kind.DESTINATION_RULE else item.hosts:
            if name in hosts:
                continue
            over = find_narrowest(name, wildcards)
            if over is not None and not _is_squatter(item, hosts[over]):
                yield over, item, name


def _is_squatter(item: HandWritten, host: CompiledHost) -> bool:
    return host.object_set is not None and any(
        desired.key.kind == item.kind and desired.key.name == item.name
        for desired in host.object_set.objects
    )


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


def _explain_followed(
    named: _Named, compiled: CompiledHost, rules: Iterable[tuple[HandWritten, str]]
) -> Iterator[str]:
    """Explain the rules for a name without one of ours: the most specific ones are followed."""
    longest = max(rules, key=lambda found: (found[1] == named.name, len(found[1])))[1]
    is_called = not named.is_own or _is_open(compiled)
    for item, name in rules:
        is_followed = name == longest and TRAFFIC in item.parts and is_called
        if is_followed:
            effect = "Istio applies its trafficPolicy to calls of this host, so remove one"
        elif name == named.name:
            effect = "it has no effect beside this policy, so remove it"
        else:
            continue
        yield f"{_name(item, name, named)}: {effect}"


def _compare(
    named: _Named, ours: HandWritten, others: list[HandWritten]
) -> tuple[set[str], set[str]]:
    """Tell which of the other rules for a name count in place of ours, and which do not.

    In files the others may be older than ours or younger: both are tried.
    """
    overriding: dict[HandWritten, str] = {}
    for unknown in (_FIRST, _LAST):
        aged = {replace(item, created=item.created or unknown): item for item in others}
        for ruler in find_rulers([ours, *aged]):
            if ruler != ours:
                item = aged[ruler]
                why = explain_ruler(ruler, ours, is_certain=bool(item.created))
                overriding.setdefault(item, why)
    over = {
        f"DestinationRule {item.name}, written by hand, counts for {named} in place of the "
        f"operator's own {why}: originateTLS, traffic and failover have no effect then, and "
        "requests may leave in plain text; delete it"
        for item, why in overriding.items()
    }
    told = {
        f"{_name(item, named.name, named)}: it has no effect beside the operator's own, so remove "
        "it"
        for item in others
        if item not in overriding
    }
    return over, told


def _name(item: HandWritten, name: str, named: _Named) -> str:
    what = str(named) if name == named.name else f"{named.host} (by {name})"
    return f"{item.kind} {item.name}, written by hand, also names {what}"


def _build_sentence(item: HandWritten, name: str, named: _Named) -> str:
    if item.kind == Kind.VIRTUAL_SERVICE:
        effect = "Istio may route by it and not by this policy"
    else:
        effect = "Istio mixes its endpoints and ports with those of this policy"
    return f"{_name(item, name, named)}: {effect}, so remove one"


def _build_sentence_below(item: HandWritten, name: str, host: str) -> str:
    what = f"{item.kind} {item.name}, written by hand, names {name}, which is below {host}"
    if item.kind == Kind.VIRTUAL_SERVICE:
        effect = "Istio routes the name by it, and, if it has tls routes, TLS of no name of {host}"
        return f"{what}: {effect.format(host=host)} is let out; so remove it, or name {name} too"
    return f"{what}: the name goes its way and not that of this policy, so remove one"


def _sort(found: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    return {host: tuple(sorted(sentences)) for host, sentences in found.items() if sentences}
