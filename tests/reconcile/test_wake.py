"""What is told of the writes of one step, and which sets wait. No API server is needed."""

from collections.abc import Sequence
from typing import Any

import pytest

from egress_operator.engine.resource import Resource
from egress_operator.engine.slots import Slots
from egress_operator.istio.set_key import GatewaySet, SetKey, TenantSet
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES
from egress_operator.reconcile.sync import SetWorker
from egress_operator.reconcile.writer import Writer
from egress_operator.rollout.write import Write
from wiring import wire

pytestmark = pytest.mark.looptime

TENANTS = ("pay", "shop", "web")


class Outside:
    """Stands for everything outside: an API server that takes every new object."""

    async def create(self, _: Resource, __: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer with the object."""
        uid = body["metadata"]["name"]
        return {**body, "metadata": {**body["metadata"], "uid": uid, "resourceVersion": "2"}}

    def count_reconcile(self, *_: object) -> None:
        """Count nothing."""

    def observe_plan(self, *_: object) -> None:
        """Count nothing."""


def build_meta(name: str, **more: object) -> dict[str, Any]:
    return {"name": name, "uid": name, "resourceVersion": "1", **more}


async def build_worker() -> tuple[SetWorker, list[SetKey]]:
    """Build a worker with the plans of a gateway and of its tenants, and list the sets of both."""
    outside: Any = Outside()
    wired = wire(outside)
    controller, sinks = wired.controller, wired.sinks
    spec = {
        "namespace": "istio-egress",
        "selector": {"istio": "egressgateway"},
        "service": {"name": "istio-egressgateway", "port": 443},
        "namespaces": {},
        "authorization": "Managed",
    }
    sinks[GATEWAYS].upsert({"metadata": build_meta("shared"), "spec": spec})
    for name in TENANTS:
        sinks[NAMESPACES].upsert({"metadata": build_meta(name)})
        destinations = [{"hosts": [f"{name}.example.com"]}]
        policy = {"gatewayRef": {"name": "shared"}, "destinations": destinations}
        sinks[POLICIES].upsert({"metadata": build_meta(name, namespace=name), "spec": policy})
    controller.cluster.judge_gateways()
    for scope in (*TENANTS, None):
        await controller.planner.plan(scope, is_complete=True)
    writer = Writer(
        outside,
        controller.cluster.objects,
        Slots(16),
        is_missing=lambda _: False,
        on_not_found=lambda _: None,
        on_not_created=lambda _: None,
    )
    worker = SetWorker(
        controller.cluster,
        controller.planner,
        writer,
        wired.dependencies,
        on_refused=lambda _: None,
        on_late=lambda _: None,
    )
    plans = [controller.planner.get(scope) for scope in (*TENANTS, None)]
    return worker, [key for plan in plans if plan for key in plan.sets]


async def test_the_writes_of_a_step_are_told_of_at_once() -> None:
    """Each call looks at every set that waits, so one for each tenant would be quadratic."""
    worker, sets = await build_worker()
    told: list[int] = []

    def note(_: SetKey, writes: Sequence[Write]) -> None:
        told.append(len(writes))

    (gateway,) = [key for key in sets if isinstance(key, GatewaySet)]
    await worker.sync(gateway, note)
    assert told == [1 + len(TENANTS)], "what denies everything else, and each permission"


async def test_sets_that_wait_are_found_by_their_namespace() -> None:
    worker, sets = await build_worker()
    assert worker.list_settling(None) == []
    tenants = [key for key in sets if isinstance(key, TenantSet)]
    for key in tenants:
        await worker.sync(key, lambda *_: None)
    assert worker.list_settling(None) == tenants
    for key in tenants:
        assert worker.list_settling(key.namespace) == [key]
    worker.note_change(tenants[0])
    assert worker.list_settling(None) == tenants
    assert worker.list_settling("elsewhere") == []
