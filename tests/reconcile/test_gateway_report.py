"""A start at which one namespace cannot be planned: the gateways go on. No API server is needed."""

import asyncio
import logging
from typing import Any

import pytest

from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.plan.piece import Pieces
from egress_operator.plan.plan import Plan
from egress_operator.plan.source import NamespaceInput
from egress_operator.reconcile.controller import Controller
from egress_operator.reconcile.resource import GATEWAYS, POLICIES, RESOURCES
from egress_operator.reconcile.resource import NAMESPACES as NAMESPACES_KIND
from wiring import wire

pytestmark = pytest.mark.looptime

NAMESPACES = ("held", "pay", "shop")
"""Each with a policy that goes through the gateway; that of `held` is being deleted."""
FAILURE = "the planner has a bug"


class Outside:
    """Stands for everything outside, and keeps what is written."""

    def __init__(self) -> None:
        self.objects: list[tuple[Resource, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.statuses = 0
        """Of gateways, that were written."""

    async def create(self, resource: Resource, _: str, body: dict[str, Any]) -> dict[str, Any]:
        """Store and answer with the object."""
        metadata = {**body["metadata"], "uid": body["metadata"]["name"], "resourceVersion": "2"}
        self.objects.append((resource, {**body, "metadata": metadata}))
        return self.objects[-1][1]

    async def delete(self, _: Resource, __: str, name: str, **___: object) -> None:
        """Note the name."""
        self.deleted.append(name)

    async def patch(
        self, resource: Resource, namespace: str, *_: object, **__: object
    ) -> dict[str, Any]:
        """Answer with the object; its status is never read."""
        if resource != GATEWAYS:
            return build_policy(namespace)
        self.statuses += 1
        return build_gateway()

    def count_drift(self, *_: object) -> None:
        """Count nothing."""

    def count_unreadable(self, *_: object) -> None:
        """Count nothing."""

    def observe_plan(self, *_: object) -> None:
        """Count nothing."""

    def count_reconcile(self, *_: object) -> None:
        """Count nothing."""

    def announce(self, *_: object) -> None:
        """Drop it."""


def build_gateway() -> dict[str, Any]:
    spec = {
        "namespace": "istio-egress",
        "selector": {"istio": "egressgateway"},
        "service": {"name": "istio-egressgateway", "port": 443},
        "namespaces": {},
        "authorization": "Managed",
    }
    return {"metadata": {"name": "shared", "uid": "g", "resourceVersion": "1"}, "spec": spec}


def build_policy(namespace: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": "web", "uid": namespace, "resourceVersion": "1"}
    if namespace == "held":
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    destinations = [{"hosts": [f"{namespace}.example.com"]}]
    spec = {"gatewayRef": {"name": "shared"}, "destinations": destinations}
    return {"metadata": metadata, "spec": spec}


def build_changed_policy(namespace: str, version: int) -> dict[str, Any]:
    policy = build_policy(namespace)
    policy["metadata"] |= {"resourceVersion": str(version), "generation": version}
    return {**policy, "spec": {**policy["spec"], "destinations": [{"hosts": [f"h{version}.com"]}]}}


def build_controller(outside: Any) -> Controller:  # noqa: ANN401 - stands for several protocols
    wired = wire(outside)
    sinks = wired.sinks
    sinks[GATEWAYS].upsert(build_gateway())
    for namespace in NAMESPACES:
        metadata = {"name": namespace, "uid": f"{namespace}-uid", "resourceVersion": "1"}
        sinks[NAMESPACES_KIND].upsert({"metadata": metadata})
        sinks[POLICIES].upsert(build_policy(namespace))
    for resource, obj in outside.objects:
        sinks[resource].upsert(obj)
    return wired.controller


async def run(controller: Controller) -> None:
    controller.start()
    await asyncio.sleep(60)
    await controller.stop(1)


async def test_a_namespace_that_cannot_be_planned_does_not_hold_up_the_gateways(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outside = Outside()
    await run(build_controller(outside))
    permissions = [
        obj["metadata"]["name"]
        for resource, obj in outside.objects
        if resource == RESOURCES[Kind.AUTHORIZATION_POLICY]
    ]
    assert len(permissions) == 3, "the gateway's own, and those of the two that are not going"

    controller = build_controller(outside)
    build, plan = controller.cluster.build_input, controller.cluster.plan_gateways
    complete: list[bool] = []

    def build_or_fail(namespace: str, before: Plan | None) -> Pieces[NamespaceInput]:
        if namespace == "pay":
            raise RuntimeError(FAILURE)
        return build(namespace, before)

    def note_plan(*wanted: Any, is_complete: bool, **more: Any) -> Plan:  # noqa: ANN401 - as they are
        complete.append(is_complete)
        return plan(*wanted, is_complete=is_complete, **more)

    monkeypatch.setattr(controller.cluster, "build_input", build_or_fail)
    monkeypatch.setattr(controller.cluster, "plan_gateways", note_plan)
    outside.statuses = 0
    await run(controller)
    assert outside.statuses >= 1
    assert (complete[0], complete[-1]) == (False, True)
    assert outside.deleted == [], "the permissions stay"
    records = [record for record in caplog.records if FAILURE in record.getMessage()]
    assert {record.levelno for record in records} == {logging.ERROR}
    assert {record.__dict__["namespace"] for record in records} == {"pay"}


async def test_a_plan_that_failed_is_made_at_once_when_its_input_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller = build_controller(Outside())
    build = controller.cluster.build_input
    tried: list[str] = []

    def build_or_fail(namespace: str, before: Plan | None) -> Pieces[NamespaceInput]:
        tried.append(namespace)
        if namespace == "pay" and broken:
            raise RuntimeError(FAILURE)
        return build(namespace, before)

    broken = True
    monkeypatch.setattr(controller.cluster, "build_input", build_or_fail)
    controller.start()
    await asyncio.sleep(100)
    assert tried.count("pay") <= 11
    policies = {sink.resource: sink for _, sink in controller.build_sinks()}[POLICIES]
    # Each is another one, so that each is a change.
    for version in range(2, 102):
        await asyncio.sleep(0.01)
        policies.upsert(build_changed_policy("pay", version))
    assert tried.count("pay") <= 20
    broken = False
    policies.upsert(build_changed_policy("pay", 102))
    await asyncio.sleep(1)
    assert controller.planner.get("pay") is not None
    await controller.stop(1)
