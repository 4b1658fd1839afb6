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
OF_DESTINATION = 16
"""As many hosts as one destination may have."""
SETTLE_S = 3.0


@pytest.fixture
def guarded(world: World) -> Iterator[World]:
    """Give a second namespace with the same operator at work."""
    name = f"{world.namespace}-guarded"
    world.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield World(world.plane, name, world.user)
    world.client.delete("v1", "Namespace", name)


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
    parts = [names[start : start + OF_DESTINATION] for start in range(0, count, OF_DESTINATION)]
    policy = build_policy(world.namespace, "web", *(hosts(*part, ports=[HTTP]) for part in parts))
    policy["spec"]["gatewayRef"] = {"name": place.name}
    place.apply(**more)
    place.select(world.namespace)
    place.wait_condition("Ready", "True", "Serving")
    world.client.apply(policy)
    world.wait_ready("web", timeout_s=60)


def list_routes(world: World, mark: int) -> list[Record]:
    """List the operator's writes of routes in the namespace: only hosts have any."""
    return [record for record in world.records(mark) if record.resource == "virtualservices"]


def find_time(record: Record) -> float:
    return datetime.fromisoformat(record.time).timestamp()


def test_the_permission_goes_first_and_has_settled_before_the_hosts(world: World) -> None:
    with placed(world.client, f"gw-{world.namespace}") as place:
        lead_through(world, place, HOSTS)
        mark = world.mark()
        place.select(world.namespace, member=False)
        world.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        everything = world.plane.audit.records(since=mark, writes=True)
        (label,) = (
            record
            for record in everything
            if record.resource == "namespaces" and record.name == world.namespace
        )
        first = next(
            record
            for record in everything
            if record.user == world.user and record.group.endswith(".istio.io")
        )
        assert (first.verb, first.resource) == ("delete", "authorizationpolicies")
        routes = list_routes(world, mark)
        assert find_time(routes[0]) - find_time(label) >= SETTLE_S
        assert len(routes) >= HOSTS


def test_what_no_permission_guards_closes_at_once(world: World, guarded: World) -> None:
    """As seen beside another namespace, whose gateway enforces permissions."""
    with (
        placed(world.client, f"gw-{guarded.namespace}") as strict,
        placed(world.client, f"gw-{world.namespace}") as lax,
    ):
        lead_through(guarded, strict, 1)
        lead_through(world, lax, 1, authorization="None")
        mark = world.mark()
        strict.select(guarded.namespace, member=False)
        lax.select(world.namespace, member=False)
        for tenant in (world, guarded):
            tenant.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        at_once, later = (list_routes(tenant, mark)[0] for tenant in (world, guarded))
        assert find_time(at_once) < find_time(later)
