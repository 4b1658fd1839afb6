"""Every fault that is planted in the compiler is found by requests."""

import pytest

from mesh.oracle.arena import SETS, list_seeds, open_arena
from mesh.oracle.fault import FAULTS
from mesh.traffic.world import SETTINGS, World
from testbed.mesh import Mesh
from testbed.operator import OperatorOption, start_operator

pytestmark = pytest.mark.mesh

AT_ONCE = 10


@pytest.mark.timeout(1500)
def test_every_planted_fault_is_found(world: World, mesh: Mesh) -> None:
    plane = mesh.control_plane
    with world.without_operator(), open_arena(mesh) as arena:
        for fault in FAULTS:
            option = OperatorOption(settings=SETTINGS, program=["mesh.oracle.fault", fault])
            with start_operator(plane, option):
                batches = list_seeds(0, SETS, AT_ONCE)
                found = (arena.play(seeds, enough=1) for seeds in batches)
                assert any(found), f"nobody notices {fault}"
        mesh.clean()
    # Some faults make objects that Istio refuses.
    mesh.take_rejections()
