"""When the status of a policy is written while its objects are not. No API server is needed."""

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.slots import Slots
from egress_operator.reconcile.kind import View
from egress_operator.reconcile.report import Reporter
from egress_operator.reconcile.resource import POLICIES
from wiring import wire

pytestmark = pytest.mark.looptime


class Outage:
    """Stands for everything outside: no object can be made, and the first status is not taken."""

    def __init__(self) -> None:
        self.statuses: list[dict[str, Any]] = []

    async def create(self, *_: object) -> None:
        """Fail as a webhook that does not answer."""
        raise ApiError(500, "InternalError", "no answer")

    async def patch(self, *arguments: Any, **_: object) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Take a status, but for the first."""
        patch = arguments[-1]
        self.statuses.append(patch[-1]["value"])
        if len(self.statuses) == 1:
            raise ApiError(500, "InternalError", "no answer")
        return build_policy(status=self.statuses[-1])

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - stands for metrics and events too
        return lambda *_: None


def build_policy(**more: object) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "web", "uid": "one", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"destinations": [{"hosts": ["a.example.com"]}]}, **more}


async def test_a_status_that_could_not_be_written_is_written_again() -> None:
    outside = Outage()
    wired = wire(outside)
    wired.sinks[POLICIES].upsert(build_policy())
    wired.controller.start()
    await asyncio.sleep(30)
    await wired.controller.stop(0)
    assert len(outside.statuses) == 2
    assert outside.statuses[0] == outside.statuses[1]


class NoNamespace(Outage):
    """Stands for everything outside: the policy has outlived its namespace."""

    async def patch(self, *arguments: Any, **_: object) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Answer as an API server that has no such namespace."""
        self.statuses.append(arguments[-1][-1]["value"])
        raise ApiError(404, "NotFound", 'namespaces "shop" not found', subject="namespaces/shop")


async def test_a_policy_without_its_namespace_gets_no_status_and_is_not_tried_again() -> None:
    outside = NoNamespace()
    wired = wire(outside)
    wired.sinks[POLICIES].upsert({**build_policy(), "spec": {"gatewayRef": {"name": "nowhere"}}})
    wired.controller.start()
    await asyncio.sleep(30)
    await wired.controller.stop(0)
    assert len(outside.statuses) == 1


class Deletion(Outage):
    """Stands for everything outside: a policy is deleted while its status is written."""

    delete_policy: Callable[[], None]

    async def patch(self, *arguments: Any, **_: object) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Take the status."""
        self.statuses.append(arguments[-1][-1]["value"])
        await asyncio.sleep(1)
        self.delete_policy()
        return build_policy(status=self.statuses[-1])


async def test_nothing_is_kept_of_an_object_that_goes_while_its_status_is_written() -> None:
    outside = Deletion()
    wired = wire(outside)
    sinks = wired.sinks
    policy = {**build_policy(), "spec": {"gatewayRef": {"name": "nowhere"}}}
    sinks[POLICIES].upsert(policy)
    outside.delete_policy = lambda: sinks[POLICIES].delete(policy)
    cluster, planner = wired.controller.cluster, wired.controller.planner
    await planner.plan("shop", is_complete=True)
    worker: Any = None
    reporter = Reporter(
        View(cluster, planner, worker, wired.dependencies.clock),
        wired.dependencies,
        Slots(1),
        lambda: None,
    )
    empty = {name: copy(value) for name, value in vars(reporter).items() if name != "_slots"}
    await reporter.report(cluster.policies.key("shop", "web"))
    assert len(outside.statuses) == 1
    assert {name: value for name, value in vars(reporter).items() if name in empty} == empty
