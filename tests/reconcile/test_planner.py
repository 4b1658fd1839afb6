"""What goes through a whole namespace, or all: a little in each turn. No API server is needed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Observed
from egress_operator.istio.set_key import HostSet, SetKey
from egress_operator.plan.piece import Pieces, finish
from egress_operator.plan.plan import Plan, PlanCache, plan_in_pieces, plan_namespace
from egress_operator.plan.source import NamespaceInput
from egress_operator.reconcile import planner
from egress_operator.reconcile.cluster import PIECE
from egress_operator.reconcile.controller import Controller
from egress_operator.reconcile.policy import read_policy
from egress_operator.reconcile.resource import POLICIES, RESOURCES
from wiring import wire

pytestmark = pytest.mark.looptime

NAMESPACES = ("pay", "shop", "web")
HOSTS = 20


class Outside:
    """Stands for everything outside: an API server that does not answer, and nobody to tell."""

    def __init__(self) -> None:
        self.planned = asyncio.Semaphore(0)
        self.synced = 0
        self._seconds = 0.0

    def read_clock(self) -> float:
        """Return a time by which everything takes longer than one slice."""
        self._seconds += 2 * planner.SLICE_S
        return asyncio.get_running_loop().time() + self._seconds

    async def create(self, *_: object, **__: object) -> None:
        """Answer never."""
        await asyncio.Event().wait()

    patch = create

    def observe_plan(self, *_: object) -> None:
        """Count a plan."""
        self.planned.release()

    def count_reconcile(self, *_: object) -> None:
        """Count an attempt at a set."""
        self.synced += 1


def build_policy(namespace: str, name: str = "all") -> dict[str, Any]:
    uid = f"{namespace}-{name}"
    metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "1"}
    hosts = [f"{name}-{number}.{namespace}.example.com" for number in range(HOSTS)]
    parts = [hosts[start : start + 10] for start in range(0, HOSTS, 10)]
    return {"metadata": metadata, "spec": {"destinations": [{"hosts": part} for part in parts]}}


def build_controller(outside: Outside) -> Controller:
    return wire(outside, clock=outside.read_clock).controller


def fill(controller: Controller, *namespaces: str) -> None:
    """Let a policy and all objects of each namespace be there."""
    sinks = {sink.resource: sink for _, sink in controller.build_sinks()}
    for namespace in namespaces:
        policy = build_policy(namespace)
        sinks[POLICIES].upsert(policy)
        plan = plan_namespace(NamespaceInput(namespace, (read_policy(policy),)))
        for desired in (item for object_set in plan.sets.values() for item in object_set.objects):
            manifest = build_manifest(desired, desired.owners)
            identity = {"uid": str(desired.key), "resourceVersion": "1"}
            obj = {**manifest, "metadata": {**manifest["metadata"], **identity}}
            sinks[RESOURCES[desired.key.kind]].upsert(obj)


async def test_large_namespaces_side_by_side_take_one_slice_in_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each piece of a plan takes longer than a slice here."""
    turn = 0
    pieces: list[tuple[str, int]] = []

    def note_pieces(inputs: NamespaceInput, memo: PlanCache) -> Pieces[Plan]:
        planning = plan_in_pieces(inputs, memo)
        while True:
            pieces.append((inputs.namespace, turn))
            try:
                yield next(planning)
            except StopIteration as end:
                plan: Plan = end.value
                return plan

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(planner, "plan_in_pieces", note_pieces)
    outside = Outside()
    controller = build_controller(outside)
    sinks = {sink.resource: sink for _, sink in controller.build_sinks()}
    for namespace in NAMESPACES:
        sinks[POLICIES].upsert(build_policy(namespace))
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


async def test_what_changes_while_a_namespace_is_planned_is_planned_next() -> None:
    outside = Outside()
    controller = build_controller(outside)
    policies = {sink.resource: sink for _, sink in controller.build_sinks()}[POLICIES]
    policies.upsert(build_policy("shop", "first"))
    controller.start()
    await asyncio.wait_for(outside.planned.acquire(), 60)
    for _ in range(HOSTS // 2):
        await asyncio.sleep(0)
    assert controller.planner.get("shop") is None, "it is being planned"
    policies.upsert(build_policy("shop", "second"))
    for names in ({"first"}, {"first", "second"}):
        await asyncio.wait_for(outside.planned.acquire(), 600)
        plan = controller.planner.get("shop")
        assert plan is not None
        assert plan.results.keys() == names
        assert len(plan.sets) == len(names) * HOSTS
    await controller.stop(0)
    await asyncio.sleep(1)


async def test_what_stands_of_a_namespace_is_gathered_in_pieces() -> None:
    controller = build_controller(Outside())
    fill(controller, "shop")
    yields = 0

    def count_pieces() -> Pieces[NamespaceInput]:
        nonlocal yields
        pieces = controller.cluster.build_input("shop")
        while True:
            try:
                yield next(pieces)
                yields += 1
            except StopIteration as end:
                inputs: NamespaceInput = end.value
                return inputs

    assert len(finish(count_pieces()).standing) == HOSTS
    assert yields >= HOSTS / PIECE


async def test_what_a_plan_wants_and_what_is_being_created_counts_as_standing() -> None:
    """It may be written while the next one is made."""
    controller = build_controller(Outside())
    cluster = controller.cluster
    policy = build_policy("shop")
    {sink.resource: sink for _, sink in controller.build_sinks()}[POLICIES].upsert(policy)
    assert not finish(cluster.build_input("shop")).standing
    plan = plan_namespace(NamespaceInput("shop", (read_policy(policy),)))
    hosts = {key.host for key in plan.sets if isinstance(key, HostSet)}
    assert len(hosts) == HOSTS
    assert {item.host for item in finish(cluster.build_input("shop", plan)).standing} == hosts
    (desired, *_) = next(iter(plan.sets.values())).objects
    with cluster.objects.note_creation(desired):
        (item,) = finish(cluster.build_input("shop")).standing
        assert item.host in hosts
    assert not finish(cluster.build_input("shop")).standing


async def test_a_look_for_orphans_takes_one_namespace_in_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller = build_controller(Outside())
    fill(controller, *NAMESPACES)
    objects, looked = controller.cluster.objects, list[str]()
    select = objects.select_ours

    def note(namespace: str) -> Iterator[tuple[SetKey, Observed]]:
        looked.append(namespace)
        return select(namespace)

    monkeypatch.setattr(objects, "select_ours", note)
    look = asyncio.create_task(controller.delete_orphans())
    for count in range(len(NAMESPACES) + 1):
        assert len(looked) == max(count - 1, 0)
        await asyncio.sleep(0)
    await look
    assert set(looked) == set(NAMESPACES)


async def test_a_resync_takes_one_namespace_after_the_other() -> None:
    outside = Outside()
    controller = build_controller(outside)
    fill(controller, *NAMESPACES)
    controller.start()
    await asyncio.sleep(1000)
    assert outside.synced == len(NAMESPACES) * HOSTS
    before = controller.load
    controller.resync()
    added = controller.load.ready + controller.load.busy - before.ready - before.busy
    assert added <= len(NAMESPACES) + 1, "only what is to be planned"
    await asyncio.sleep(1000)
    assert outside.synced == 2 * len(NAMESPACES) * HOSTS
    await controller.stop(0)
    await asyncio.sleep(1)
