"""Limits of what one namespace has: what stands comes first, then older policies.

A policy on hold keeps its objects whatever becomes of it, so to count what is asked for would not
do. Old and new things stand beside each other for a while: there may be twice the limit then, and
what would be more has to wait.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.object import Owner
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.claim import Arbitration, Claim
from egress_operator.plan.intent import Limits
from egress_operator.plan.overlap import Item
from egress_operator.plan.standing import HostStanding

NAMESPACE_LIMIT = "EG056"
GATEWAY_LIMIT = "EG116"

Server = tuple[str, int]
"""A host and port."""
Pair = tuple[str, int, int]
"""A host, a port, and the place of an upstream among those of the port, from 0."""
Countable = Item | Pair

PAIRS_PER_HOST = 4
"""How many pairs of host and port, each backend counted, there may be for each host that a limit
allows: each of them is as much to write, and for the proxies to keep, as a host with one port."""

_PATH = "spec.destinations"
_NAMESPACE = "hosts"
_HOSTS = "hosts at EgressGateway {gateway}"
_NAMESPACE_PAIRS = "pairs of host and port, each backend counted"
_PAIRS = f"{_NAMESPACE_PAIRS}, at EgressGateway {{gateway}}"
_SERVERS = (
    "servers at EgressGateway {gateway} (one for each host and port that is not HTTP, has "
    "from.serviceAccounts, or is a wildcard)"
)
NO_SERVERS: frozenset[Server] = frozenset()
NO_PAIRS: frozenset[Pair] = frozenset()
NOTHING: frozenset[Countable] = frozenset()
"""One for all: Python makes each empty frozenset anew."""
WAITING_FOR_NOTHING: Mapping[Item, str] = {}


@dataclass(frozen=True, slots=True)
class Demand:
    """What one policy asks for."""

    hosts: frozenset[str]
    """Keys of hosts; an address without a name counts as one."""
    gateway: str
    """The EgressGateway; empty: direct."""
    servers: frozenset[Server]
    """The hosts and ports that need a server of their own at the gateway."""
    pairs: frozenset[Pair] = NO_PAIRS
    """Every upstream of every port."""


def build_demand(claims: Iterable[Claim], gateway: str) -> Demand:
    """Add up what the claims of one policy ask for. Pure.

    Plain HTTP for everyone in the namespace shares one server, which does not count; that of a
    wildcard has its own.
    """
    found = tuple(claims)
    servers = {
        (claim.key, claim.port.number)
        for claim in found
        if claim.gateway
        and (not claim.port.is_http or claim.source.accounts or is_wildcard(claim.key))
    }
    hosts = frozenset(claim.key for claim in found)
    pairs = frozenset(
        (claim.key, claim.port.number, place) for claim in found for place in range(claim.upstreams)
    )
    return Demand(hosts, gateway, frozenset(servers) if servers else NO_SERVERS, pairs)


NO_DEMAND = Demand(frozenset(), "", NO_SERVERS)


@dataclass(frozen=True, slots=True)
class Applicant:
    """A policy, and what it asks for."""

    owner: Owner
    demand: Demand
    is_on_hold: bool = False
    """Whether it is on hold anyway, without any limit: it keeps what it has."""


@dataclass(frozen=True, slots=True)
class GatewayRoom:
    """What a namespace may have at an accepted EgressGateway."""

    label: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Limited:
    """What the limits keep a policy from."""

    excess: Diagnostic | None = None
    """The limit that it exceeds: it is refused."""
    waiting: Mapping[Item, str] = field(default_factory=lambda: WAITING_FOR_NOTHING)
    """What it asks for and cannot have yet: each with the reason, in one line."""


UNLIMITED = Limited()


def find_limited(
    applicants: Collection[Applicant],
    most_hosts: int,
    gateways: Mapping[str, GatewayRoom],
    standing: Collection[HostStanding] = (),
) -> dict[str, Limited]:
    """Tell which policies the limits keep from something, by name. Pure.

    Linear in what is asked for and stands; near a limit also in the policies times the gateways at
    which something stands.

    `applicants`: the oldest policy first. `gateways`: by name. `standing`: what there is.

    What stands counts until the policy that has it asks for something else and may have that. A
    policy that adds something is refused as a whole if it is too much then, and keeps what it has.
    Those that make it less are looked at first, then those that make it no more, so what is in
    force stays accepted. None is refused if there is room for what all of them ask for, in place
    of what they have.

    What is asked for and stands already stays. Of what is new, the oldest policy's first, so much
    may be added that no more than twice the limit stands, whoever owns it; the rest waits until
    something is gone. A port that stands does not wait for more backends: it would have to go.
    """
    if _has_room_for_all(applicants, most_hosts, gateways, standing):
        return {}
    rooms = _Rooms(most_hosts, gateways, standing)
    for applicant in applicants:
        rooms.let_in(applicant)
    found: dict[str, Limited] = {}
    if rooms.are_exceeded() or any(
        applicant.is_on_hold and rooms.find_excess(applicant) for applicant in applicants
    ):
        rooms = _Rooms(most_hosts, gateways, standing)
        found = _admit(rooms, sorted(applicants, key=rooms.find_growth))
    for applicant in applicants:
        if applicant.is_on_hold or applicant.owner.name in found:
            continue
        if waiting := rooms.add(applicant.demand):
            found[applicant.owner.name] = Limited(waiting=waiting)
    return found


def _admit(rooms: "_Rooms", applicants: Collection[Applicant]) -> dict[str, Limited]:
    """Let in one policy after another; return those that are refused, by name.

    One on hold is looked at again in the end: it has not given up what it has, which others may
    have come to share.
    """
    found: dict[str, Limited] = {}
    for applicant in applicants:
        excess = rooms.find_excess(applicant)
        if excess is None:
            rooms.let_in(applicant)
        else:
            found[applicant.owner.name] = Limited(excess)
    for applicant in applicants:
        if applicant.is_on_hold and (excess := rooms.find_excess(applicant)) is not None:
            found[applicant.owner.name] = Limited(excess)
    return found


def withhold(results: Arbitration, waiting: Mapping[str, Mapping[Item, str]]) -> Arbitration:
    """Take out the claims on a host that hold and have to wait for room. Pure.

    `waiting`: what has to wait, by the name of the policy.
    """
    won: list[Claim] = []
    found: dict[Claim, str] = {}
    for claim in results.won:
        items = waiting.get(claim.owner.name, WAITING_FOR_NOTHING)
        reason = items.get(claim.key) or items.get((claim.key, claim.port.number))
        if reason is None:
            won.append(claim)
        else:
            found[claim] = reason
    return replace(results, won=tuple(won), waiting=found) if found else results


def _has_room_for_all(
    applicants: Iterable[Applicant],
    most_hosts: int,
    gateways: Mapping[str, GatewayRoom],
    standing: Iterable[HostStanding],
) -> bool:
    """Whether all that is asked for and all that stands is within every limit together."""
    hosts: defaultdict[str, set[Countable]] = defaultdict(set)
    """By the label of the gateway, empty for all of the namespace."""
    servers: defaultdict[str, set[Countable]] = defaultdict(set)
    pairs: defaultdict[str, set[Countable]] = defaultdict(set)
    """As `hosts`."""
    for host in standing:
        for label in ("", *host.gateways):
            hosts[label].add(host.host)
        for label, port in host.servers:
            servers[label].add((host.host, port))
        for label, port, place in host.pairs:
            pairs[label].add((host.host, port, place))
    for applicant in applicants:
        demand = applicant.demand
        hosts[""] |= demand.hosts
        pairs[""] |= demand.pairs
        if (at := gateways.get(demand.gateway)) is not None:
            hosts[at.label] |= demand.hosts
            servers[at.label] |= demand.servers
            pairs[at.label] |= demand.pairs
    return (
        len(hosts[""]) <= most_hosts
        and len(pairs[""]) <= PAIRS_PER_HOST * most_hosts
        and all(
            len(hosts[at.label]) <= at.limits.hosts
            and len(pairs[at.label]) <= PAIRS_PER_HOST * at.limits.hosts
            and len(servers[at.label]) <= at.limits.servers
            for at in gateways.values()
        )
    )


Kept = dict[Owner, set[Countable]]
"""What policies have."""
_NOBODY = Owner("", "")
"""Has what no policy owns any more: it counts only until it is gone."""


class _Room:
    """One limit, and what counts towards it."""

    def __init__(self, code: str, most: int, what: str, kept: Kept) -> None:
        self._there = {item for items in kept.values() for item in items}
        """What stands, and what may be added to it now."""
        kept.pop(_NOBODY, None)
        self.kept = kept
        self.counts = dict(Counter(chain.from_iterable(kept.values())))
        """What there will be, each with the number of policies that have it or may have it."""
        self._code = code
        self._most = most
        self._what = what

    def count_with(self, owner: Owner, items: frozenset[Countable]) -> int:
        """Return how many there will be if a policy may have these in place of what it has."""
        kept = self.kept.get(owner, NOTHING)
        if kept == items:
            return len(self.counts)
        leaving = sum(self.counts[item] == 1 for item in kept - items)
        return len(self.counts) - leaving + len(items.difference(self.counts))

    def find_excess(
        self, owner: Owner, items: frozenset[Countable], gateway: str
    ) -> Diagnostic | None:
        """Tell that a policy adds something, and that it is too much then."""
        count, most = self.count_with(owner, items), self._most
        if count <= most or items <= self.counts.keys():
            return None
        what = self._what.format(gateway=gateway)
        return build_diagnostic(
            self._code,
            _PATH,
            f"with this policy the namespace would have {count} {what}, at most {most} are "
            "allowed, and what is there comes first, then older policies",
        )

    @property
    def is_exceeded(self) -> bool:
        """Whether there will be more than the limit."""
        return len(self.counts) > self._most

    def find_wait(self, items: Collection[Countable], gateway: str) -> str:
        """Tell why these cannot be added now, in one line; empty when they can, or some stand."""
        most = 2 * self._most
        if len(self._there) + len(items) <= most or not self._there.isdisjoint(items):
            return ""
        return (
            "pending until others that are not needed any more are gone, because at most "
            f"{most} {self._what.format(gateway=gateway)} may be there at a time"
        )

    def add(self, items: Iterable[Countable]) -> None:
        """Know that these stand, or may be added now."""
        self._there.update(items)

    def exchange(self, applicant: Applicant, items: frozenset[Countable]) -> None:
        """Count what a policy asks for in place of what it has.

        One on hold keeps that; where there is room, there is some for what it asks for as well.
        """
        kept = self.kept.get(applicant.owner, NOTHING)
        if kept == items:
            return
        if not applicant.is_on_hold:
            self._count(kept, -1)
        elif len(self.counts) + len(items.difference(self.counts)) > self._most:
            return
        self._count(items, 1)

    def _count(self, items: Iterable[Countable], change: int) -> None:
        for item in items:
            count = self.counts.pop(item, 0) + change
            if count:
                self.counts[item] = count


@dataclass(frozen=True, slots=True)
class _Place:
    """The limits of a namespace as a whole, or at a gateway."""

    hosts: _Room
    pairs: _Room
    servers: _Room | None = None
    """None: there are none without a gateway."""

    @property
    def rooms(self) -> tuple[_Room, ...]:
        """All of them."""
        return (self.hosts, self.pairs, *((self.servers,) if self.servers else ()))

    def select(self, demand: Demand) -> Iterator[tuple[_Room, frozenset[Countable]]]:
        """Yield each limit with what a policy asks for there."""
        yield self.hosts, demand.hosts
        yield self.pairs, demand.pairs
        if self.servers is not None:
            yield self.servers, demand.servers


class _Rooms:
    """Every limit of a namespace, with what counts towards it."""

    def __init__(
        self,
        most_hosts: int,
        gateways: Mapping[str, GatewayRoom],
        standing: Iterable[HostStanding],
    ) -> None:
        hosts: defaultdict[str, Kept] = defaultdict(lambda: defaultdict(set))
        """By the label of the gateway, empty for all of the namespace."""
        servers: defaultdict[str, Kept] = defaultdict(lambda: defaultdict(set))
        pairs: defaultdict[str, Kept] = defaultdict(lambda: defaultdict(set))
        """As `hosts`."""
        for host in standing:
            for owner in host.owners or (_NOBODY,):
                for label in ("", *host.gateways):
                    hosts[label][owner].add(host.host)
                for label, port in host.servers:
                    servers[label][owner].add((host.host, port))
                for label, port, place in host.pairs:
                    pairs[label][owner].add((host.host, port, place))
        self._namespace = _Place(
            _Room(NAMESPACE_LIMIT, most_hosts, _NAMESPACE, hosts[""]),
            _Room(NAMESPACE_LIMIT, PAIRS_PER_HOST * most_hosts, _NAMESPACE_PAIRS, pairs[""]),
        )
        self._gateways = {
            name: _Place(
                _Room(GATEWAY_LIMIT, at.limits.hosts, _HOSTS, hosts.get(at.label, {})),
                _Room(
                    GATEWAY_LIMIT,
                    PAIRS_PER_HOST * at.limits.hosts,
                    _PAIRS,
                    pairs.get(at.label, {}),
                ),
                _Room(GATEWAY_LIMIT, at.limits.servers, _SERVERS, servers.get(at.label, {})),
            )
            for name, at in gateways.items()
        }
        self._all = tuple(
            room for place in (self._namespace, *self._gateways.values()) for room in place.rooms
        )
        self._taken = {room: NOTHING for room in self._all if room.kept}

    def are_exceeded(self) -> bool:
        """Whether there will be more than any limit."""
        return any(room.is_exceeded for room in self._all)

    def find_growth(self, applicant: Applicant) -> int:
        """Tell whether there would be more with a policy (1), as much (0), or less (-1)."""
        growth = [
            room.count_with(applicant.owner, items) - len(room.counts)
            for room, items in self._list_changes(applicant)
        ]
        if max(growth) > 0:
            return 1
        return -1 if min(growth) < 0 else 0

    def find_excess(self, applicant: Applicant) -> Diagnostic | None:
        """Tell which limit a policy exceeds."""
        demand = applicant.demand
        found = (
            room.find_excess(applicant.owner, items, demand.gateway)
            for room, items in self._select(demand)
        )
        return next(filter(None, found), None)

    def let_in(self, applicant: Applicant) -> None:
        """Count what a policy asks for in place of what it has anywhere."""
        for room, items in self._list_changes(applicant):
            room.exchange(applicant, items)

    def add(self, demand: Demand) -> dict[Item, str]:
        """Add what there is room for now; return the rest of what is asked for, and why.

        Of upstreams it returns the ports.
        """
        at = self._gateways.get(demand.gateway)
        places = (self._namespace,) if at is None else (self._namespace, at)
        waiting = self._add(
            {host: (host,) for host in sorted(demand.hosts)},
            [place.hosts for place in places],
            demand.gateway,
        )
        ports: defaultdict[Item, list[Countable]] = defaultdict(list)
        for pair in sorted(demand.pairs):
            if pair[0] not in waiting:
                ports[pair[:2]].append(pair)
        waiting |= self._add(ports, [place.pairs for place in places], demand.gateway)
        servers: dict[Item, tuple[Countable, ...]] = {
            server: (server,)
            for server in sorted(demand.servers)
            if server not in waiting and server[0] not in waiting
        }
        own = [place.servers for place in places if place.servers is not None]
        return waiting | self._add(servers, own, demand.gateway)

    def _add(
        self, wanted: Mapping[Item, Collection[Countable]], rooms: Collection[_Room], gateway: str
    ) -> dict[Item, str]:
        """Add to all these rooms what each has room for; what counts there is by what waits."""
        waiting: dict[Item, str] = {}
        for name, items in wanted.items():
            reason = next(filter(None, (room.find_wait(items, gateway) for room in rooms)), "")
            if reason:
                waiting[name] = reason
                continue
            for room in rooms:
                room.add(items)
        return waiting

    def _list_changes(self, applicant: Applicant) -> Iterable[tuple[_Room, frozenset[Countable]]]:
        """List where a policy has something or asks for it, with what it asks for there."""
        return (self._taken | dict(self._select(applicant.demand))).items()

    def _select(self, demand: Demand) -> Iterator[tuple[_Room, frozenset[Countable]]]:
        yield from self._namespace.select(demand)
        if (at := self._gateways.get(demand.gateway)) is not None:
            yield from at.select(demand)
