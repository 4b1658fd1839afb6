"""Limits of what one namespace has: what stands comes first, then older policies.

A policy on hold keeps its objects whatever becomes of it, so to count what is asked for would not
do.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.istio.object import Owner
from egress_operator.plan.claim import Claim
from egress_operator.plan.intent import Limits
from egress_operator.plan.standing import HostStanding

NAMESPACE_LIMIT = "EG056"
GATEWAY_LIMIT = "EG116"

Item = str | tuple[str, int]
"""A host, or a host and port."""

_PATH = "spec.destinations"
_NAMESPACE = "hosts"
_HOSTS = "hosts at EgressGateway {gateway}"
_SERVERS = (
    "servers at EgressGateway {gateway} (one for each host and port that is not HTTP or has "
    "from.serviceAccounts)"
)
NOTHING: frozenset[Item] = frozenset()
"""One for all: Python makes each empty frozenset anew."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one policy asks for."""

    hosts: frozenset[Item]
    """Keys of hosts; an address without a name counts as one."""
    gateway: str
    """The EgressGateway; empty: direct."""
    servers: frozenset[Item]
    """The hosts and ports that need a server of their own at the gateway."""


def build_demand(claims: Iterable[Claim], gateway: str) -> Demand:
    """Add up what the claims of one policy ask for. Pure.

    Plain HTTP for everyone in the namespace shares one server, which does not count.
    """
    found = tuple(claims)
    servers: set[Item] = {
        (claim.key, claim.port.number)
        for claim in found
        if claim.gateway and (not claim.port.is_http or claim.source.accounts)
    }
    hosts = frozenset(claim.key for claim in found)
    return Demand(hosts, gateway, frozenset(servers) if servers else NOTHING)


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


def find_excesses(
    applicants: Collection[Applicant],
    most_hosts: int,
    gateways: Mapping[str, GatewayRoom],
    standing: Collection[HostStanding] = (),
) -> dict[str, Diagnostic]:
    """Tell which policies exceed a limit, by name. Pure; linear in what is asked for and stands.

    Near a limit also in the policies times the gateways at which something stands.

    `applicants`: the oldest policy first. `gateways`: by name. `standing`: what there is.

    What stands counts until the policy that has it asks for something else and may have that. A
    policy that would make it more is refused as a whole if it is too much then, and keeps what it
    has. Those that do not make it more are looked at first, so what is in force stays accepted. Old
    and new ones stand beside each other for a while: the policies that are there may own twice the
    limit then.
    """
    if _has_room_for_all(applicants, most_hosts, gateways, standing):
        return {}
    rooms = _Rooms(most_hosts, gateways, standing)
    found: dict[str, Diagnostic] = {}
    for applicant in sorted(applicants, key=rooms.grows):
        excess = rooms.find_excess(applicant)
        if excess is None:
            rooms.let_in(applicant)
        else:
            found[applicant.owner.name] = excess
    return found


def _has_room_for_all(
    applicants: Iterable[Applicant],
    most_hosts: int,
    gateways: Mapping[str, GatewayRoom],
    standing: Iterable[HostStanding],
) -> bool:
    """Whether all that is asked for and all that stands is within every limit together."""
    hosts: defaultdict[str, set[Item]] = defaultdict(set)
    """By the label of the gateway, empty for all of the namespace."""
    servers: defaultdict[str, set[Item]] = defaultdict(set)
    for host in standing:
        for label in ("", *host.gateways):
            hosts[label].add(host.host)
        for label, port in host.servers:
            servers[label].add((host.host, port))
    for applicant in applicants:
        demand = applicant.demand
        hosts[""] |= demand.hosts
        if (at := gateways.get(demand.gateway)) is not None:
            hosts[at.label] |= demand.hosts
            servers[at.label] |= demand.servers
    return len(hosts[""]) <= most_hosts and all(
        len(hosts[at.label]) <= at.limits.hosts and len(servers[at.label]) <= at.limits.servers
        for at in gateways.values()
    )


Kept = dict[Owner, set[Item]]
"""What policies have."""


class _Room:
    """One limit, and what counts towards it."""

    def __init__(self, code: str, most: int, what: str, kept: Kept) -> None:
        self.kept = kept
        self.counts = dict(Counter(chain.from_iterable(kept.values())))
        """What there will be, each with the number of policies that have it or may have it."""
        self._code = code
        self._most = most
        self._what = what
        self._seen = set(self.counts)
        """The same, and what still stands of policies that may have something else now."""

    def count_with(self, owner: Owner, items: frozenset[Item]) -> int:
        """Return how many there will be if a policy may have these in place of what it has."""
        kept = self.kept.get(owner, NOTHING)
        if kept == items:
            return len(self.counts)
        leaving = sum(self.counts[item] == 1 for item in kept - items)
        return len(self.counts) - leaving + len(items.difference(self.counts))

    def find_excess(self, owner: Owner, items: frozenset[Item], gateway: str) -> Diagnostic | None:
        """Tell that a policy would make it more, and too much."""
        count, most = self.count_with(owner, items), self._most
        what = self._what.format(gateway=gateway)
        if count > max(most, len(self.counts)):
            return build_diagnostic(
                self._code,
                _PATH,
                f"with this policy the namespace would have {count} {what}, at most {most} are "
                "allowed, and what is there comes first, then older policies",
            )
        count, most = len(self._seen) + len(items - self._seen), 2 * self._most
        if count <= max(most, len(self._seen)):
            return None
        return build_diagnostic(
            self._code,
            _PATH,
            f"with this policy the namespace would have {count} {what} until those that it "
            f"replaces are gone, and at most {most} may stand for that long",
            "first remove what is no longer needed, and add other hosts when it is gone",
        )

    def exchange(self, applicant: Applicant, items: frozenset[Item]) -> None:
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
        self._seen |= items

    def _count(self, items: Iterable[Item], change: int) -> None:
        for item in items:
            count = self.counts.pop(item, 0) + change
            if count:
                self.counts[item] = count


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
        for host in standing:
            for owner in host.owners:
                for label in ("", *host.gateways):
                    hosts[label][owner].add(host.host)
                for label, port in host.servers:
                    servers[label][owner].add((host.host, port))
        self._namespace = _Room(NAMESPACE_LIMIT, most_hosts, _NAMESPACE, hosts[""])
        self._gateways = {
            name: (
                _Room(GATEWAY_LIMIT, at.limits.hosts, _HOSTS, hosts.get(at.label, {})),
                _Room(GATEWAY_LIMIT, at.limits.servers, _SERVERS, servers.get(at.label, {})),
            )
            for name, at in gateways.items()
        }
        rooms = (self._namespace, *chain.from_iterable(self._gateways.values()))
        self._taken = {room: NOTHING for room in rooms if room.kept}

    def grows(self, applicant: Applicant) -> bool:
        """Whether there would be more with a policy than there is."""
        return any(
            room.count_with(applicant.owner, items) > len(room.counts)
            for room, items in self._select(applicant.demand)
        )

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
        for room, items in (self._taken | dict(self._select(applicant.demand))).items():
            room.exchange(applicant, items)

    def _select(self, demand: Demand) -> list[tuple[_Room, frozenset[Item]]]:
        found = [(self._namespace, demand.hosts)]
        if demand.gateway in self._gateways:
            items = (demand.hosts, demand.servers)
            found += zip(self._gateways[demand.gateway], items, strict=True)
        return found
