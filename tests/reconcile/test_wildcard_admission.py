"""Wildcards through a gateway follow the admission policies. No API server is needed."""

import asyncio

import pytest

from egress_operator.istio.kind import Kind
from egress_operator.reconcile.resource import GATEWAYS, POLICIES
from egress_operator.status.gateway import Admission

from .test_refused_write import THROUGH, Obstacle, Site
from .test_urgent import build_gateway, build_policy

pytestmark = pytest.mark.looptime

WILDCARD = "*.example.com"
SOON_S = 30.0
STRICT, COMPATIBLE = Admission(""), Admission("", is_strict=False)


async def start(admission: Admission | None) -> Site:
    """Let a tenant have a wildcard at a gateway that lets wildcards through."""
    site = Site(Obstacle(None, 1.0))
    gateway = build_gateway()
    gateway["spec"]["wildcards"] = "HTTP"
    site.sinks[GATEWAYS].upsert(gateway)
    site.label("shop", egress="yes")
    policy = build_policy("shop", "wild", [WILDCARD], **THROUGH)
    policy["spec"]["destinations"][0]["originateTLS"] = {}
    site.sinks[POLICIES].upsert(policy)
    if admission is not None:
        site.controller.observe_admission(admission)
    site.controller.start()
    await asyncio.sleep(SOON_S)
    return site


def count_servers(site: Site) -> int:
    """Count the tenant's servers for the wildcard: the outer and the inner one."""
    found = site.controller.cluster.objects.select_kind(Kind.GATEWAY, "shop")
    return sum(item.ours and item.key.name.startswith("any-") for item in found)


async def test_they_are_set_up_once_the_level_strict_is_in_force() -> None:
    site = await start(COMPATIBLE)
    assert count_servers(site) == 0
    site.controller.observe_admission(STRICT)
    await asyncio.sleep(SOON_S)
    assert count_servers(site) == 2
    await site.controller.stop(0)


@pytest.mark.parametrize("admission", [None, Admission("it is missing"), COMPATIBLE])
async def test_nothing_is_set_up_while_it_is_not_known_to_be(admission: Admission | None) -> None:
    site = await start(admission)
    assert count_servers(site) == 0
    await site.controller.stop(0)


@pytest.mark.parametrize("admission", [Admission("it is missing"), COMPATIBLE])
async def test_what_is_set_up_stays_when_it_ends(admission: Admission) -> None:
    site = await start(STRICT)
    assert count_servers(site) == 2
    written = len(site.log.writes)
    site.controller.observe_admission(admission)
    await asyncio.sleep(SOON_S)
    assert (count_servers(site), len(site.log.writes)) == (2, written)
    await site.controller.stop(0)
