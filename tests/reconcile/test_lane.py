"""AuthorizationPolicies that claim to belong to EgressGateways that do not exist.

A tenant may write as many as it likes in its own namespace. Their cost grows with their number, and
they hold up no other tenant. No API server is needed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from bench.permission import Crowd
from egress_operator.engine.ready import Share
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.set_key import GatewaySet, HostSet
from egress_operator.plan.gateway import GatewayResult
from egress_operator.plan.source import Settings
from egress_operator.reconcile.lane import Lanes
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES
from egress_operator.rollout.write import Delete
from plan.test_bounds import SLACK, count_lines
from wiring import Ignorant, Wired, wire

from . import test_urgent
from .test_urgent import IN_FLIGHT, WriteLog, build_gateway, build_namespace, build_policy

ACCESS = RESOURCES[Kind.AUTHORIZATION_POLICY]
FORMER = GatewaySet("shared", "egress-a")
PRESENT = GatewaySet("shared", "egress-b")
FORGOTTEN = GatewaySet("deleted-before-the-start", "egress-b")
PRETENDED = GatewaySet("g1", "evil")
SIZES = (50, 100)
WORKERS = 32


def build_access(number: int) -> dict[str, Any]:
    """Build an AuthorizationPolicy as a tenant may write it in the namespace `evil`."""
    label = f"x-h{number:016x}"
    annotations = {
        "egress-operator.io/gateway": label,
        "egress-operator.io/egress-gateway": f"g{number}",
    }
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {
            "namespace": "evil",
            "name": label,
            "uid": label,
            "resourceVersion": str(number + 1),
            "annotations": annotations,
        },
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "action": "ALLOW"},
    }


def build_lanes() -> Lanes:
    lanes = Lanes()
    lanes.note_place(FORMER)
    lanes.note_place(PRESENT)
    return lanes


@pytest.mark.parametrize(
    ("key", "share"),
    [
        (HostSet("shop", "api.example.com"), Share("shop", urgent=False)),
        (PRESENT, Share(PRESENT, urgent=True)),
        (FORMER, Share(FORMER, urgent=True)),
        (GatewaySet("shared", "evil"), Share("evil", urgent=True)),
        (FORGOTTEN, Share(FORGOTTEN, urgent=True)),
        (PRETENDED, Share("evil", urgent=False)),
    ],
    ids=str,
)
def test_a_gateway_has_a_lane_of_its_own_where_one_is_or_was(
    key: GatewaySet | HostSet, share: Share
) -> None:
    assert build_lanes().find_set_share(key) == share


@pytest.mark.parametrize(
    ("key", "share"),
    [
        (PRESENT, Share("shop", urgent=True)),
        (FORMER, Share("shop", urgent=True)),
        (GatewaySet("shared", "evil"), Share("evil", urgent=True)),
        (PRETENDED, Share("evil", urgent=False)),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", sorted(UNOWNED))
def test_a_write_takes_the_turn_of_the_tenant_that_it_is_about(
    key: GatewaySet, share: Share, kind: Kind
) -> None:
    write = Delete(ObjectKey(kind, key.namespace, "x"), "uid")
    assert build_lanes().find_write_share(key, write, "shop") == share


def test_after_the_start_nothing_elsewhere_is_urgent() -> None:
    """Anybody may go on to write what says that it was left behind."""
    lanes = build_lanes()
    lanes.end_start()
    assert lanes.find_set_share(GatewaySet("shared", "evil")) == Share("evil", urgent=False)
    for key in (PRESENT, FORMER, FORGOTTEN):
        assert lanes.find_set_share(key) == Share(key, urgent=True)


def test_where_a_gateway_is_stays_known_when_it_moves() -> None:
    crowd = Crowd(1, 1)
    (before,) = (result.set_key for result in crowd.cluster.judge_gateways().values())
    sinks = {
        sink.resource: sink for _, sink in crowd.cluster.build_sinks(lambda _: None, lambda _: None)
    }
    moved = build_gateway()
    moved["metadata"] |= {"name": before.gateway, "uid": "g", "resourceVersion": "100"}
    sinks[GATEWAYS].upsert(moved)
    (after,) = (result.set_key for result in crowd.cluster.judge_gateways().values())
    assert after != before
    for key in (before, after):
        assert crowd.cluster.lanes.find_set_share(key) == Share(key, urgent=True)


def test_a_set_is_found_without_a_look_at_others_of_its_namespace() -> None:
    lines = list[int]()
    for size in SIZES:
        cluster = Crowd(1, 1).cluster
        for number in range(size):
            cluster.objects.store(build_access(number))
        key = GatewaySet("g7", "evil")
        assert [item.set_key for item in cluster.select_set(key)] == [key]
        lines.append(count_lines(lambda: list(cluster.select_set(key))))  # noqa: B023 - called at once
    assert lines[0] == lines[1]


def test_a_plan_judges_the_gateways_as_often_however_many_names_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = list[int]()
    for size in SIZES:
        crowd = Crowd(1, 1)
        for number in range(size):
            crowd.cluster.objects.store(build_access(number))
        calls, judge = count(), crowd.cluster.judge_gateways

        def note() -> Mapping[str, GatewayResult]:
            next(calls)  # noqa: B023 - called before the next round
            return judge()  # noqa: B023 - the same

        monkeypatch.setattr(crowd.cluster, "judge_gateways", note)
        assert len(crowd.plan_again().sets) == size + 1
        counts.append(next(calls))
    assert counts[0] == counts[1]


def start(log: Any, told: Any = None, **options: Any) -> Wired:  # noqa: ANN401 - as of `wire`
    """Start with one gateway and one tenant of it."""
    wired = wire(log, told=told, workers=WORKERS, in_flight=IN_FLIGHT, **options)
    wired.sinks[GATEWAYS].upsert(build_gateway())
    wired.sinks[NAMESPACES].upsert(build_namespace("shop", 1, egress="yes"))
    through = {"gatewayRef": {"name": "shared"}}
    wired.sinks[POLICIES].upsert(build_policy("shop", "web", ["api.example.com"], **through))
    wired.controller.start()
    return wired


def pretend(wired: Wired, names: int) -> Callable[[], None]:
    """Return what writes so many, each of another gateway that is not there."""

    def work() -> None:
        for number in range(names):
            wired.sinks[ACCESS].upsert(build_access(number))

    return work


@pytest.mark.looptime
async def test_twice_the_names_cost_twice_as_much() -> None:
    lines = list[int]()
    for size in SIZES:
        wired = start(WriteLog())
        await asyncio.sleep(60)
        lines.append(count_lines(pretend(wired, size)))
        await wired.controller.stop(0)
    assert lines[1] / lines[0] < 2 * SLACK


class NamedLog(WriteLog):
    """Notes the namespaces of the writes as well."""

    def __init__(self) -> None:
        super().__init__()
        self.namespaces: list[str] = []

    async def create(
        self, resource: Resource, namespace: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        """Answer with the object as it was sent."""
        self.namespaces.append(namespace)
        return await super().create(resource, namespace, body)

    async def delete(self, resource: Resource, *where: object, **more: object) -> None:
        """Answer that it is gone."""
        self.namespaces.append(str(where[0]))
        await super().delete(resource, *where, **more)


@pytest.mark.looptime
async def test_many_names_hold_up_no_other_tenant() -> None:
    log = NamedLog()
    wired = start(log)
    await asyncio.sleep(60)
    log.namespaces.clear()
    pretend(wired, 400)()
    await asyncio.sleep(0.5)
    assert wired.controller.load.busy == WORKERS // 2
    await asyncio.sleep(10)
    before = len(log.namespaces)
    assert set(log.namespaces) == {"evil"}
    wired.sinks[POLICIES].upsert(build_policy("quiet", "web", ["api.example.com"]))
    await asyncio.sleep(1)
    assert log.namespaces.index("quiet") == before
    before = len(log.namespaces)
    wired.sinks[NAMESPACES].upsert(build_namespace("shop", 2))
    await asyncio.sleep(1)
    assert log.namespaces.index("istio-egress") == before
    await asyncio.sleep(200)
    assert log.namespaces.count("evil") == 400, "all are deleted in the end"
    await wired.controller.stop(0)


class Reconciles(Ignorant):
    """Counts the looks at sets by their results."""

    def __init__(self) -> None:
        self.results = Counter[str]()

    def count_reconcile(self, result: str, _: float) -> None:
        """Count one."""
        self.results[result] += 1


@pytest.mark.looptime
async def test_hosts_that_wait_are_not_looked_at_for_each_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_urgent, "WRITE_S", 0.01)
    told = Reconciles()
    wired = start(WriteLog(), told, settings=Settings(settle=1000.0))
    await asyncio.sleep(60)
    assert told.results["waiting"]
    told.results.clear()
    pretend(wired, 100)()
    await asyncio.sleep(100)
    assert told.results["settled"] >= 100
    assert not told.results["waiting"]
    await wired.controller.stop(0)
