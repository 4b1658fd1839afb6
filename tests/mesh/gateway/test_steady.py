"""Changes of the way out, under load: not one request is lost."""

from collections.abc import Callable

import pytest

from mesh.gateway.move import GATEWAY_MOVES, POLICY_MOVES, Move, build_first, build_rest
from mesh.gateway.tenant import SHARED
from mesh.gateway.walk import BETWEEN, Gateways, begin, go_on, load_on
from mesh.traffic.world import World
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh


@pytest.mark.parametrize("build", POLICY_MOVES.values(), ids=POLICY_MOVES)
def test_a_policy_changes(
    steady_world: World, gateways: Gateways, build: Callable[[Mesh], Move]
) -> None:
    move = build(steady_world.mesh)
    begin(steady_world, move)
    go_on(steady_world, [move], gateways)


@pytest.mark.parametrize("build", GATEWAY_MOVES.values(), ids=GATEWAY_MOVES)
def test_a_gateway_changes(
    steady_world: World,
    gateways: Gateways,
    build: Callable[[Mesh, Gateway], Move],
) -> None:
    move = build(steady_world.mesh, gateways[SHARED])
    begin(steady_world, move)
    go_on(steady_world, [move], gateways)


def test_the_first_policy_in_a_mesh_that_lets_unknown_hosts_through(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        move = build_first(mesh)
        begin(steady_world, move)
        go_on(steady_world, [move], gateways)


def test_pods_of_the_gateway_come_and_go(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    gateway = gateways[SHARED]
    move = build_rest(mesh)
    begin(steady_world, move)
    with load_on(mesh, [move]) as load:
        more = [gateway.add(), gateway.add()]
        mesh.settle()
        load.wait(BETWEEN)
        for member in more:
            gateway.remove(member)
            load.wait(BETWEEN)
