"""Changes of the way out, under load: not one request is lost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy, expect_each
from mesh.traffic.stream import Load, Pace
from mesh.traffic.world import (
    BATCH,
    CHECKOUT,
    HTTP,
    TCP,
    TLS,
    World,
    build_destination,
    build_policy,
)
from testbed.client import Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, VIA_GATEWAY, Verdict

pytestmark = pytest.mark.mesh

HOST, OTHER, DB, MORE = "api.example", "other.example", "db.example", "more.example"
CALLS = (f"GET http://{HOST}/", f"GET https://{OTHER}/", f"TCP {DB}:5432")
CALLERS = (CHECKOUT, BATCH)
FINE = frozenset({DIRECT, VIA_GATEWAY})
SETTLE_S = "1"
"""What the two cores of a small machine need until every proxy has a change."""
PER_SECOND = 120
BETWEEN = 120
"""Requests between two changes: a second of them."""
LEAST_S = 30.0
"""How long requests run at least, whatever changes meanwhile."""
LEAST_RATE = 50.0
"""Requests a second; a machine that does less proves little."""


@pytest.fixture(scope="module")
def steady_world(world: World) -> Iterator[World]:
    """Let the operator settle for longer than the other tests need."""
    with world.operated_with(EGRESS_SETTLE=SETTLE_S):
        yield world


def build_destinations(mesh: Mesh) -> list[Object]:
    return [
        build_destination(HOST, ports=(HTTP,)),
        build_destination(OTHER, ports=(TLS,)),
        build_destination(DB, ports=(TCP,), addresses=[mesh.outside.address_of(DB)]),
    ]


def build_direct(mesh: Mesh) -> Object:
    return build_policy("shop/web", *build_destinations(mesh))


def build_through(mesh: Mesh, source: Object | None = None) -> Object:
    return build_gateway_policy("shop/web", *build_destinations(mesh), source=source)


def run_load(
    mesh: Mesh, change: Callable[[Load], None], callers: tuple[str, ...] = CALLERS
) -> None:
    """Let requests run while `change` changes things; none may be lost."""
    calls: Mapping[str, Sequence[str]] = dict.fromkeys(callers, CALLS)
    end = time.monotonic() + LEAST_S
    with Load(mesh, calls, fine=FINE, pace=Pace(per_second=PER_SECOND, threads=4)) as load:
        load.wait(BETWEEN)
        change(load)
        mesh.settle()
        load.wait(BETWEEN)
        time.sleep(max(0.0, end - time.monotonic()))
    assert load.lost == []
    assert load.rate > LEAST_RATE, f"only {load.rate:.0f} requests a second"


@pytest.mark.usefixtures("shared")
def test_direct_to_gateway_and_back(steady_world: World, mesh: Mesh) -> None:
    world = steady_world
    world.apply(build_direct(mesh))
    expect_each(mesh, CALLERS, CALLS, DIRECT)

    def change(load: Load) -> None:
        world.apply(build_through(mesh))
        mesh.settle()
        for text in CALLS:
            assert mesh.request(CHECKOUT, text).verdict is VIA_GATEWAY
        load.wait(BETWEEN)
        world.apply(build_direct(mesh))
        mesh.settle()
        for text in CALLS:
            assert mesh.request(CHECKOUT, text).verdict is DIRECT

    run_load(mesh, change)


def test_in_a_mesh_that_lets_unknown_hosts_through(
    steady_world: World, mesh: Mesh, shared: Object
) -> None:
    """The first policy for hosts that have traffic already."""
    assert shared
    world = steady_world
    with mesh.outbound_mode("ALLOW_ANY"):
        expect_each(mesh, CALLERS, CALLS, DIRECT)

        def change(load: Load) -> None:
            world.apply(build_through(mesh))
            mesh.settle()
            for text in CALLS:
                assert mesh.request(CHECKOUT, text).verdict is VIA_GATEWAY
            load.wait(BETWEEN)

        run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_one_gateway_to_another(steady_world: World, mesh: Mesh) -> None:
    world = steady_world
    template = replace(EGRESS, namespace="other-egress")
    with mesh.start_gateway(template) as other:
        mesh.apply(build_egress_gateway(other, "other", namespaces={}))
        world.wait_gateway("other", "Ready", "True")
        world.apply(build_through(mesh))
        expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)

        def change(load: Load) -> None:
            for gateway in ("other", SHARED):
                policy = build_through(mesh)
                policy["spec"]["gatewayRef"] = {"name": gateway}
                world.apply(policy)
                mesh.settle()
                load.wait(BETWEEN)
                peer = mesh.request(CHECKOUT, CALLS[0]).peer
                assert (peer in other.addresses) == (gateway == "other")

        run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_the_gateway_gets_another_port(steady_world: World, mesh: Mesh, gateway: Gateway) -> None:
    world = steady_world
    world.apply(build_through(mesh))
    expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)

    def change(load: Load) -> None:
        for port in (80, 443):
            service = {"name": gateway.template.name, "port": port}
            mesh.apply(build_egress_gateway(gateway, service=service))
            load.wait(6 * BETWEEN)
            mesh.settle()

    run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_from_is_added_and_taken_away(steady_world: World, mesh: Mesh) -> None:
    world = steady_world
    world.apply(build_through(mesh))
    expect_each(mesh, [CHECKOUT], CALLS, VIA_GATEWAY)

    def change(load: Load) -> None:
        for source in (
            {"workloads": {"matchLabels": {"app": "checkout"}}},
            {"serviceAccounts": ["checkout"]},
            None,
        ):
            world.apply(build_through(mesh, source=source))
            mesh.settle()
            load.wait(BETWEEN)

    run_load(mesh, change, callers=(CHECKOUT,))


@pytest.mark.usefixtures("shared")
def test_pods_of_the_gateway_come_and_go(steady_world: World, mesh: Mesh, gateway: Gateway) -> None:
    steady_world.apply(build_through(mesh))
    expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)

    def change(load: Load) -> None:
        more = [gateway.add(), gateway.add()]
        mesh.settle()
        load.wait(BETWEEN)
        for member in more:
            gateway.remove(member)
            load.wait(BETWEEN)

    run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_a_second_policy_joins_and_leaves(steady_world: World, mesh: Mesh) -> None:
    world = steady_world
    world.apply(build_through(mesh))
    expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)
    second = build_gateway_policy("shop/second", *build_destinations(mesh))

    def change(load: Load) -> None:
        world.apply(second)
        load.wait(BETWEEN)
        world.delete(second)
        load.wait(BETWEEN)

    run_load(mesh, change)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("end", "gap"),
    [(World.kill_operator, BETWEEN), (World.stop_operator, 0)],
    ids=["killed", "replaced"],
)
def test_the_operator_ends_in_the_middle(
    steady_world: World, mesh: Mesh, end: Callable[[World], None], gap: int
) -> None:
    """Its successor has another configuration, and the last one the first one again."""
    world = steady_world
    world.apply(build_direct(mesh))
    expect_each(mesh, CALLERS, CALLS, DIRECT)

    def change(load: Load) -> None:
        for policy, settings in (
            (build_through(mesh), {"EGRESS_SETTLE": "2", "EGRESS_LOG_FORMAT": "json"}),
            (build_direct(mesh), {"EGRESS_SETTLE": SETTLE_S}),
        ):
            mesh.apply(policy)
            load.wait(BETWEEN // 2)
            assert world.condition("shop/web", "Ready").get("status") != "True"
            end(world)
            load.wait(gap)
            world.start_operator(**settings)
            world.apply(policy)
            mesh.settle()
            load.wait(BETWEEN)

    run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_other_ports_and_hosts_of_the_policy_come_and_go(steady_world: World, mesh: Mesh) -> None:
    """Those of the requests stay, in the very destinations that are edited."""
    world = steady_world
    plain, encrypted, database = build_destinations(mesh)
    second = {"number": 8080, "protocol": "HTTP"}
    third = {"number": 8443, "protocol": "TLS"}
    more_ports = {**plain, "ports": [*plain["ports"], second, third]}
    more_hosts = {**encrypted, "hosts": [*encrypted["hosts"], HOST, MORE]}
    here = (f"GET http://{HOST}:8080/", f"GET https://{HOST}:8443/", f"GET https://{MORE}/")
    mesh.outside.add(MORE)
    world.apply(build_through(mesh))
    expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)

    def edit(first: Object, other: Object, verdicts: Sequence[Verdict], load: Load) -> None:
        world.apply(build_gateway_policy("shop/web", first, other, database))
        for text, verdict in zip(here, verdicts, strict=True):
            mesh.expect(CHECKOUT, text, verdict)
        mesh.settle()
        load.wait(BETWEEN)

    def change(load: Load) -> None:
        edit(more_ports, encrypted, (VIA_GATEWAY, VIA_GATEWAY, BLOCKED), load)
        edit(more_ports, more_hosts, (VIA_GATEWAY, VIA_GATEWAY, VIA_GATEWAY), load)
        only_second = {**plain, "ports": [*plain["ports"], second]}
        edit(only_second, more_hosts, (VIA_GATEWAY, BLOCKED, VIA_GATEWAY), load)
        edit(plain, encrypted, (BLOCKED, BLOCKED, BLOCKED), load)

    run_load(mesh, change)


@pytest.mark.usefixtures("shared")
def test_authorization_is_switched_on_and_off(
    steady_world: World, mesh: Mesh, gateway: Gateway
) -> None:
    world = steady_world
    mesh.apply(build_egress_gateway(gateway, authorization="DryRun"))
    world.apply(build_through(mesh))
    expect_each(mesh, CALLERS, CALLS, VIA_GATEWAY)

    def change(load: Load) -> None:
        for authorization in ("Managed", "DryRun"):
            mesh.apply(build_egress_gateway(gateway, authorization=authorization))
            load.wait(4 * BETWEEN)
            mesh.settle()

    run_load(mesh, change)
