"""Policies at random: every request does what `explain` says of it."""

import os

import pytest

from delivery.admission import STRICT
from mesh.gateway.guard import guard
from mesh.gateway.tenant import SHARED
from mesh.oracle.set_runner import assert_agreed, list_sets, name_batch, open_set_runner
from mesh.traffic.operated_mesh import OperatedMesh
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY
from testbed.seed import SEED

pytestmark = pytest.mark.mesh

SOME = 50, 25
"""Sets that are played, and those that are played in an ALLOW_ANY mesh besides."""
SETS = int(os.environ.get("EGRESS_SETS", "300"))
MANY = SETS, SETS // 4
TIMEOUT_S = 600 + 6 * SETS


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("count", "open_count", "has_sidecars"),
    [
        pytest.param(*SOME, False, id="some"),
        pytest.param(*MANY, True, id="many", marks=pytest.mark.long("oracle")),
    ],
)
def test_the_mesh_does_what_the_policies_say(
    operated: OperatedMesh, mesh: Mesh, count: int, open_count: int, *, has_sidecars: bool
) -> None:
    """Sidecars are drawn for the many alone: what Istio makes of them is not known to the end."""
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails

    def play(sets: dict[int, str]) -> None:
        batch = name_batch(sets)
        sidecars = batch if has_sidecars else ""
        assert_agreed(runner.play(sets, sidecars=sidecars, settings=batch))

    with guard(mesh, STRICT), open_set_runner(mesh) as runner:
        # Without the admission policies no wildcards go through gateways.
        operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
        for sets in list_sets(0, count):
            play(sets)
        with mesh.outbound_mode(ALLOW_ANY):
            for sets in list_sets(count, open_count):
                play(sets)
        mesh.clean()
