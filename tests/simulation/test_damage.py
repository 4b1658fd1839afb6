"""Somebody damages an object at the very moment at which what it is there for goes.

The repair may be under way then, so that the next plan is made without the object. A new operator,
which sees nothing but what stands, must find nothing to do.
"""

import asyncio
import random
from collections.abc import Callable
from functools import partial

import pytest

from egress_operator.istio.kind import Kind
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES

from .history import SHARED, build_gateway
from .run import start_controller, stop, wait
from .server import Object, Server, read_key
from .test_history import find_missed

pytestmark = pytest.mark.looptime

BEGIN_S = 20.0
QUIET_S = 80.0
"""Longer than the operator takes to delete what the garbage collector leaves."""
MOMENTS_S = (-0.02, -0.01, 0.0, 0.01, 0.03, 0.06)
"""When it is damaged, after what it is there for goes."""
POLICY = (POLICIES, "shop", "web")
GATEWAY = (GATEWAYS, "", SHARED)
MARKS = ("labels", "annotations")
DAMAGES = [("labels",), ("annotations",), ("ownerReferences",), MARKS, ("spec",)]
"""What is taken off."""
DEPARTURES: dict[str, Callable[[Server], None]] = {
    "gateway": lambda server: server.remove(GATEWAY),
    "gateway of orphans": lambda server: server.remove(GATEWAY, orphan=True),
    "policy": lambda server: server.remove(POLICY),
    "policy of orphans": lambda server: server.remove(POLICY, orphan=True),
    "permission": lambda server: label(server, {}),
}


def label(server: Server, labels: dict[str, str]) -> None:
    server.apply(NAMESPACES, {"metadata": {"name": "shop", "labels": labels}})


def build_server(seed: str, *, used: bool = True) -> Server:
    """Make a gateway and, if it is used, a tenant with a policy that goes through it."""
    server = Server(random.Random(seed))  # noqa: S311 - of a test
    server.apply(GATEWAYS, build_gateway(SHARED))
    if used:
        label(server, {"egress": SHARED})
        apply_policy(server, gatewayRef={"name": SHARED}, **{"from": {"serviceAccounts": ["job"]}})
    return server


def apply_policy(server: Server, **spec: Object) -> None:
    destinations = [{"hosts": [f"{letter}.example.com" for letter in "abcdef"]}]
    metadata = {"namespace": "shop", "name": "web"}
    server.apply(POLICIES, {"metadata": metadata, "spec": {"destinations": destinations, **spec}})


def damage(server: Server, kind: Kind, members: tuple[str, ...]) -> None:
    """Take something off all objects of a kind."""

    def change(body: Object) -> None:
        for member in members:
            if member == "spec":
                body["spec"] = {}
            else:
                body["metadata"].pop(member, None)

    for body in [*server.select(RESOURCES[kind])]:
        server.change(read_key(RESOURCES[kind], body), change)


def mark_like(other: Object, body: Object) -> None:
    """Give an object the labels and annotations of another one."""
    body["metadata"] |= {member: other["metadata"][member] for member in MARKS}


async def find_missed_by_restart(server: Server) -> list[str]:
    """Start a new operator on what stands, and name what it changes."""
    before, mark = dict(server.objects), len(server.writes)
    controller = start_controller(server)
    await wait(controller, QUIET_S)
    await stop(controller, server)
    return [*find_missed(server.writes[mark:], before, server.objects)]


async def check(
    kind: Kind, members: tuple[str, ...], departure: str, *, used: bool = True, times: int = 1
) -> None:
    """Damage the objects of a kind at any moment around a departure."""
    for number, moment in enumerate(MOMENTS_S * times):
        server = build_server(f"{kind}/{members}/{departure}/{number}", used=used)
        controller = start_controller(server)
        await wait(controller, BEGIN_S)
        loop = asyncio.get_running_loop()
        loop.call_later(max(0.0, -moment), DEPARTURES[departure], server)
        loop.call_later(max(0.0, moment), damage, server, kind, members)
        await wait(controller, QUIET_S)
        await stop(controller, server)
        missed = await find_missed_by_restart(server)
        assert not missed, "\n".join([f"{number}: damaged after {moment} s", *missed])


@pytest.mark.parametrize("members", [("annotations",), MARKS])
async def test_a_denial_that_is_repaired_goes_with_its_gateway(members: tuple[str, ...]) -> None:
    """Without its annotations only the EgressGateway tells that it is ours."""
    await check(Kind.AUTHORIZATION_POLICY, members, "gateway", used=False, times=3)


async def test_an_object_that_is_repaired_is_not_taken_for_written_by_hand() -> None:
    await check(Kind.VIRTUAL_SERVICE, MARKS, "permission", times=2)


@pytest.mark.long("campaign")
@pytest.mark.parametrize("departure", DEPARTURES)
@pytest.mark.parametrize("members", DAMAGES, ids="+".join)
@pytest.mark.parametrize("kind", Kind)
async def test_nothing_is_left_where_an_object_is_damaged_as_it_goes(
    kind: Kind, members: tuple[str, ...], departure: str
) -> None:
    await check(kind, members, departure)


async def test_a_server_that_is_repaired_counts_at_its_gateway() -> None:
    """Permission may be planned between the damage and the answer to the repair."""
    for number in range(8):
        server = build_server(str(number))
        controller = start_controller(server)
        await wait(controller, BEGIN_S)
        damage(server, Kind.GATEWAY, ("spec",))
        await wait(controller, BEGIN_S)
        plan = controller.planner.get(None)
        assert plan is not None
        (found,) = plan.sets.values()
        assert found.access is not None
        assert found.access.in_use
        await stop(controller, server)


@pytest.mark.parametrize("members", [MARKS, (*MARKS, "ownerReferences")], ids="+".join)
async def test_an_object_that_is_ours_again_where_nothing_is_planned_is_deleted(
    members: tuple[str, ...],
) -> None:
    """Its marks come back after its policy has gone, so nobody owns it."""
    server = build_server("", used=False)
    apply_policy(server)
    controller = start_controller(server)
    await wait(controller, BEGIN_S)
    entries = [*server.select(RESOURCES[Kind.SERVICE_ENTRY])]
    server.remove(POLICY, orphan=True)
    damage(server, Kind.SERVICE_ENTRY, members)
    await wait(controller, QUIET_S)
    for entry in entries:
        server.change(read_key(RESOURCES[Kind.SERVICE_ENTRY], entry), partial(mark_like, entry))
    await wait(controller, QUIET_S)
    assert [*server.select(RESOURCES[Kind.SERVICE_ENTRY])] == []
    await stop(controller, server)
    assert await find_missed_by_restart(server) == []
