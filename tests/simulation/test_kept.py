"""What a policy on hold still has is counted, whatever puts it on hold and whatever has gone."""

import asyncio
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
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


def share(name: str) -> Object:
    """Return a policy for a host that needs an address."""
    destination = {"hosts": ["db.example.com"], "ports": [{"number": 5432, "protocol": "TCP"}]}
    return build_policy(name, spec={"destinations": [destination]})


def refuse_creation(verb: str, resource: Resource, _: Object) -> ApiError | None:
    is_entry = resource == ENTRY and verb == "create"
    return ApiError(503, "ServiceUnavailable", "later") if is_entry else None


@pytest.mark.parametrize("trouble", ["", "refused", "lost"])
async def test_an_object_that_is_made_anew_keeps_its_owner_on_hold(trouble: str) -> None:
    server = Server(random.Random(0))  # noqa: S311 - of a test
    controller = start_controller(server, dns_capture=True)
    for name in ("web", "live"):
        server.apply(POLICIES, share(name))
    await wait(controller, QUIET_S)
    server.apply(POLICIES, share("web") | {"metadata": build_policy(**HOLDS["paused"])["metadata"]})
    await wait(controller, QUIET_S)
    (entry,) = list_owned(server)
    uid = server.objects[entry]["metadata"]["uid"]
    if trouble == "refused":
        server.refusals.append(refuse_creation)
    server.lost = 0.9 if trouble == "lost" else 0.0
    server.change(entry, lambda body: body.update(status={"addresses": []}))
    await wait(controller, QUIET_S)
    if trouble == "refused":
        assert entry not in server.objects
        # The namespace is planned again meanwhile.
        server.apply(POLICIES, build_policy("other", spec=OTHER))
        await wait(controller, QUIET_S)
    server.refusals.clear()
    server.lost = 0.0
    await wait(controller, 3 * QUIET_S)
    assert server.objects[entry]["metadata"]["uid"] != uid
    assert [*list_owned(server)] == [entry]
    server.remove((POLICIES, "shop", "live"))
    await wait(controller, QUIET_S)
    assert [*list_owned(server)] == [entry]
    check(server, 1)
    await stop(controller, server)
