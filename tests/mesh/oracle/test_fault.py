"""Every fault that is planted in the compiler is found by requests."""

from collections.abc import Iterable
from functools import partial

import pytest

from mesh.oracle.fault import FAR_REACHING, FAULTS
from mesh.oracle.planting import find_seeds
from mesh.oracle.set_runner import WIDTH, SetRunner, assert_agreed, open_set_runner
from mesh.traffic.operated_mesh import SETTINGS, OperatedMesh
from testbed.mesh import Mesh
from testbed.operator import OperatorOption, start_operator
from testbed.seed import SEED

pytestmark = [pytest.mark.mesh, pytest.mark.long("fault")]

BATCHES = 20
"""Sets that are played for a fault, all of which it changes."""
PROBES = 100
"""Of each set: as many as there are."""
CONTROLS = range(len(FAULTS), WIDTH)
"""The numbers of sets without a fault. If one disagrees, a fault reaches beyond its own sets, or
the mesh is broken: then disagreement would prove nothing."""


@pytest.mark.timeout(600)
def test_every_planted_fault_is_found(operated: OperatedMesh, mesh: Mesh) -> None:
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails
    option = OperatorOption(settings=SETTINGS, program=["mesh.oracle.fault"])
    with operated.without_operator(), open_set_runner(mesh) as runner:
        with start_operator(mesh.control_plane, option):
            names = [name for name in FAULTS if name not in FAR_REACHING]
            missed = find_missed(runner, names, CONTROLS)
            for name in FAR_REACHING:
                missed += find_missed(runner, [name])
        mesh.clean()
    # Some faults make objects that Istio refuses.
    mesh.take_rejections()
    assert not missed, f"nobody notices {missed}"


def find_missed(runner: SetRunner, names: Iterable[str], controls: Iterable[int] = ()) -> list[str]:
    """Play sets of some faults until each is found, beside sets without a fault, which must agree.

    Return the faults that are not found.
    """
    numbers = {name: number for number, name in enumerate(FAULTS)}
    left = {
        name: find_seeds(f"{SEED}-{name}", partial(runner.draw, numbers[name]), runner.gateways)
        for name in names
    }
    for batch in range(BATCHES):
        if not left:
            break
        planted = {name: next(seeds) for name, seeds in left.items()}
        sets = {numbers[name]: seed for name, seed in planted.items()}
        sets |= {number: f"{SEED}-control-{batch}-{number}" for number in controls}
        found = runner.play(sets, enough=len(sets), most=PROBES)
        seeds_found = {item.seed for item in found}
        assert_agreed([item for item in found if item.seed not in planted.values()])
        left = {name: left[name] for name in left if planted[name] not in seeds_found}
    return list(left)
