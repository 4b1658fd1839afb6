"""Claims of policies on (host, port), and which of them hold.

Policies of one namespace that ask for the same with equal settings share the objects; with unequal
settings the older one wins. Istio itself would merge them, or drop one in silence.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from egress_operator.diagnostic import Diagnostic, build_diagnostic, build_message, name_some
from egress_operator.istio.difference import find_difference
from egress_operator.istio.name import build_synthetic_host
from egress_operator.istio.object import Owner
from egress_operator.istio.traffic import (
    EVERYONE,
    FromIntent,
    HostIntent,
    PortIntent,
    TlsIntent,
)
from egress_operator.istio.wildcard import is_wildcard, list_covering
from egress_operator.plan.address_range import AddressRange, RangeIndex, parse_range
from egress_operator.plan.intent import Intent
from egress_operator.plan.overlap import TlsIndex
from egress_operator.plan.piece import Pieces
from egress_operator.plan.size import MOST_TEXT, TextCount
from egress_operator.plan.source import SENIOR

HOST_CONFLICT = "EG101"
PORT_CONFLICT = "EG102"
ADDRESS_CONFLICT = "EG103"
OVERLAP_CONFLICT = "EG130"
TEXT_CONFLICT = "EG134"
LIFTED = "EG106"

MOST_NAMED = 3
"""Policies that a sentence names; the rest is counted."""
PIECE = 128
"""Claims that are judged in one piece: those of the largest policy."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A policy asks for one (host, port). Compared by identity: made once for each generation."""

    owner: Owner
    destination: str
    path: str
    key: str
    """The set: the host, or the synthetic name of an address without a host."""
    host: str
    """As the user wrote it: the host, or the address."""
    settings: HostIntent
    port: PortIntent
    as_dialled: bool
    """No host: the address is reached as it was dialled."""
    gateway: str = ""
    """The EgressGateway; empty: direct."""
    source: FromIntent = EVERYONE
    ranges: tuple[AddressRange, ...] = ()
    """Of `settings.addresses`, in that order."""

    @property
    def is_routed(self) -> bool:
        """Whether the port has a route, whoever may call it: to a gateway, or to several backends.

        One that is not for everyone has one, too.
        """
        http = self.port.http
        is_copied = http is not None and http.mirror is not None
        return bool(self.gateway) or is_copied or self.settings.is_split

    @property
    def upstreams(self) -> int:
        """How many upstreams the port has: each backend that gets requests or copies.

        Those of a failover are one, and so is the host's own name.
        """
        http, settings = self.port.http, self.settings
        used = {""}
        if settings.is_split:
            used = {backend.name for backend in settings.backends if backend.weight}
        if http is not None and http.mirror is not None:
            used.add(http.mirror.backend)
        return len(used)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A claim that does not hold: the rule, and who holds it instead and what differs."""

    claim: Claim
    code: str
    message: str


NONE_LOST: Mapping[Claim, Conflict] = {}
NONE_WAITING: Mapping[Claim, str] = {}
NOT_LIFTED: Mapping[str, tuple[Diagnostic, ...]] = {}
"""One of each for all: there is one for each host."""


@dataclass(frozen=True, slots=True)
class Arbitration:
    """The claims on one host after judgement, the oldest first."""

    won: tuple[Claim, ...]
    """All claims that hold; equal ones of several policies on a port are all among them."""
    lost: Mapping[Claim, Conflict]
    gateways: tuple[str, ...]
    """The EgressGateways that the claims name, sorted."""
    waiting: Mapping[Claim, str] = field(default_factory=lambda: NONE_WAITING)
    """Claims that hold, and are not among `won` because there is no room for them yet: why, in one
    line."""
    left_out: frozenset[Owner] = frozenset()
    """Policies for whose names the host's objects have no room: they own none."""


def build_claims(intent: Intent, namespace: str) -> tuple[Claim, ...]:
    """Everything that a policy asks for, in its own order."""
    claims: list[Claim] = []
    for destination in intent.destinations:
        path = f"spec.destinations[{destination.index}]"
        named = bool(destination.hosts)
        field = "hosts" if named else "addresses"
        hosts = destination.hosts if named else destination.settings.addresses
        for index, host in enumerate(hosts):
            settings = destination.settings
            if not named:
                settings = replace(settings, addresses=(host,))
            ranges = tuple(map(parse_range, settings.addresses))
            claims += [
                Claim(
                    owner=intent.owner,
                    destination=destination.name,
                    path=sys.intern(f"{path}.{field}[{index}]"),
                    key=host if named else build_synthetic_host(host, namespace),
                    host=host,
                    settings=settings,
                    port=_resolve_port(port, destination.tls, host),
                    as_dialled=not named,
                    gateway=intent.gateway,
                    source=intent.source,
                    ranges=ranges,
                )
                for port in destination.ports
            ]
    return tuple(claims)


def _resolve_port(port: PortIntent, tls: TlsIntent | None, host: str) -> PortIntent:
    """Name the server: one that was given, else the host; and what its certificate must hold.

    Of a wildcard neither is named, nor another port than that which the scheme has.
    """
    if is_wildcard(host):
        return replace(port, target=port.number, tls=tls)
    if tls is None:
        return port
    rewritten = "" if port.http is None else port.http.host
    name = tls.server_name or rewritten or host
    return replace(port, tls=replace(tls, server_name=name, names=tls.names or (name,)))


def judge(claims: Iterable[Claim]) -> Pieces[dict[str, Arbitration]]:
    """Decide which claims hold, by host, in pieces. Pure; linear in the claims and their addresses.

    `claims` come oldest policy first, and hold every claim on each host that they name, and those
    on every host whose addresses overlap, or that a wildcard among them covers
    (`coupling.couple`): they are claimed across hosts.
    """
    judge_one = _Judge()
    won: dict[str, list[Claim]] = {}
    lost: dict[str, dict[Claim, Conflict]] = {}
    gateways: dict[str, set[str]] = {}
    for number, claim in enumerate(claims, 1):
        if number % PIECE == 0:
            yield
        kept = won.setdefault(claim.key, [])
        if claim.gateway:
            gateways.setdefault(claim.key, set()).add(claim.gateway)
        loss = judge_one.admit(claim)
        if loss is None:
            kept.append(claim)
        else:
            lost.setdefault(claim.key, {})[claim] = loss
    return {
        key: Arbitration(
            tuple(kept),
            lost.get(key, NONE_LOST),
            tuple(sorted(gateways.get(key, ()))),
            left_out=judge_one.find_left_out(key),
        )
        for key, kept in won.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """An address of a claim."""

    text: str
    claim: Claim


class _Judge:
    """First come, first served.

    What is served: (host), (host, port), (address, port), and below wildcards; and the text of a
    host's objects.
    """

    def __init__(self) -> None:
        self._hosts: dict[str, Claim] = {}
        self._ports: dict[tuple[str, int], Claim] = {}
        self._places: dict[tuple[int, int], RangeIndex[_Place]] = {}
        """By port and version of IP."""
        self._tls = TlsIndex()
        self._texts = TextCount()

    def find_left_out(self, key: str) -> frozenset[Owner]:
        """Return the policies for whose names a host has no room."""
        return frozenset(self._texts.left_out.get(key, ()))

    def admit(self, claim: Claim) -> Conflict | None:
        """Take the claim, or say why it is lost."""
        loss = self._find_loss(claim)
        if loss is not None:
            self._texts.add_owner(claim)
        return loss

    def _find_loss(self, claim: Claim) -> Conflict | None:
        """Return why the claim is lost; else it is taken."""
        number = claim.port.number
        host = self._hosts.get(claim.key)
        if host is not None and (field := _find_host_difference(host, claim)):
            return _build_difference_conflict(claim, host, HOST_CONFLICT, claim.host, field)
        port = self._ports.get((claim.key, number))
        if port is not None and (field := _find_claim_difference(port, claim)):
            what = f"{claim.host}:{number}"
            return _build_difference_conflict(claim, port, PORT_CONFLICT, what, field)
        if (other := self._tls.find(claim)) is not None:
            return _build_overlap_conflict(claim, other)
        if (text := self._texts.measure(claim)) > MOST_TEXT:
            return _build_text_conflict(claim, text)
        if port is None:
            # Else the host has its addresses on this port already: they are the same ones.
            if claim.ranges and (loss := self._admit_addresses(claim)):
                return loss
            self._hosts.setdefault(claim.key, claim)
            self._ports[claim.key, number] = claim
        self._tls.add(claim)
        self._texts.add(claim, text)
        return None

    def _admit_addresses(self, claim: Claim) -> Conflict | None:
        """Take all addresses of the claim, on whose port its host has none yet."""
        number = claim.port.number
        indexes = {
            version: self._places.setdefault((number, version), RangeIndex())
            for version in {place.version for place in claim.ranges}
        }
        for place in claim.ranges:
            other = indexes[place.version].find(place)
            if other is not None:
                return _build_address_conflict(_Place(place.text, claim), other)
        for place in claim.ranges:
            indexes[place.version].add(place, _Place(place.text, claim))
        return None


def _build_difference_conflict(
    claim: Claim, winner: Claim, code: str, what: str, field: str
) -> Conflict:
    wrong = f"{_name_winner(claim, winner)} {what} with a different value of {field}"
    return Conflict(claim, code, build_message(code, wrong))


def _build_address_conflict(place: _Place, other: _Place) -> Conflict:
    claim, winner = place.claim, other.claim
    subject = place.text if claim.as_dialled else f"{claim.host}: {place.text}"
    whom = "" if winner.as_dialled else f" for {winner.host}"
    wrong = (
        f"{subject} on port {claim.port.number} is taken, because {_name_winner(claim, winner)} "
        f"{other.text}{whom}"
    )
    return Conflict(claim, ADDRESS_CONFLICT, build_message(ADDRESS_CONFLICT, wrong))


def _build_overlap_conflict(claim: Claim, winner: Claim) -> Conflict:
    is_above = claim.key in list_covering(winner.key)
    over, below = (claim, winner) if is_above else (winner, claim)
    why = (
        f"{over.host} goes through a gateway, which Istio cannot tell apart from the names below"
        if over.gateway
        else f"{below.host} goes through a gateway, has a from or weights, or copies requests "
        "(http.mirror), which Istio cannot tell apart from the wildcard"
    )
    wrong = (
        f"{claim.host} cannot stand beside {winner.host}, which {_name_winner(claim, winner)}: "
        f"both have the same TLS port, and {why}"
    )
    return Conflict(claim, OVERLAP_CONFLICT, build_message(OVERLAP_CONFLICT, wrong))


def _build_text_conflict(claim: Claim, text: int) -> Conflict:
    wrong = (
        f"with port {claim.port.number} of this policy the objects of {claim.host} would hold "
        f"{text} characters, at most {MOST_TEXT} are allowed, and older policies come first"
    )
    return Conflict(claim, TEXT_CONFLICT, build_message(TEXT_CONFLICT, wrong))


def _name_winner(claim: Claim, winner: Claim) -> str:
    if claim.owner == winner.owner:
        return "this policy also claims"
    return f"policy {winner.owner.name} {SENIOR} claims"


def _find_host_difference(one: Claim, other: Claim) -> str:
    """Name the first field that differs for a host as a whole, empty for equal settings.

    A wildcard goes one way with all of its ports: what goes directly would open it for the rest.
    """
    if is_wildcard(one.key) and one.gateway != other.gateway:
        return "gatewayRef"
    return find_difference(one.settings, other.settings)


def _find_claim_difference(one: Claim, other: Claim) -> str:
    """Name the first field that differs for one port of a host, empty for equal settings."""
    if one.gateway != other.gateway:
        return "gatewayRef"
    return find_difference(one.port, other.port) or (
        "" if _unite(one.source, other.source) else "from"
    )


def unite_sources(claims: Iterable[Claim]) -> tuple[FromIntent, ...]:
    """Who may use a port that these claims won: each of the result may; none: everyone.

    All that have no service accounts stand as they are; those that have some have equal workloads
    (else a claim would have lost), and become one.
    """
    sources = {claim.source for claim in claims}
    if EVERYONE in sources:
        return ()
    plain = sorted(source for source in sources if not source.accounts)
    accounts = {account for source in sources for account in source.accounts}
    if not accounts:
        return tuple(plain)
    workloads = next(source.workloads for source in sources if source.accounts)
    return (FromIntent(workloads, tuple(sorted(accounts))),)


class Lifted:
    """What is said of restrictions that are lifted, by policy: each sentence once."""

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[str, str], str]] = {}

    def add(self, policy: str, path: str, what: str, fix: str) -> None:
        """Take a sentence on a policy; of several fields that it is about, the first counts."""
        paths = self._found.setdefault(policy, {})
        paths[what, fix] = min(path, paths.get((what, fix), path))

    def build(self) -> Mapping[str, tuple[Diagnostic, ...]]:
        """Return them by policy name, sorted."""
        return {
            policy: tuple(
                sorted(
                    build_diagnostic(LIFTED, path, what, fix) for (what, fix), path in paths.items()
                )
            )
            for policy, paths in self._found.items()
        } or NOT_LIFTED


def find_lifted(claims: Iterable[Claim]) -> Mapping[str, tuple[Diagnostic, ...]]:
    """Find restrictions to some workloads that another policy lifts. Pure.

    `claims`: those that hold on one host. By policy name, for both policies: findings that name
    the other one, sorted. Linear.
    """
    ports: dict[int, list[Claim]] = {}
    for claim in claims:
        ports.setdefault(claim.port.number, []).append(claim)
    found = Lifted()
    for own in ports.values():
        opened = [claim for claim in own if claim.source == EVERYONE]
        limited = [claim for claim in own if claim.source != EVERYONE]
        if not opened or not limited:
            continue
        what = f"{own[0].host}:{own[0].port.number}"
        for claim in limited:
            found.add(
                claim.owner.name,
                claim.path,
                f"policy {opened[0].owner.name} opens {what} to every workload of the namespace, "
                "because it has no from",
                "give it a from, or remove the host from it",
            )
        named = _name_some(limited)
        for claim in opened:
            found.add(
                claim.owner.name,
                claim.path,
                f"this policy has no from, so it opens {what} to every workload of the namespace, "
                f"although {named} it",
                "give this policy a from, or remove the host from it",
            )
    return found.build()


def _name_some(limited: Iterable[Claim]) -> str:
    """Name the policies that restrict a port, in a text that does not grow with them."""
    names = sorted({claim.owner.name for claim in limited})
    if len(names) == 1:
        return f"policy {names[0]} restricts"
    return f"policies {name_some(names, MOST_NAMED)} restrict"


def _unite(one: FromIntent, other: FromIntent) -> bool:
    """Whether exactly those whom one of the two allows can be let through by one set of objects.

    Labels are checked by the client's sidecar and accounts by the gateway, each against a list:
    when both lists grow, somebody with labels of the one and an account of the other gets through.
    """
    if EVERYONE in {one, other}:
        return True
    if not one.accounts and not other.accounts:
        return True
    return bool(one.accounts and other.accounts) and one.workloads == other.workloads
