"""The operator ends after any of its writes, under load: not one request is lost."""

from collections.abc import Sequence

import pytest

from mesh.gateway.mortal import MortalOperators
from mesh.gateway.move import POLICY_MOVES, Move, build_first, build_gateway_move
from mesh.gateway.tenant import SHARED
from mesh.gateway.walk import SETTLE_S, Gateways, begin, go_on
from mesh.traffic.world import SETTINGS, World
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = [pytest.mark.mesh, pytest.mark.long("mortal"), pytest.mark.timeout(600)]

ENTERED_S = 180.0
"""How long a change may take, with operators that end again and again."""


def walk_with_deaths(world: World, moves: Sequence[Move], gateways: Gateways) -> None:
    """Begin, and go on with operators that end after a write or a few."""
    begin(world, *moves)
    with world.without_operator():
        with MortalOperators(world.mesh.control_plane, SETTINGS) as operators:
            go_on(world, moves, gateways, tend=operators.tend, within_s=ENTERED_S)
        assert operators.count > sum(len(move.states) for move in moves)
        world.start_operator(EGRESS_SETTLE=str(SETTLE_S))


def test_operators_end_while_policies_change(steady_world: World, gateways: Gateways) -> None:
    moves = [build(steady_world.mesh) for build in POLICY_MOVES.values()]
    walk_with_deaths(steady_world, moves, gateways)


def test_operators_end_while_a_gateway_changes(steady_world: World, gateways: Gateways) -> None:
    move = build_gateway_move(steady_world.mesh, gateways[SHARED])
    walk_with_deaths(steady_world, [move], gateways)


def test_operators_end_while_the_first_policy_comes(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        walk_with_deaths(steady_world, [build_first(mesh)], gateways)
