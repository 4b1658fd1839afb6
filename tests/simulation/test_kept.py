"""What a policy on hold still has is counted, whatever puts it on hold and whatever has gone."""

import asyncio
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from egress_operator.istio.kind import Kind
from egress_operator.plan.source import PAUSED_ANNOTATION
from egress_operator.reconcile.resource import POLICIES, RESOURCES

from .run import start_controller, stop, wait
from .server import Key, Object, Server, read_key

pytestmark = pytest.mark.looptime

QUIET_S = 60.0
MOST: dict[str, Any] = {"max_hosts_per_namespace": 3}
ENTRY = RESOURCES[Kind.SERVICE_ENTRY]
OLD = ("a.example.com", "b.example.com")
OTHER = {"destinations": [{"hosts": ["d.example.com"]}]}
HOLDS: dict[str, Object] = {
    "invalid": {"spec": {"destinations": [{"hosts": ["not a host"]}]}},
    "too much": {"spec": {"destinations": [{"hosts": [*OLD, "c.example.com", "e.example.com"]}]}},
    "paused": {"metadata": {"annotations": {PAUSED_ANNOTATION: "true"}}},
    "paused and edited": {
        "metadata": {"annotations": {PAUSED_ANNOTATION: "true"}},
        "spec": {"destinations": [{"hosts": ["c.example.com"]}]},
    },
    "no gateway": {
        "spec": {
            "destinations": [{"hosts": ["c.example.com"]}],
            "gatewayRef": {"name": "missing"},
        }
    },
}
"""What an edit changes."""


def build_policy(name: str = "web", **more: Any) -> Object:  # noqa: ANN401 - fields
    policy: Object = {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"destinations": [{"hosts": [*OLD]}]},
    }
    edit = deepcopy(more)
    policy["metadata"] |= edit.pop("metadata", {})
    return policy | edit


def list_owned(server: Server) -> Iterator[Key]:
    """List the Istio objects that a policy owns."""
    for resource in RESOURCES.values():
        for body in server.select(resource, "shop"):
            owners = body["metadata"].get("ownerReferences") or []
            if any(owner["name"] == "web" for owner in owners):
                yield read_key(resource, body)


def check(server: Server, count: int) -> None:
    """Compare what is counted with what stands, and with how much it should be."""
    status = server.objects[POLICIES, "shop", "web"]["status"]
    assert (len([*list_owned(server)]), status["objectCount"]) == (count, count)
    assert sum(item["count"] for item in status["objects"]) == count
    ready = next(item for item in status["conditions"] if item["type"] == "Ready")
    if ready["status"] == "False":
        assert ("kept from before" in ready["message"]) == (count > 0)


@pytest.mark.parametrize("hold", HOLDS)
async def test_a_status_counts_what_a_policy_on_hold_still_has(hold: str) -> None:
    server = Server(random.Random(0))  # noqa: S311 - of a test
    controller = start_controller(server, **MOST)
    server.apply(POLICIES, build_policy())
    server.apply(POLICIES, build_policy("other", spec=OTHER))
    await wait(controller, QUIET_S)
    check(server, 2)
    server.apply(POLICIES, build_policy(**HOLDS[hold]))
    await wait(controller, QUIET_S)
    check(server, 2)

    (third,) = {read_key(ENTRY, body) for body in server.select(ENTRY)} - {*list_owned(server)}
    first, second = list_owned(server)
    owners = server.objects[first]["metadata"]["ownerReferences"]
    server.change(third, lambda body: body["metadata"]["ownerReferences"].extend(owners))
    await wait(controller, QUIET_S)
    check(server, 3)
    server.remove(first)
    await wait(controller, QUIET_S)
    check(server, 2)
    server.remove(second)
    server.remove((POLICIES, "shop", "other"))
    await wait(controller, QUIET_S)
    check(server, 1)
    server.remove(third)
    await wait(controller, QUIET_S)
    check(server, 0)
    await stop(controller, server)


@pytest.mark.parametrize("hold", ["invalid", "paused"])
async def test_a_write_under_way_is_counted(hold: str) -> None:
    """A policy is put on hold at any moment after it was made."""
    for step in range(40):
        server = Server(random.Random(step), latency=0.1)  # noqa: S311 - of a test
        controller = start_controller(server)
        server.apply(POLICIES, build_policy())
        await asyncio.sleep(step * 0.02)
        server.apply(POLICIES, build_policy(**HOLDS[hold]))
        await wait(controller, QUIET_S)
        check(server, len([*list_owned(server)]))
        await stop(controller, server)


@pytest.mark.parametrize(("most", "is_planned"), [(3, False), (2, True)])
async def test_a_namespace_is_planned_again_only_where_a_limit_may_have_room(
    most: int, *, is_planned: bool
) -> None:
    """An object goes beside a policy that is paused, or that exceeds a limit."""
    server = Server(random.Random(0))  # noqa: S311 - of a test
    controller = start_controller(server, max_hosts_per_namespace=most)
    server.apply(POLICIES, build_policy())
    await wait(controller, QUIET_S)
    server.apply(POLICIES, build_policy(**HOLDS["paused"]))
    server.apply(POLICIES, build_policy("other", spec=OTHER))
    await wait(controller, QUIET_S)
    before = controller.planner.get("shop")
    server.remove(next(list_owned(server)))
    await wait(controller, QUIET_S)
    assert (controller.planner.get("shop") is not before) is is_planned
    await stop(controller, server)
