"""Somebody else rewrites a permission all the time. No API server is needed."""

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.istio.kind import Kind
from egress_operator.reconcile.resource import POLICIES, RESOURCES
from egress_operator.status.gateway import Admission

from .test_hang import Hanging, start
from .test_refused_write import ACCESS, THROUGH, Site
from .test_urgent import build_policy

pytestmark = pytest.mark.looptime

REWRITE_S = 0.05
EDITS_S = (0.02, 0.2)
"""Between two edits: while the writes of the one are under way, and after them."""
FIGHT_S = 60.0
BURST = 20
PERIOD_S = 3.0
OTHERS: dict[str, Any] = {"rules": [{"from": [{"source": {"namespaces": ["shop", "strangers"]}}]}]}
PERMISSIONS = RESOURCES[Kind.AUTHORIZATION_POLICY]


def find_permission(site: Site, namespace: str) -> str:
    """Return the name of the one permission of a namespace."""
    (found,) = [
        item.key.name
        for item in site.controller.cluster.objects.select_policies(())
        if item.tenant == namespace
    ]
    return found


async def fight(site: Site, log: Hanging, name: str) -> None:
    """Let strangers in, as often as the operator lets that be."""
    while True:
        if log.get_object(ACCESS, name)["spec"] != OTHERS:
            site.sinks[PERMISSIONS].upsert(log.rewrite(ACCESS, name, OTHERS))
        await asyncio.sleep(REWRITE_S)


async def edit(site: Site, pause: float) -> None:
    """Change who may use a host of another tenant, and nothing else."""
    for generation, account in enumerate(cycle(("one", "two", "three")), 2):
        through = {**THROUGH, "from": {"serviceAccounts": [account]}}
        policy = build_policy("pay", "web", ["pay.example.com"], **through)
        policy["metadata"] |= {"resourceVersion": str(1000 + generation), "generation": generation}
        site.sinks[POLICIES].upsert(policy)
        await asyncio.sleep(pause)


def list_isolated(log: Hanging, since: float) -> Iterator[str]:
    """Give what the statuses of the gateway said about Isolated, in their order."""
    for plural, at, patch in log.statuses:
        if plural == "egressgateways" and at > since:
            (conditions,) = [
                change["value"].get("conditions", ())
                for change in patch
                if change["path"] == "/status"
            ]
            yield from (item["status"] for item in conditions if item["type"] == "Isolated")


@pytest.mark.parametrize("pause", [None, *EDITS_S])
async def test_a_fight_is_reported_and_bounded_and_holds_up_nobody(pause: float | None) -> None:
    site, log = await start()
    site.controller.cluster.admission = Admission("")
    begun = site.clock()
    name = find_permission(site, "shop")
    tasks = [asyncio.create_task(fight(site, log, name))]
    if pause is not None:
        tasks.append(asyncio.create_task(edit(site, pause)))
    await asyncio.sleep(FIGHT_S)
    repairs = [
        at
        for verb, plural, about, at in log.done
        if (verb, plural) == ("patch", ACCESS) and "shop" in about and at > begun
    ]
    assert BURST <= len(repairs) <= BURST + FIGHT_S / PERIOD_S + 1
    told = list(list_isolated(log, begun + BURST * (REWRITE_S + 1)))
    assert set(told) == {"False"}, told

    since = site.clock()
    site.label("slow")
    await asyncio.sleep(1)
    assert log.has_answered("delete", "slow", since)
    since = site.clock()
    site.label("slow", egress="yes")
    await asyncio.sleep(2)
    assert log.has_answered("create", "slow", since)
    if pause is not None:
        assert log.has_answered("create", "pay", since) or log.has_answered("patch", "pay", since)

    for task in tasks:
        task.cancel()
    since = site.clock()
    await asyncio.sleep(2 * PERIOD_S)
    assert log.get_object(ACCESS, name)["spec"] != OTHERS
    assert list(list_isolated(log, since))[-1] == "True"
    await site.controller.stop(0)


async def test_a_fight_does_not_hide_what_is_refused() -> None:
    site, log = await start()
    name = find_permission(site, "shop")
    task = asyncio.create_task(fight(site, log, name))
    await asyncio.sleep(FIGHT_S / 2)
    log.errors += [("create", "istio-egress slow", ApiError(500, "InternalError"))] * 1000
    through = {**THROUGH, "from": {"serviceAccounts": ["web"]}}
    site.sinks[POLICIES].upsert(build_policy("slow", "more", ["more.example.com"], **through))
    await asyncio.sleep(FIGHT_S / 2)
    told = [str(patch) for plural, _, patch in log.statuses if plural == "egresspolicies"]
    assert any("which is refused: " in words for words in told)
    task.cancel()
    await site.controller.stop(0)
