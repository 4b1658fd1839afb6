"""Someone else writes the status each time that the operator does. No API server is needed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from egress_operator.reconcile.record import OwnKey, OwnKind
from egress_operator.reconcile.resource import GATEWAYS, POLICIES
from wiring import wire

pytestmark = pytest.mark.looptime

WATCHED_S = 30
MOST = 5 + WATCHED_S / 3
"""A few at once, then one in three seconds."""
EVENTS = 2
"""Of one status: what is wrong with the object, and that nothing follows from it."""
RESOURCES = {OwnKind.POLICY: POLICIES, OwnKind.GATEWAY: GATEWAYS}
SPECS = {
    "policies": {"destinations": [{"hosts": ["not a host"]}]},
    "gateways": {"namespace": "shop", "selector": {"matchLabels": {"istio": "egress"}}},
}


class SecondWriter:
    """Stands for everything outside: the API server, where someone rewrites each status."""

    def __init__(self) -> None:
        self.sinks: dict[Any, Any] = {}
        self.objects: dict[Any, dict[str, Any]] = {}
        self.is_writing = True
        self.patches: Counter[Any] = Counter()
        self.events: Counter[Any] = Counter()
        self.version = 0

    def put(self, resource: Any, **more: object) -> dict[str, Any]:  # noqa: ANN401 - a Resource
        """Store an object; the answer to whoever wrote it."""
        self.version += 1
        metadata = {**self.objects[resource]["metadata"], "resourceVersion": str(self.version)}
        self.objects[resource] = {**self.objects[resource], "metadata": metadata, **more}
        return self.objects[resource]

    def rewrite(self, resource: Any) -> None:  # noqa: ANN401 - a Resource
        """Write another status, as someone else."""
        self.sinks[resource].upsert(self.put(resource, status={"hosts": str(self.version)}))

    async def patch(self, resource: Any, *arguments: Any, **_: object) -> dict[str, Any]:  # noqa: ANN401
        """Take a status; someone else writes the next one a moment later."""
        self.patches[resource] += 1
        answer = self.put(resource, status=arguments[-1][-1]["value"])
        if self.is_writing:
            asyncio.get_running_loop().call_later(0.05, self.rewrite, resource)
        return answer

    def announce(self, key: OwnKey, *_: object) -> None:
        """Count an event."""
        self.events[RESOURCES[key.kind]] += 1

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - stands for metrics too
        return lambda *_: None


@pytest_asyncio.fixture
async def outside() -> AsyncIterator[SecondWriter]:
    """Give the second writer, with an operator that reports a policy and an EgressGateway."""
    outside = SecondWriter()
    wired = wire(outside)
    outside.sinks = wired.sinks
    for resource, name in ((POLICIES, "policies"), (GATEWAYS, "gateways")):
        place = {"namespace": "shop"} if resource == POLICIES else {}
        metadata = {"name": name, "uid": name, "generation": 1, **place}
        outside.objects[resource] = {"metadata": metadata, "spec": SPECS[name]}
        outside.sinks[resource].upsert(outside.put(resource))
    wired.controller.start()
    yield outside
    await wired.controller.stop(0)


@pytest.mark.parametrize("resource", [POLICIES, GATEWAYS], ids=["policy", "gateway"])
async def test_a_status_that_someone_rewrites_is_written_within_a_budget(
    outside: SecondWriter,
    resource: Any,  # noqa: ANN401 - a Resource
) -> None:
    await asyncio.sleep(WATCHED_S)
    assert MOST - 3 <= outside.patches[resource] <= MOST + 1
    assert 0 < outside.events[resource] <= EVENTS * (MOST + 1)


@pytest.mark.parametrize("resource", [POLICIES, GATEWAYS], ids=["policy", "gateway"])
async def test_it_is_right_soon_after_the_last_of_them(
    outside: SecondWriter,
    resource: Any,  # noqa: ANN401 - a Resource
) -> None:
    await asyncio.sleep(WATCHED_S)
    outside.is_writing = False
    await asyncio.sleep(5)
    assert "conditions" in outside.objects[resource]["status"]


async def test_a_single_rewrite_is_undone_at_once(outside: SecondWriter) -> None:
    outside.is_writing = False
    await asyncio.sleep(5)
    for _ in range(3):
        outside.rewrite(POLICIES)
        await asyncio.sleep(0.1)
        assert "conditions" in outside.objects[POLICIES]["status"]


async def test_from_then_on_every_status_of_it_is_within_the_budget(outside: SecondWriter) -> None:
    outside.is_writing = False
    await asyncio.sleep(5)
    outside.rewrite(POLICIES)
    for generation in range(2, 2 + WATCHED_S * 10):
        outside.objects[POLICIES]["metadata"]["generation"] = generation
        outside.sinks[POLICIES].upsert(outside.put(POLICIES))
        await asyncio.sleep(0.1)
    assert MOST - 3 <= outside.patches[POLICIES] <= MOST + 2
    await asyncio.sleep(5)
    status = outside.objects[POLICIES]["status"]
    assert status["conditions"][0]["observedGeneration"] == generation
