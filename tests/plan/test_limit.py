"""Limits of a namespace: who is refused, and that what there is stays within them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.object import Owner
from egress_operator.plan.intent import Limits
from egress_operator.plan.limit import (
    NO_SERVERS,
    PAIRS_PER_HOST,
    Applicant,
    Demand,
    GatewayRoom,
    Limited,
    find_limited,
)
from egress_operator.plan.standing import HostStanding
from plan.test_bounds import count_lines

UNTIMED = settings(deadline=None, max_examples=200)
MOST = 5
LABEL = "shared-label"
GATEWAYS = {"shared": GatewayRoom(LABEL, Limits(hosts=3, servers=2))}

hosts = st.frozensets(st.sampled_from("abcdefgh"), min_size=1, max_size=4)
ports = st.dictionaries(st.sampled_from([1, 2, 3]), st.integers(1, 4), min_size=1, max_size=3)
"""How many backends each port has."""


def ask(found: frozenset[str], gateway: str, upstreams: dict[int, int]) -> Demand:
    """Ask for hosts that have the same ports; two of these need a server of their own."""
    return Demand(
        found,
        gateway,
        frozenset((host, port) for host in found for port in {*upstreams} - {3} if gateway),
        frozenset(
            (host, port, place)
            for host in found
            for port, count in upstreams.items()
            for place in range(count)
        ),
    )


demands = st.builds(ask, hosts, st.sampled_from(["", "shared", "missing"]), ports)
lists = st.lists(demands, max_size=8)


def refuse(found: list[Demand]) -> set[int]:
    """Return the places of those that are refused."""
    named = [Applicant(build_owner(place), demand) for place, demand in enumerate(found)]
    limited = find_limited(named, MOST, GATEWAYS)
    assert all(item.excess for item in limited.values()), "nothing stands, so nothing waits"
    return {int(name) for name in limited}


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
    assert len(frozenset().union(*(demand.pairs for demand in kept))) <= PAIRS_PER_HOST * MOST
    assert len(frozenset().union(*(demand.pairs for demand in shared))) <= PAIRS_PER_HOST * 3


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


@dataclass
class Team:
    """A namespace with policies that are edited and put on hold, and what stands of them."""

    most: int = MOST
    demands: dict[int, Demand] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    there: dict[int, Demand] = field(default_factory=dict)
    """What stands, by policy."""
    orphans: list[Demand] = field(default_factory=list)
    """What stands of policies that are gone."""
    half_written: set[int] = field(default_factory=set)
    """Policies of which old and new things stand beside each other."""

    def edit(self, place: int, demand: Demand, *, is_on_hold: bool) -> None:
        self.demands[place] = demand
        (self.held.add if is_on_hold else self.held.discard)(place)

    def delete(self, place: int) -> None:
        """Delete a policy and leave what it has."""
        self.demands.pop(place, None)
        self.held.discard(place)
        if place in self.there:
            self.orphans.append(self.there.pop(place))

    def judge(self) -> dict[int, Limited]:
        applicants = [
            Applicant(build_owner(place), demand, place in self.held)
            for place, demand in sorted(self.demands.items())
        ]
        found = find_limited(applicants, self.most, GATEWAYS, self.observe())
        return {int(name): item for name, item in found.items()}

    def refuse(self) -> set[int]:
        return {place for place, item in self.judge().items() if item.excess}

    def observe(self) -> list[HostStanding]:
        items = [*self.there.values(), *self.orphans]
        names = sorted({host for demand in items for host in demand.hosts})
        return [self._describe(host, items) for host in names]

    def _describe(self, host: str, items: list[Demand]) -> HostStanding:
        own = {place for place, item in self.there.items() if host in item.hosts}
        shared = [item for item in items if item.gateway == "shared" and host in item.hosts]
        servers = {pair for item in shared for pair in item.servers if pair[0] == host}
        return HostStanding(
            host,
            frozenset(map(build_owner, own)),
            frozenset({LABEL} if shared else ()),
            frozenset((LABEL, port) for _, port in servers),
            pairs=frozenset(
                (label, port, place)
                for label, listed in (("", items), (LABEL, shared))
                for item in listed
                for name, port, place in item.pairs
                if name == host
            ),
        )

    def write(self, choose: Callable[[Demand, Demand], Demand]) -> None:
        """Write what is accepted; `choose` tells how far that goes, from and to what."""
        judged = self.judge()
        for place, demand in self.demands.items():
            limited = judged.get(place, Limited())
            if limited.excess is None and place not in self.held:
                wanted = leave_out(demand, limited)
                self.there[place] = choose(self.there.get(place, NOTHING), wanted)
                is_half = self.there[place] != wanted
                (self.half_written.add if is_half else self.half_written.discard)(place)

    def finish(self) -> None:
        """Write until nothing is left to do; what nobody owns goes."""
        for _ in range(MOST):
            self.write(lambda _, new: new)
            self.orphans.clear()

    def count(self) -> tuple[int, ...]:
        """Count hosts and pairs, and hosts, servers and pairs at the gateway."""
        items = [*self.there.values(), *self.orphans]
        shared = [item for item in items if item.gateway == "shared"]
        return (
            len(frozenset().union(*(item.hosts for item in items))),
            len(frozenset().union(*(item.hosts for item in shared))),
            len(frozenset().union(*(item.servers for item in shared))),
            len(frozenset().union(*(item.pairs for item in items))),
            len(frozenset().union(*(item.pairs for item in shared))),
        )

    def count_ports(self) -> int:
        """Count pairs of host and port, without their backends."""
        items = [*self.there.values(), *self.orphans]
        return len({pair[:2] for item in items for pair in item.pairs})


def leave_out(demand: Demand, limited: Limited) -> Demand:
    """Return what a policy asks for without what has to wait."""
    hosts = demand.hosts - limited.waiting.keys()
    servers = {pair for pair in demand.servers - limited.waiting.keys() if pair[0] in hosts}
    pairs = {
        pair
        for pair in demand.pairs
        if pair[0] in hosts and limited.waiting.keys().isdisjoint({pair[:2]})
    }
    return Demand(hosts, demand.gateway, frozenset(servers), frozenset(pairs))


def join(data: st.DataObject, old: Demand, new: Demand) -> Demand:
    """Add what is new; what is old may still be there, of a policy that has not moved.

    A `Demand` cannot tell that hosts are at a gateway and others are not.
    """
    if not data.draw(st.booleans()) or old.gateway != new.gateway:
        return new
    return Demand(
        new.hosts | old.hosts, new.gateway, new.servers | old.servers, new.pairs | old.pairs
    )


NOTHING = Demand(frozenset(), "", frozenset())
LIMITS = (MOST, 3, 2, PAIRS_PER_HOST * MOST, PAIRS_PER_HOST * 3)
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
        team.edit(place, demand, is_on_hold=is_on_hold)
        refused = team.refuse()
        team.write(lambda _, new: new)
        assert all(count <= most for count, most in zip(team.count(), LIMITS, strict=True))
        assert team.refuse() - team.held <= refused, "what is accepted and written stays so"


@UNTIMED
@given(edits, st.data())
def test_half_written_edits_never_make_more_stand_than_twice_the_limits(
    found: list[tuple[int, Demand, bool]], data: st.DataObject
) -> None:
    """Somebody edits again and again before what was there is gone, and deletes policies."""
    team = Team()
    for place, demand, is_on_hold in found:
        if data.draw(st.booleans()):
            team.delete(data.draw(st.integers(0, 4)))
        team.edit(place, demand, is_on_hold=is_on_hold)
        team.write(lambda old, new: join(data, old, new))
        for count, most in zip(team.count()[:3], LIMITS[:3], strict=True):
            assert count <= 2 * most
        assert team.count_ports() <= 2 * PAIRS_PER_HOST * MOST
    team.finish()
    if not team.held & team.half_written:
        # Else a hold keeps old and new things until it ends.
        assert all(count <= most for count, most in zip(team.count(), LIMITS, strict=True))
    judged = team.judge()
    assert not any(item.waiting for item in judged.values())
    for place, demand in team.demands.items():
        if place not in team.held | judged.keys():
            assert team.there[place] == demand


@UNTIMED
@given(edits, demands, st.data())
def test_what_stands_and_is_asked_for_never_waits(
    found: list[tuple[int, Demand, bool]], last: Demand, data: st.DataObject
) -> None:
    team = Team()
    for place, demand, is_on_hold in found:
        team.edit(place, demand, is_on_hold=is_on_hold)
        team.write(lambda old, new: join(data, old, new))
    team.edit(0, last, is_on_hold=False)
    limited = team.judge().get(0, Limited())
    is_limited_there = last.gateway == "shared"
    there = [
        item for item in team.there.values() if not is_limited_there or item.gateway == "shared"
    ]
    assert limited.waiting.keys().isdisjoint(
        frozenset[object]().union(
            *(item.hosts | item.servers | {pair[:2] for pair in item.pairs} for item in there)
        )
    )


@UNTIMED
@given(demands, st.integers(2, 9))
def test_an_edit_is_applied_however_often_it_was_edited_before(last: Demand, times: int) -> None:
    """Each edit replaces all hosts, and nothing is gone before the last one."""
    team = Team()
    for number in range(times):
        hosts = frozenset(f"{host}{number}" for host in "abcde")
        team.edit(0, Demand(hosts, "", NO_SERVERS), is_on_hold=False)
        assert not team.refuse()
        team.write(lambda old, new: Demand(old.hosts | new.hosts, "", NO_SERVERS))
    assert team.count()[0] == 2 * MOST
    accepted = not Team(demands={0: last}).refuse()
    team.edit(0, last, is_on_hold=False)
    assert bool(team.refuse()) != accepted
    if accepted:
        team.finish()
        assert team.there[0] == last


@UNTIMED
@given(edits, edits, st.data())
def test_what_is_accepted_stays_so_while_it_is_written(
    first: list[tuple[int, Demand, bool]],
    second: list[tuple[int, Demand, bool]],
    data: st.DataObject,
) -> None:
    """Each policy has hosts of its own, and what is new comes before what is old goes.

    Only to an older policy that had no room before may one lose the room for what is not there yet.
    """
    team = Team(there={})
    for settled, found in ((True, first), (False, second)):
        for place, demand, _ in found:
            hosts = frozenset(f"{host}{place}" for host in demand.hosts)
            servers = frozenset((f"{host}{place}", port) for host, port in demand.servers)
            pairs = frozenset((f"{pair[0]}{place}", *pair[1:]) for pair in demand.pairs)
            team.demands[place] = Demand(hosts, demand.gateway, servers, pairs)
        if settled:
            team.write(lambda _, new: new)
    refused = team.refuse()

    def mix(old: Demand, new: Demand) -> Demand:
        if old.gateway != new.gateway:
            return data.draw(st.sampled_from([old, new]))
        sure, other = data.draw(st.sampled_from([(old, new), (new, old)]))
        return Demand(
            sure.hosts | {item for item in sorted(other.hosts) if data.draw(st.booleans())},
            new.gateway,
            sure.servers | {item for item in sorted(other.servers) if data.draw(st.booleans())},
            sure.pairs | {item for item in sorted(other.pairs) if data.draw(st.booleans())},
        )

    team.write(mix)
    after = team.refuse()
    come_in = refused - after
    assert all(any(older < place for older in come_in) for place in after - refused)


def test_a_policy_beyond_a_lowered_limit_may_only_shrink_to_it() -> None:
    """Eight hosts stand, and the limit is lowered to three."""
    owner = build_owner(0)
    standing = [HostStanding(host, frozenset({owner})) for host in "abcdefgh"]

    def find(asked: str) -> tuple[str, set[object]]:
        demand = Demand(frozenset(asked), "", NO_SERVERS)
        found = find_limited([Applicant(owner, demand)], 3, {}, standing)
        limited = found.get(owner.name, Limited())
        return "" if limited.excess is None else limited.excess.message, {*limited.waiting}

    assert find("abcdefgh") == find("abcd") == find("abc") == find("a") == ("", set())
    assert find("abx") == ("", {"x"})
    for asked, count in (("abcx", 4), ("abcdefgx", 8), ("abcdefghx", 9)):
        message, _ = find(asked)
        assert message.startswith(f"with this policy the namespace would have {count} hosts")


def test_an_older_policy_is_served_first() -> None:
    """Ten hosts stand and nobody owns them, which is one less than twice the limit, and then it."""
    demands = [Demand(frozenset(hosts), "", NO_SERVERS) for hosts in ("xy", "xz")]
    applicants = [Applicant(build_owner(place), item) for place, item in enumerate(demands)]
    for count, waiting in ((9, {"0": {"y"}, "1": {"z"}}), (10, {"0": {"x", "y"}, "1": {"x", "z"}})):
        standing = [HostStanding(f"{number}", frozenset()) for number in range(count)]
        found = find_limited(applicants, MOST, {}, standing)
        assert {name: {*item.waiting} for name, item in found.items()} == waiting


def test_far_from_every_limit_a_policy_costs_little() -> None:
    """What is looked up for each policy near a limit: what it has, and the room at each gateway."""
    owners = [build_owner(place) for place in range(200)]
    applicants = [
        Applicant(owner, Demand(frozenset({f"{owner.name}.example.com"}), "", NO_SERVERS))
        for owner in owners
    ]
    standing = [
        HostStanding(f"{owner.name}.example.com", frozenset({owner}), frozenset({LABEL}))
        for owner in owners
    ]
    shared = {"shared": GatewayRoom(LABEL, Limits(hosts=200, servers=200))}
    far = count_lines(lambda: find_limited(applicants, 200, shared, standing))
    near = count_lines(lambda: find_limited(applicants, 199, shared, standing))
    assert far < near / 4


def test_two_policies_that_fit_together_are_not_refused_for_what_both_give_up() -> None:
    """Each has replaced its hosts, nothing is gone yet, and both are edited again."""
    one, other = build_owner(0), build_owner(1)
    standing = [
        HostStanding(f"{group}{number}", frozenset({owner}))
        for owner, groups in ((one, "ac"), (other, "bd"))
        for group in groups
        for number in range(4)
    ]

    def find(*asked: str) -> list[tuple[str, bool, int]]:
        applicants = [
            Applicant(owner, Demand(frozenset(f"{group}{n}" for n in range(4)), "", NO_SERVERS))
            for owner, group in zip((one, other), asked, strict=True)
        ]
        found = find_limited(applicants, 8, {}, standing)
        return [(name, item.excess is not None, len(item.waiting)) for name, item in found.items()]

    assert find("e", "f") == [("0", False, 4), ("1", False, 4)]
    assert find("e", "d") == [("0", False, 4)]
    assert find("c", "d") == []


def test_a_policy_that_gives_up_a_host_makes_room_for_one_that_exchanges_its_own() -> None:
    """Whichever is older: what is given up stands until it is gone, and counts no more."""
    for places in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        has = dict(zip(places, ("abc", "de", "xy"), strict=True))
        asks = dict(zip(places, ("abc", "df", "x"), strict=True))
        standing = [
            HostStanding(host, frozenset({build_owner(place)}))
            for place, hosts in has.items()
            for host in hosts
        ]
        applicants = [
            Applicant(build_owner(place), Demand(frozenset(asks[place]), "", NO_SERVERS))
            for place in range(3)
        ]
        applicants.append(Applicant(build_owner(3), Demand(frozenset("n"), "", NO_SERVERS)))
        found = find_limited(applicants, 6, {}, standing)
        assert {name for name, item in found.items() if item.excess} == {"3"}


def test_a_host_with_many_ports_and_backends_does_not_count_as_one() -> None:
    """Each policy has one host with 16 ports of 8 backends: 386 objects."""
    names = [f"{number}.example.com" for number in range(20)]
    upstreams = dict.fromkeys(range(1, 17), 8)
    applicants = [
        Applicant(build_owner(place), ask(frozenset({name}), "", upstreams))
        for place, name in enumerate(names)
    ]
    found = find_limited(applicants, 500, {})
    assert len(applicants) - len(found) == 500 * PAIRS_PER_HOST // (16 * 8)
    excess = found["15"].excess
    assert excess is not None
    assert excess.message.startswith(
        "with this policy the namespace would have 2048 pairs of host and port, each backend "
        "counted, at most 2000 are allowed"
    )


def test_a_port_that_stands_does_not_wait_for_more_backends() -> None:
    """Where twice the limit stands: without the port nothing would go on."""
    owner = build_owner(0)
    standing = [
        HostStanding("a", frozenset({owner}), pairs=frozenset({("", 1, 0)})),
        HostStanding(
            "b", frozenset(), pairs=frozenset(("", port, 0) for port in range(PAIRS_PER_HOST * 2))
        ),
    ]
    grown = Applicant(owner, ask(frozenset("a"), "", {1: 3}))
    assert find_limited([grown], 1, {}, standing) == {}
    more = Applicant(owner, ask(frozenset("a"), "", {1: 1, 2: 1}))
    assert {*find_limited([more], 1, {}, standing)["0"].waiting} == {("a", 2)}
