"""Limits of what the policies of one namespace make: the youngest policies are refused first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from egress_operator.diagnostic import Diagnostic, build_diagnostic
from egress_operator.plan.claim import Claim
from egress_operator.plan.intent import Limits

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
NO_SERVERS: frozenset[Item] = frozenset()
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
    return Demand(hosts, gateway, frozenset(servers) if servers else NO_SERVERS)


def find_excesses(
    demands: Iterable[tuple[str, Demand]], most_hosts: int, gateways: Mapping[str, Limits]
) -> dict[str, Diagnostic]:
    """Tell which policies exceed a limit, by name. Pure; linear in the demands.

    `demands` are (policy, demand), the oldest policy first: one that does not fit is refused as a
    whole and takes no room. `gateways` has the limits of each accepted EgressGateway.
    """
    namespace = _Room(NAMESPACE_LIMIT, most_hosts, _NAMESPACE)
    rooms = {
        name: (
            _Room(GATEWAY_LIMIT, limits.hosts, _HOSTS),
            _Room(GATEWAY_LIMIT, limits.servers, _SERVERS),
        )
        for name, limits in gateways.items()
    }
    found: dict[str, Diagnostic] = {}
    for name, demand in demands:
        wanted: list[tuple[_Room, frozenset[Item]]] = [(namespace, demand.hosts)]
        if demand.gateway in rooms:
            wanted += zip(rooms[demand.gateway], (demand.hosts, demand.servers), strict=True)
        full = next((pair for pair in wanted if not pair[0].has_room(pair[1])), None)
        if full is not None:
            found[name] = full[0].explain(full[1], demand.gateway)
            continue
        for room, items in wanted:
            room.items |= items
    return found


@dataclass(slots=True)
class _Room:
    """A limit, and what accepted policies ask for below it."""

    code: str
    most: int
    what: str
    items: set[Item] = field(default_factory=set)

    def has_room(self, items: frozenset[Item]) -> bool:
        return self._count_with(items) <= self.most

    def explain(self, items: frozenset[Item], gateway: str) -> Diagnostic:
        what = self.what.format(gateway=gateway)
        return build_diagnostic(
            self.code,
            _PATH,
            f"with this policy the namespace would have {self._count_with(items)} {what}, at most "
            f"{self.most} are allowed, and older policies come first",
        )

    def _count_with(self, items: frozenset[Item]) -> int:
        return len(self.items) + len(items - self.items)
