"""Hosts below a wildcard whose restriction has no effect, because one of the two opens the other.

A call goes by the policy of its host if that has the port, else by the narrowest wildcard over the
host that has it (plan/overlap.py). So a wildcard can open a port of a host past the policy that
restricts the host, and a host without `from` opens what the wildcard restricts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from egress_operator.diagnostic import Diagnostic, name_some
from egress_operator.istio.http import AllowIntent
from egress_operator.istio.traffic import EVERYONE
from egress_operator.istio.wildcard import is_wildcard, list_covering
from egress_operator.plan.claim import MOST_NAMED, NOT_LIFTED, Claim, Lifted

_ADD = "add the port to it, or remove it from the wildcard"
_REMOVE = (
    "remove the port from the wildcard, or give the wildcard originateTLS in its place, with which "
    "it has port 80 alone"
)
"""Of TLS: a name cannot both have that port beside the wildcard and be restricted (`TlsIndex`)."""
Ports = dict[int, list[Claim]]


class _Way:
    """A port of a wildcard, and what calls by it keep to."""

    def __init__(self, claims: list[Claim]) -> None:
        self.claims = claims
        self.paths: dict[str, str] = {}
        for claim in claims:
            path = self.paths.get(claim.owner.name, claim.path)
            self.paths[claim.owner.name] = min(path, claim.path)
        self.named = f"{claims[0].host} of policy {claims[0].owner.name}"
        self.is_http = claims[0].port.is_http
        self.gateways = {claim.gateway for claim in claims}
        self.sources = {claim.source for claim in claims}
        self.allows = {_read_allow(claim) for claim in claims}


class _Names(NamedTuple):
    """Ports of names below a wildcard, as a sentence about the wildcard names them."""

    opened: dict[str, None]
    """Those that it opens although a policy restricts the name."""
    opening: dict[str, None]
    """Those that a policy opens although the wildcard is restricted."""
    ways: dict[int, _Way]
    """The ports of the wildcard that are meant."""


def find_bypassed(
    claims: Iterable[Claim], won: Mapping[str, Iterable[Claim]], kept: Mapping[str, Collection[int]]
) -> Mapping[str, tuple[Diagnostic, ...]]:
    """Find names and wildcards of which one lifts the restriction of the other. Pure.

    `claims`: those of all policies that have not expired, also of policies on hold. `won`: those
    that hold and lead somewhere, by host. `kept`: the ports that stand of hosts that policies on
    hold keep. By policy name: findings that name the other policy, sorted. Linear in the claims
    and their labels.
    """
    by_name: defaultdict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_name[claim.key].append(claim)
    in_force = {key: _list_ports(own) for key, own in won.items()}
    for key, numbers in kept.items():
        ports, asked = in_force.setdefault(key, {}), _list_ports(by_name[key])
        for number in numbers:
            ports.setdefault(number, asked.get(number, []))
    wildcards = {
        key: {number: _Way(own) for number, own in ports.items() if own}
        for key, ports in in_force.items()
        if is_wildcard(key)
    }
    if not wildcards:
        return NOT_LIFTED
    found = Lifted()
    named: defaultdict[str, _Names] = defaultdict(lambda: _Names({}, {}, {}))
    for key, asked_for in by_name.items():
        here = in_force.get(key, {})
        for over, number in _list_open(key, wildcards):
            above = wildcards[over][number]
            if number in here:
                _note_opening(here[number], above, found, named[over])
            else:
                _note_opened(asked_for, above, number, found, named[over])
    for over, names in named.items():
        for what, fix in _describe(over, names):
            _tell(names, what, fix, found)
    return found.build()


def _list_ports(claims: Iterable[Claim]) -> Ports:
    found: dict[int, list[Claim]] = {}
    for claim in claims:
        found.setdefault(claim.port.number, []).append(claim)
    return found


def _list_open(key: str, wildcards: Mapping[str, Mapping[int, _Way]]) -> Iterator[tuple[str, int]]:
    """List the ports of wildcards over a host, each with the narrowest one that has it."""
    seen: set[int] = set()
    for over in list_covering(key):
        for number in wildcards.get(over, {}).keys() - seen:
            seen.add(number)
            yield over, number


def _note_opened(
    asked: Collection[Claim],
    above: _Way,
    number: int,
    found: Lifted,
    names: _Names,
) -> None:
    """Note a port of a wildcard that is open for a name although the name is restricted."""
    numbers = {claim.port.number for claim in asked}
    for claim in asked:
        if not (field := _name_restriction(claim, above)):
            continue
        what = f"{claim.host}:{number}"
        names.opened.setdefault(f"{what} (policy {claim.owner.name} has {field})")
        names.ways[number] = above
        why, fix = (
            ("is not in force for that port", "make it ready, or remove the port from the wildcard")
            if number in numbers
            else ("does not have that port", _ADD if above.is_http else _REMOVE)
        )
        found.add(
            claim.owner.name,
            claim.path,
            f"calls for {what} go by {above.named}, past the {field} of this policy, which {why}",
            fix,
        )


def _note_opening(
    own: list[Claim],
    above: _Way,
    found: Lifted,
    names: _Names,
) -> None:
    """Note a port that a name opens to everyone although the wildcard is restricted."""
    if EVERYONE in above.sources:
        return
    for claim in own:
        if claim.source == EVERYONE:
            what = f"{claim.host}:{claim.port.number}"
            names.opening.setdefault(f"{what} (policy {claim.owner.name})")
            names.ways[claim.port.number] = above
            found.add(
                claim.owner.name,
                claim.path,
                f"this policy has no from, so it opens {what} to every workload of the namespace, "
                f"although {above.named} has one",
                "give this policy a from, or remove the host from it",
            )


def _name_restriction(claim: Claim, above: _Way) -> str:
    """Name the field that a call by the wildcard does not keep to, empty for none."""
    if claim.gateway and above.gateways != {claim.gateway}:
        return "gatewayRef"
    if claim.source != EVERYONE and above.sources != {claim.source}:
        return "from"
    allow = _read_allow(claim)
    return "http.allow" if allow and above.allows != {allow} else ""


def _read_allow(claim: Claim) -> frozenset[AllowIntent]:
    return frozenset(() if claim.port.http is None else claim.port.http.allow)


def _describe(over: str, names: _Names) -> Iterator[tuple[str, str]]:
    """Describe what a wildcard and the names below it lift, in a text that does not grow.

    Each time what is wrong, and the fix.
    """
    if names.opened:
        yield (
            f"{over} of this policy opens {_name_some(names.opened)}, past what restricts them",
            "remove the port from the wildcard, or, unless it is TLS, give it to those hosts too",
        )
    if names.opening:
        yield (
            (
                f"{over} of this policy has a from, but hosts below it are open to every workload "
                f"of the namespace: {_name_some(names.opening)}"
            ),
            "give those policies a from",
        )


def _tell(names: _Names, what: str, fix: str, found: Lifted) -> None:
    """Take a sentence on each policy that has one of these ports of the wildcard."""
    for way in names.ways.values():
        for owner, path in way.paths.items():
            found.add(owner, path, what, fix)


def _name_some(names: Collection[str]) -> str:
    return name_some([*names], MOST_NAMED)
