"""The plan of all gateways: what it costs, and that what it is made from is found as it stands."""

import random

import pytest

from bench.permission import Crowd
from egress_operator.istio.object import GATEWAY_KIND
from egress_operator.istio.set_key import TenantSet
from egress_operator.reconcile.objects import ObjectCache
from plan.test_bounds import SLACK, count_lines

TENANTS = 10


def test_twice_the_gateways_cost_twice_as_much() -> None:
    small, large = (count_lines(Crowd(gateways, TENANTS).plan_again) for gateways in (8, 16))
    assert large / small < 2 * SLACK


def find_owned_labels(objects: ObjectCache, name: str) -> set[str]:
    """Look at everything."""
    return {
        item.label
        for namespace in objects.find_namespaces()
        for set_key, item in objects.select_ours(namespace)
        if isinstance(set_key, TenantSet) and item.label
        for owner in item.owners
        if (owner.kind, owner.name) == (GATEWAY_KIND, name)
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_places_of_what_a_gateway_owns_follow_what_comes_and_goes(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - only has to be repeatable
    crowd = Crowd(3, 3)
    objects = crowd.cluster.objects
    for _ in range(100):
        desired = draw.choice(crowd.objects)
        draw.choice([crowd.put, crowd.drop, crowd.drop])(desired)
        for name in crowd.cluster.judge_gateways():
            assert {*objects.find_owned_labels(name)} == find_owned_labels(objects, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_is_the_same_as_that_of_a_memory_that_was_filled_at_once(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - only has to be repeatable
    crowd, fresh = Crowd(3, 4), Crowd(3, 4)
    gone = draw.sample(crowd.objects, 8)
    for desired in (*gone, *draw.sample(crowd.objects, 8)):
        crowd.drop(desired)
        crowd.plan_again()
        crowd.put(desired)
    for desired in gone:
        crowd.drop(desired)
        fresh.drop(desired)
    assert crowd.plan_again().sets == fresh.plan_again().sets
