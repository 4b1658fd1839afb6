"""How large namespaces are planned: in slices, one in each turn. No API server is needed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from egress_operator.plan.plan import PlanCache, warm_plan
from egress_operator.plan.source import NamespaceInput
from egress_operator.reconcile import planner
from egress_operator.reconcile.resource import POLICIES
from wiring import wire

pytestmark = pytest.mark.looptime

NAMESPACES = ("pay", "shop", "web")
HOSTS = 20


class Outside:
    """Stands for everything outside: an API server that does not answer, and nobody to tell."""

    def __init__(self) -> None:
        self.planned = asyncio.Semaphore(0)
        self._seconds = 0.0

    def read_clock(self) -> float:
        """Return a time by which everything takes longer than one slice."""
        self._seconds += 2 * planner.SLICE_S
        return self._seconds

    async def create(self, *_: object, **__: object) -> None:
        """Answer never."""
        await asyncio.Event().wait()

    patch = create

    def observe_plan(self, *_: object) -> None:
        """Count a plan."""
        self.planned.release()

    def count_reconcile(self, *_: object) -> None:
        """Count nothing."""


def build_policy(namespace: str) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": "all", "uid": namespace, "resourceVersion": "1"}
    hosts = [f"host-{number}.{namespace}.example.com" for number in range(HOSTS)]
    parts = [hosts[start : start + 10] for start in range(0, HOSTS, 10)]
    return {"metadata": metadata, "spec": {"destinations": [{"hosts": part} for part in parts]}}


async def test_large_namespaces_side_by_side_take_one_slice_in_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each piece of a plan takes longer than a slice here."""
    turn = 0
    pieces: list[tuple[str, int]] = []

    def note_pieces(inputs: NamespaceInput, memo: PlanCache) -> Iterator[None]:
        for _ in warm_plan(inputs, memo):
            pieces.append((inputs.namespace, turn))
            yield

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(planner, "warm_plan", note_pieces)
    outside = Outside()
    wired = wire(outside, clock=outside.read_clock)
    controller = wired.controller
    for namespace in NAMESPACES:
        wired.sinks[POLICIES].upsert(build_policy(namespace))
    turns = asyncio.create_task(count_turns())
    controller.start()
    for _ in (None, *NAMESPACES):
        await asyncio.wait_for(outside.planned.acquire(), 60)
    turns.cancel()
    await controller.stop(0)
    assert all(len([name for name, _ in pieces if name == each]) >= HOSTS for each in NAMESPACES)
    first = [next(number for name, number in pieces if name == each) for each in NAMESPACES]
    last = [max(number for name, number in pieces if name == each) for each in NAMESPACES]
    assert max(first) < min(last), "they are planned side by side"
    taken = [number for _, number in pieces]
    assert len({*taken}) == len(taken), "two slices in one turn"
