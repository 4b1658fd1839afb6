"""In what order a namespace loses what it had of a gateway."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from testbed.audit import Record
from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import Place, placed
from .world import HTTP, World, build_policy, hosts

HOSTS = 20
SETTLE_S = 3.0


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator with one worker: what it takes up first, it writes first."""
    option = OperatorOption(settings={"EGRESS_WORKERS": "1", "EGRESS_SETTLE": str(SETTLE_S)})
    with start_operator(control_plane, option) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


def lead_through(world: World, place: Place, count: int, **more: object) -> None:
    """Let the namespace use the gateway for so many hosts, and wait until they are applied."""
    names = [f"h{number}.example.com" for number in range(count)]
    half = (count + 1) // 2
    parts = [part for part in (names[:half], names[half:]) if part]
    policy = build_policy(world.namespace, "web", *(hosts(*part, ports=[HTTP]) for part in parts))
    policy["spec"]["gatewayRef"] = {"name": place.name}
    place.apply(**more)
    place.select(world.namespace)
    place.wait_condition("Ready", "True", "Serving")
    world.client.apply(policy)
    world.wait_ready("web", timeout_s=60)


def list_writes(world: World, mark: int) -> list[Record]:
    """List the operator's writes of Istio objects, in all namespaces."""
    return [
        record
        for record in world.plane.audit.records(since=mark, user=world.user, writes=True)
        if record.group.endswith(".istio.io")
    ]


def list_routes(world: World, mark: int) -> list[Record]:
    """List those of routes in the namespace: only hosts have any."""
    return [
        record
        for record in list_writes(world, mark)
        if (record.namespace, record.resource) == (world.namespace, "virtualservices")
    ]


def find_time(record: Record) -> float:
    return datetime.fromisoformat(record.time).timestamp()


def test_the_permission_goes_first_and_has_settled_before_the_hosts(world: World) -> None:
    with placed(world.client, f"gw-{world.namespace}") as place:
        lead_through(world, place, HOSTS)
        mark = world.mark()
        place.select(world.namespace, member=False)
        world.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        (label,) = (
            record
            for record in world.plane.audit.records(since=mark, writes=True)
            if record.resource == "namespaces" and record.name == world.namespace
        )
        first, *_ = list_writes(world, mark)
        assert (first.verb, first.resource) == ("delete", "authorizationpolicies")
        routes = list_routes(world, mark)
        assert find_time(routes[0]) - find_time(label) >= SETTLE_S
        assert len(routes) >= HOSTS


def test_what_no_permission_guards_closes_at_once(world: World) -> None:
    """As seen beside another namespace, whose gateway enforces permissions."""
    guarded = f"{world.namespace}-guarded"
    client = world.client
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": guarded}})
    other = World(world.plane, guarded, world.user)
    with placed(client, f"gw-{guarded}") as strict, placed(client, f"gw-{world.namespace}") as lax:
        lead_through(other, strict, 1)
        lead_through(world, lax, 1, authorization="None")
        mark = world.mark()
        strict.select(guarded, member=False)
        lax.select(world.namespace, member=False)
        for tenant in (world, other):
            tenant.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        at_once, later = (list_routes(tenant, mark)[0] for tenant in (world, other))
        assert find_time(at_once) < find_time(later)
    client.delete("v1", "Namespace", guarded)
