"""Policies at random: every request does what `explain` says of it."""

import os

import pytest

from mesh.oracle.arena import WIDTH, Disagreement, open_arena
from mesh.oracle.fault import FAULTS
from mesh.traffic.world import SETTINGS, World
from testbed.mesh import Mesh
from testbed.operator import OperatorOption, start_operator
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh

SEED = os.environ.get("EGRESS_SEED", "1")
SETS = int(os.environ.get("EGRESS_SETS", "200"))
OPEN_SETS = WIDTH
"""Sets that are played in an ALLOW_ANY mesh besides."""
PLANTED_AT_ONCE = 10
PLANTED_S = 1.5
"""How long an answer may be wrong where something is wrong."""


def list_seeds(first: int, count: int, at_once: int = WIDTH) -> list[list[str]]:
    """Name the seeds of sets, some at once. Pure."""
    names = [f"{SEED}-{number}" for number in range(first, first + count)]
    return [names[start : start + at_once] for start in range(0, len(names), at_once)]


@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("world")
def test_the_mesh_does_what_the_policies_say(mesh: Mesh, pytestconfig: pytest.Config) -> None:
    pytestconfig.get_terminal_writer().line(f"EGRESS_SEED={SEED} EGRESS_SETS={SETS}")
    with open_arena(mesh) as arena:
        for seeds in list_seeds(0, SETS):
            assert_agreed(arena.play(seeds))
        with mesh.outbound_mode(ALLOW_ANY):
            for seeds in list_seeds(SETS, OPEN_SETS):
                assert_agreed(arena.play(seeds))
        mesh.clean()


@pytest.mark.timeout(1500)
def test_every_planted_fault_is_found(world: World, mesh: Mesh) -> None:
    plane = mesh.control_plane
    with world.without_operator(), open_arena(mesh) as arena:
        for fault in FAULTS:
            option = OperatorOption(settings=SETTINGS, program=["mesh.oracle.fault", fault])
            with start_operator(plane, option):
                batches = list_seeds(0, SETS, PLANTED_AT_ONCE)
                found = (arena.play(seeds, agree_s=PLANTED_S) for seeds in batches)
                assert any(found), f"nobody notices {fault}"
        mesh.clean()
    # Some faults make objects that Istio refuses.
    mesh.settle()
    mesh.take_rejections()


def assert_agreed(found: list[Disagreement]) -> None:
    assert not found, "\n\n".join(str(item) for item in found)
