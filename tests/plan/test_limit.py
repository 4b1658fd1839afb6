"""Limits of a namespace: who is refused, and that what there is stays within them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.plan.intent import Limits
from egress_operator.plan.limit import Demand, find_excesses

UNTIMED = settings(deadline=None, max_examples=200)
MOST = 5
GATEWAYS = {"shared": Limits(hosts=3, servers=2)}

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
    named = ((str(place), demand) for place, demand in enumerate(found))
    return {int(name) for name in find_excesses(named, MOST, GATEWAYS)}


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
