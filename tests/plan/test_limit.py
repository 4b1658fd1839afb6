"""Limits of a namespace: who is refused, and that what there is stays within them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.object import Owner
from egress_operator.plan.intent import Limits
from egress_operator.plan.limit import Applicant, Demand, GatewayRoom, find_excesses
from egress_operator.plan.standing import HostStanding
from plan.test_bounds import count_lines

UNTIMED = settings(deadline=None, max_examples=200)
MOST = 5
LABEL = "shared-label"
GATEWAYS = {"shared": GatewayRoom(LABEL, Limits(hosts=3, servers=2))}

hosts = st.frozensets(st.sampled_from("abcdefgh"), min_size=1, max_size=4)
demands = st.builds(
    lambda found, gateway, ports: Demand(
        found,
        gateway,
        frozenset((host, port) for host in found for port in ports) if gateway else frozenset(),
    ),
    hosts,
    st.sampled_from(["", "shared", "missing"]),
    st.frozensets(st.sampled_from([1, 2]), max_size=2),
)
lists = st.lists(demands, max_size=8)


def refuse(found: list[Demand]) -> set[int]:
    """Return the places of those that are refused."""
    named = [Applicant(build_owner(place), demand) for place, demand in enumerate(found)]
    return {int(name) for name in find_excesses(named, MOST, GATEWAYS)}


def build_owner(place: int) -> Owner:
    return Owner(str(place), f"uid-{place}")


@UNTIMED
@given(lists)
def test_what_is_accepted_is_within_every_limit(found: list[Demand]) -> None:
    refused = refuse(found)
    kept = [demand for place, demand in enumerate(found) if place not in refused]
    shared = [demand for demand in kept if demand.gateway == "shared"]
    assert len(frozenset().union(*(demand.hosts for demand in kept))) <= MOST
    assert len(frozenset().union(*(demand.hosts for demand in shared))) <= 3
    assert len(frozenset().union(*(demand.servers for demand in shared))) <= 2


@UNTIMED
@given(lists, demands)
def test_a_younger_policy_pushes_nobody_out(found: list[Demand], young: Demand) -> None:
    assert refuse(found) == refuse([*found, young]) - {len(found)}


@UNTIMED
@given(lists)
def test_nobody_is_refused_who_would_fit(found: list[Demand]) -> None:
    refused = refuse(found)
    for place in refused:
        older = [demand for index, demand in enumerate(found[:place]) if index not in refused]
        assert refuse([*older, found[place]]) == {len(older)}
    if not refused:
        assert len(frozenset().union(*(demand.hosts for demand in found))) <= MOST


def list_servers(demand: Demand) -> list[tuple[str, int]]:
    return [pair for pair in demand.servers if isinstance(pair, tuple)]


@dataclass
class Team:
    """A namespace with policies that are edited and put on hold, and what stands of them."""

    most: int = MOST
    demands: dict[int, Demand] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    there: dict[int, Demand] = field(default_factory=dict)
    """What stands, by policy."""

    def refuse(self) -> set[int]:
        applicants = [
            Applicant(build_owner(place), demand, place in self.held)
            for place, demand in sorted(self.demands.items())
        ]
        return {int(name) for name in find_excesses(applicants, self.most, GATEWAYS, self.list())}

    def list(self) -> list[HostStanding]:
        names = sorted({host for demand in self.there.values() for host in demand.hosts}, key=str)
        return [self._describe(str(host)) for host in names]

    def _describe(self, host: str) -> HostStanding:
        own = {place: item for place, item in self.there.items() if host in item.hosts}
        shared = [item for item in own.values() if item.gateway == "shared"]
        servers = {pair for item in shared for pair in list_servers(item) if pair[0] == host}
        return HostStanding(
            host,
            frozenset(map(build_owner, own)),
            frozenset({LABEL} if shared else ()),
            frozenset((LABEL, port) for _, port in servers),
        )

    def write(self, refused: set[int], choose: Callable[[Demand, Demand], Demand]) -> None:
        """Write what is accepted; `choose` tells how far that goes, from and to what."""
        for place, demand in self.demands.items():
            if place not in refused | self.held:
                self.there[place] = choose(self.there.get(place, NOTHING), demand)

    def count(self) -> tuple[int, int, int]:
        """Count hosts, and hosts and servers at the gateway."""
        shared = [item for item in self.there.values() if item.gateway == "shared"]
        return (
            len(frozenset().union(*(item.hosts for item in self.there.values()))),
            len(frozenset().union(*(item.hosts for item in shared))),
            len(frozenset().union(*(item.servers for item in shared))),
        )


NOTHING = Demand(frozenset(), "", frozenset())
LIMITS = (MOST, 3, 2)
edits = st.lists(
    st.tuples(st.integers(0, 4), demands | st.just(NOTHING), st.booleans()), max_size=8
)
"""Each one a policy, what it asks for from now on, and whether it is on hold."""


@UNTIMED
@given(edits)
def test_no_edit_makes_more_stand_than_the_limits(
    found: list[tuple[int, Demand, bool]],
) -> None:
    team = Team()
    for place, demand, is_on_hold in found:
        team.demands[place] = demand
        (team.held.add if is_on_hold else team.held.discard)(place)
        refused = team.refuse()
        team.write(refused, lambda _, new: new)
        assert all(count <= most for count, most in zip(team.count(), LIMITS, strict=True))
        assert team.refuse() - team.held <= refused, "what is accepted and written stays so"


@UNTIMED
@given(edits, st.data())
def test_half_written_edits_never_make_more_stand_than_twice_the_limits(
    found: list[tuple[int, Demand, bool]], data: st.DataObject
) -> None:
    """Somebody edits again and again before what was there is gone."""
    team = Team()

    def join(old: Demand, new: Demand) -> Demand:
        stays = data.draw(st.booleans())
        gateway = new.gateway or (old.gateway if stays else "")
        servers = new.servers | (old.servers if stays else frozenset())
        return Demand(new.hosts | (old.hosts if stays else frozenset()), gateway, servers)

    for place, demand, is_on_hold in found:
        team.demands[place] = demand
        (team.held.add if is_on_hold else team.held.discard)(place)
        team.write(team.refuse(), join)
        counts = zip(team.count(), LIMITS, strict=True)
        assert all(count <= 2 * most for count, most in counts)


@UNTIMED
@given(edits, edits, st.data())
def test_what_is_accepted_stays_so_while_it_is_written(
    first: list[tuple[int, Demand, bool]],
    second: list[tuple[int, Demand, bool]],
    data: st.DataObject,
) -> None:
    """Each policy has hosts of its own."""
    team = Team(there={})
    for settled, found in ((True, first), (False, second)):
        for place, demand, _ in found:
            hosts = frozenset(f"{host}{place}" for host in demand.hosts)
            servers = frozenset((f"{host}{place}", port) for host, port in list_servers(demand))
            team.demands[place] = Demand(hosts, demand.gateway, servers)
        if settled:
            team.write(team.refuse(), lambda _, new: new)
    refused = team.refuse()

    def mix(old: Demand, new: Demand) -> Demand:
        if old.gateway != new.gateway:
            return data.draw(st.sampled_from([old, new]))
        return Demand(
            frozenset(item for item in old.hosts | new.hosts if data.draw(st.booleans()))
            | (old.hosts & new.hosts),
            new.gateway,
            frozenset(item for item in old.servers | new.servers if data.draw(st.booleans()))
            | (old.servers & new.servers),
        )

    team.write(refused, mix)
    assert team.refuse() <= refused


def test_a_policy_that_shrinks_is_told_to_remove_first() -> None:
    """Eight hosts stand, and the limit is lowered to three."""
    owner = build_owner(0)
    standing = [HostStanding(host, frozenset({owner})) for host in "abcdefgh"]

    def find(asked: str) -> str:
        demand = Demand(frozenset(asked), "", frozenset())
        found = find_excesses([Applicant(owner, demand)], 3, {}, standing)
        return found[owner.name].message if found else ""

    assert find("abcdefgh") == find("abcd") == find("abc") == find("a") == ""
    assert find("abx") == (
        "with this policy the namespace would have 9 hosts until those that it replaces are gone, "
        "and at most 6 may stand for that long; first remove what is no longer needed, and add "
        "other hosts when it is gone"
    )


def test_far_from_every_limit_a_policy_costs_little() -> None:
    """What is looked up for each policy near a limit: what it has, and the room at each gateway."""
    owners = [build_owner(place) for place in range(200)]
    applicants = [
        Applicant(owner, Demand(frozenset({f"{owner.name}.example.com"}), "", frozenset()))
        for owner in owners
    ]
    standing = [
        HostStanding(f"{owner.name}.example.com", frozenset({owner}), frozenset({LABEL}))
        for owner in owners
    ]
    shared = {"shared": GatewayRoom(LABEL, Limits(hosts=200, servers=200))}
    far = count_lines(lambda: find_excesses(applicants, 200, shared, standing))
    near = count_lines(lambda: find_excesses(applicants, 199, shared, standing))
    assert far < near / 4
