"""Policies at random: every request does what `explain` says of it."""

import pytest

from mesh.oracle.arena import SEED, SETS, WIDTH, Disagreement, list_seeds, open_arena
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh

OPEN_SETS = WIDTH
"""Sets that are played in an ALLOW_ANY mesh besides."""


@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("world")
def test_the_mesh_does_what_the_policies_say(mesh: Mesh) -> None:
    print(f"EGRESS_SEED={SEED} EGRESS_SETS={SETS}")  # noqa: T201 - shown when the test fails
    with open_arena(mesh) as arena:
        for seeds in list_seeds(0, SETS):
            assert_agreed(arena.play(seeds))
        with mesh.outbound_mode(ALLOW_ANY):
            for seeds in list_seeds(SETS, OPEN_SETS):
                assert_agreed(arena.play(seeds))
        mesh.clean()


def assert_agreed(found: list[Disagreement]) -> None:
    assert not found, "\n\n".join(str(item) for item in found)
