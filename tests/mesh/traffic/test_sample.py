"""Every sample does what it says, and nothing else, in a mesh that blocks undeclared hosts."""

from collections.abc import Iterator

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, DIRECT, VIA_GATEWAY, call
from testbed.sample import DIRECT_SAMPLES, GATEWAY_FILE, SAMPLES, Sample

pytestmark = pytest.mark.mesh

OTHER_PORT = 9000
"""Every outside server listens there too, and no sample names it."""


GATEWAY_SAMPLES = [sample for sample in SAMPLES if sample.is_for_gateway]
DENYING_SAMPLES = [sample for sample in SAMPLES if sample.denied]


def name(sample: Sample) -> str:
    return sample.file


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give the gateway that the samples go through."""
    with mesh.start_gateway() as gateway:
        yield gateway


@pytest.fixture
def shared(operated: OperatedMesh, gateway: Gateway) -> None:
    """Let the namespace of the samples use the gateway."""
    assert gateway.addresses
    operated.mesh.label("shop", {"egress": "shared"})
    operated.mesh.apply(GATEWAY_FILE)


@pytest.mark.parametrize("sample", DIRECT_SAMPLES, ids=name)
def test_a_sample_opens_its_hosts_and_no_others(
    operated: OperatedMesh, mesh: Mesh, sample: Sample
) -> None:
    for host, address in sample.records:
        mesh.names.set(host, address)
    for text in sample.calls:
        mesh.expect(BATCH, text, BLOCKED)

    operated.apply(sample.path)

    for text in sample.calls:
        outcome = mesh.expect(BATCH, text, DIRECT, server="" if sample.servers else None)
        assert outcome.server in (sample.servers or (call(text).host,))
        assert outcome.peer == mesh.members[BATCH].address
    expect_no_more(mesh, sample, BATCH)

    operated.delete(sample.path)

    for text in sample.calls:
        mesh.expect(BATCH, text, BLOCKED)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("sample", GATEWAY_SAMPLES, ids=name)
def test_a_sample_through_the_gateway(operated: OperatedMesh, mesh: Mesh, sample: Sample) -> None:
    for text in sample.calls:
        mesh.expect(CHECKOUT, text, BLOCKED)

    operated.apply(sample.path)

    for text in sample.calls:
        mesh.expect(CHECKOUT, text, VIA_GATEWAY)
    expect_no_more(mesh, sample, CHECKOUT)

    operated.delete(sample.path)

    for text in sample.calls:
        mesh.expect(CHECKOUT, text, BLOCKED)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("sample", DENYING_SAMPLES, ids=name)
def test_a_sample_for_some_workloads(operated: OperatedMesh, mesh: Mesh, sample: Sample) -> None:
    operated.apply(sample.path)
    for text in sample.calls:
        mesh.expect(CHECKOUT, text, VIA_GATEWAY if sample.is_for_gateway else DIRECT)
    for text in sample.denied:
        mesh.expect(BATCH, text, DENIED_403 if text.startswith("GET http://") else BLOCKED)


def expect_no_more(mesh: Mesh, sample: Sample, caller: str) -> None:
    """Other hosts, other ports and other namespaces stay blocked."""
    mesh.settle()
    for text in sample.neighbours:
        mesh.expect(caller, text, BLOCKED)
    for text in sample.calls:
        mesh.expect(caller, f"TCP {call(text).host}:{OTHER_PORT}", BLOCKED)
        mesh.expect(APP, text, BLOCKED)
