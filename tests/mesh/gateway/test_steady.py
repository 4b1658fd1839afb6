"""Changes of the way out, under load: not one request is lost."""

import pytest

from mesh.gateway.move import (
    GATEWAY_MOVES,
    POLICY_MOVES,
    build_first,
    build_gateway_move,
    build_rest,
)
from mesh.gateway.tenant import SHARED
from mesh.gateway.walk import BETWEEN, Gateways, begin, load_on, walk
from mesh.traffic.world import World
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh


@pytest.mark.parametrize("name", POLICY_MOVES)
def test_a_policy_changes(steady_world: World, gateways: Gateways, name: str) -> None:
    walk(steady_world, [POLICY_MOVES[name](steady_world.mesh)], gateways)


@pytest.mark.parametrize("name", GATEWAY_MOVES)
def test_a_gateway_changes(steady_world: World, gateways: Gateways, name: str) -> None:
    move = build_gateway_move(steady_world.mesh, gateways[SHARED], name)
    walk(steady_world, [move], gateways)


def test_the_first_policy_in_a_mesh_that_lets_unknown_hosts_through(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        walk(steady_world, [build_first(mesh)], gateways)


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
