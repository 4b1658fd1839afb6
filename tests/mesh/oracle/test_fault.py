"""Every fault that is planted in the compiler is found by requests."""

from functools import partial

import pytest

from mesh.oracle.fault import FAULTS
from mesh.oracle.planting import find_seeds
from mesh.oracle.set_runner import open_set_runner
from mesh.traffic.operated_mesh import SETTINGS, OperatedMesh
from testbed.mesh import Mesh
from testbed.operator import OperatorOption, start_operator
from testbed.seed import SEED

pytestmark = [pytest.mark.mesh, pytest.mark.long("fault")]

BATCHES = 20
"""Sets that are played for a fault, all of which it changes."""
PROBES = 100
"""Of each set: as many as there are."""


@pytest.mark.timeout(600)
def test_every_planted_fault_is_found(operated: OperatedMesh, mesh: Mesh) -> None:
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails
    option = OperatorOption(settings=SETTINGS, program=["mesh.oracle.fault"])
    with operated.without_operator(), open_set_runner(mesh) as runner:
        with start_operator(mesh.control_plane, option):
            left = {
                number: find_seeds(f"{SEED}-{fault}", partial(runner.draw, number), runner.gateways)
                for number, fault in enumerate(FAULTS)
            }
            for _ in range(BATCHES):
                sets = {number: next(seeds) for number, seeds in left.items()}
                found = {item.seed for item in runner.play(sets, enough=len(sets), most=PROBES)}
                left = {number: left[number] for number in left if sets[number] not in found}
                if not left:
                    break
        mesh.clean()
    # Some faults make objects that Istio refuses.
    mesh.take_rejections()
    assert not left, f"nobody notices {[list(FAULTS)[number] for number in left]}"
