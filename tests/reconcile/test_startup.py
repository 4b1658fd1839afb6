"""At a start, what is withdrawn goes first, and every namespace is planned in the end."""

import asyncio
from typing import Any

import pytest

from egress_operator.engine.queue import Queue
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object_set import Access, ObjectSet
from egress_operator.istio.set_key import GatewaySet, Scope, SetKey
from egress_operator.plan.plan import Plan
from egress_operator.reconcile.startup import PATIENCE_S, Startup

pytestmark = pytest.mark.looptime

SHARED = GatewaySet("shared", "istio-egress")
OTHER = GatewaySet("other", "istio-egress")
PERMISSION = ObjectKey(Kind.AUTHORIZATION_POLICY, "istio-egress", "shop")


class Started:
    """A start with two namespaces that have policies, and a third that used a gateway."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.planned: list[Scope] = []
        self.queue = Queue[Scope](self._note, lane=lambda scope: scope, workers=1)
        planner: Any = self
        self.opened = 0
        self.startup = Startup(planner, self.queue, self._note_open)
        self.startup.begin({"shop", "gone"})
        self.queue.start()

    def _note_open(self) -> None:
        self.opened += 1

    async def _note(self, scope: Scope) -> None:
        self.planned.append(scope)

    def get(self, _: Scope) -> Plan | None:
        """Stand for the planner."""
        return self.plan

    def find_scopes(self) -> set[Scope]:
        """Stand for the planner: what is there by now."""
        return {None, "shop", "pay"}

    async def take(self) -> list[Scope]:
        """Return what was planned since the last call."""
        await self.queue.join()
        planned, self.planned = self.planned, []
        return sorted(planned, key=str)

    def note_gateways(self, *withdrawn: GatewaySet) -> None:
        """Have the gateways planned, some of them with a permission to delete."""
        sets: dict[SetKey, ObjectSet] = {
            key: ObjectSet(key, access=Access(None, withdrawn=frozenset({PERMISSION})))
            for key in withdrawn
        }
        self.plan = Plan(None, sets, {}, frozenset(), frozenset())
        self.startup.note_plan(None)


@pytest.fixture
async def started() -> Started:
    return Started()


async def test_namespaces_wait_for_every_withdrawn_permission(started: Started) -> None:
    assert await started.take() == [None]
    started.note_gateways(SHARED, OTHER)
    started.startup.mark("shop")
    started.startup.note_sync(SHARED)
    assert await started.take() == []
    assert started.opened == 0
    started.startup.note_sync(OTHER)
    assert await started.take() == ["gone", "pay", "shop"]
    assert started.opened == 1
    started.startup.mark("shop")
    assert await started.take() == ["shop"]


async def test_namespaces_do_not_wait_for_a_deletion_that_hangs(started: Started) -> None:
    started.note_gateways(SHARED)
    await asyncio.sleep(PATIENCE_S - 0.1)
    assert await started.take() == [None]
    await asyncio.sleep(0.2)
    assert await started.take() == ["gone", "pay", "shop"]


async def test_without_withdrawn_permissions_nothing_waits(started: Started) -> None:
    assert await started.take() == [None]
    started.note_gateways()
    assert await started.take() == ["gone", "pay", "shop"]


async def test_a_set_that_is_looked_at_before_the_first_plan_opens_nothing(
    started: Started,
) -> None:
    started.startup.note_sync(SHARED)
    assert await started.take() == [None]


async def test_gateways_that_cannot_be_planned_hold_up_nobody(started: Started) -> None:
    assert await started.take() == [None]
    started.startup.note_failed_plan(None)
    assert await started.take() == ["gone", "pay", "shop"]


async def test_permission_is_whole_once_each_namespace_was_tried(started: Started) -> None:
    """Also one whose policies have gone meanwhile."""
    started.note_gateways()
    await started.take()
    started.startup.note_plan("shop")
    assert not started.startup.is_complete
    started.startup.note_failed_plan("gone")
    assert started.startup.is_complete
    assert await started.take() == [None]
    await asyncio.wait_for(started.queue.stop(0), 1)
