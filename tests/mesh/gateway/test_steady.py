"""Changes of the way out, under load: not one request is lost."""

import time

import pytest

from mesh.gateway.move import POLICY_MOVES, build_first, build_gateway_move, build_rest
from mesh.gateway.tenant import SHARED
from mesh.gateway.walk import BETWEEN, Gateways, begin, load_on, walk
from mesh.traffic.world import World
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.parametrize(
        "least_s",
        [
            pytest.param(0.0, id="once"),
            pytest.param(30.0, id="again", marks=pytest.mark.long("load")),
        ],
    ),
]


def test_policies_change(steady_world: World, gateways: Gateways, least_s: float) -> None:
    moves = [build(steady_world.mesh) for build in POLICY_MOVES.values()]
    walk(steady_world, moves, gateways, least_s=least_s)


def test_a_gateway_changes(steady_world: World, gateways: Gateways, least_s: float) -> None:
    move = build_gateway_move(steady_world.mesh, gateways[SHARED])
    walk(steady_world, [move], gateways, least_s=least_s)


def test_the_first_policy_in_a_mesh_that_lets_unknown_hosts_through(
    steady_world: World, mesh: Mesh, gateways: Gateways, least_s: float
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        walk(steady_world, [build_first(mesh)], gateways, least_s=least_s)


def test_pods_of_the_gateway_come_and_go(
    steady_world: World, mesh: Mesh, gateways: Gateways, least_s: float
) -> None:
    gateway = gateways[SHARED]
    move = build_rest(mesh)
    begin(steady_world, move)
    end = time.monotonic() + least_s
    with load_on(mesh, [move], least_s) as load:
        while True:
            more = [gateway.add(), gateway.add()]
            mesh.settle()
            load.wait(BETWEEN)
            for member in more:
                gateway.remove(member)
                load.wait(BETWEEN)
            if time.monotonic() > end:
                break
