"""Every sample does what it says, and nothing else, in a mesh that blocks undeclared hosts."""

import pytest

from mesh.traffic.world import APP, BATCH, World
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, call
from testbed.sample import SAMPLES, Sample

pytestmark = pytest.mark.mesh

OTHER_PORT = 9000
"""Every outside server listens there too, and no sample names it."""


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.file for sample in SAMPLES])
def test_a_sample_opens_its_hosts_and_no_others(world: World, mesh: Mesh, sample: Sample) -> None:
    for name, address in sample.records:
        mesh.names.set(name, address)
    for text in sample.calls:
        mesh.expect(BATCH, text, BLOCKED)

    world.apply(sample.path)

    for text in sample.calls:
        outcome = mesh.expect(BATCH, text, DIRECT, server="" if sample.servers else None)
        assert outcome.server in (sample.servers or (call(text).host,))
        assert outcome.peer == mesh.members[BATCH].address
    mesh.settle()
    for text in sample.neighbours:
        mesh.expect(BATCH, text, BLOCKED)
    for text in sample.calls:
        mesh.expect(BATCH, f"TCP {call(text).host}:{OTHER_PORT}", BLOCKED)
        mesh.expect(APP, text, BLOCKED)

    world.delete(sample.path)

    for text in sample.calls:
        mesh.expect(BATCH, text, BLOCKED)
