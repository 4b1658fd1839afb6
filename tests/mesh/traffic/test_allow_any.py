"""In a mesh that lets everything out, a policy takes nothing away and says what it does not do."""

from collections.abc import Iterator

import pytest

from mesh.traffic.world import APP, BATCH, CHECKOUT, World, build_destination, build_policy
from testbed.mesh import Mesh
from testbed.request import DIRECT, call
from testbed.rig import ALLOW_ANY
from testbed.sample import SAMPLES, Sample

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def open_world(world: World, mesh: Mesh) -> Iterator[World]:
    """Give a mesh in mode ALLOW_ANY, with an operator that has read so."""
    policy = {"mode": ALLOW_ANY}
    with mesh.outbound_mode(ALLOW_ANY), world.mesh_config(outboundTrafficPolicy=policy):
        yield world


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.file for sample in SAMPLES])
def test_a_sample_changes_nothing_for_who_gets_out_anyway(
    open_world: World, mesh: Mesh, sample: Sample
) -> None:
    for name, address in sample.records:
        mesh.names.set(name, address)
    if not sample.records:
        for text in sample.calls:
            mesh.expect(BATCH, text, DIRECT)

    policy = open_world.apply(sample.path)

    ready = open_world.condition(policy["metadata"]["name"], "Ready")
    assert "hosts that no policy names are not blocked" in ready["message"]
    # Until the proxies have it, the requests pass by it.
    mesh.settle()
    for text in sample.calls:
        outcome = mesh.expect(BATCH, text, DIRECT, server="" if sample.servers else None)
        assert outcome.server in (sample.servers or (call(text).host,))
        assert outcome.peer == mesh.members[BATCH].address
    for text in sample.neighbours:
        mesh.expect(BATCH, text, DIRECT)
    if not sample.records:
        for text in sample.calls:
            mesh.expect(APP, text, DIRECT)
            mesh.expect(CHECKOUT, f"TCP {call(text).host}:9000", DIRECT)

    open_world.delete(sample.path)

    if not sample.records:
        for text in sample.calls:
            mesh.expect(BATCH, text, DIRECT)


@pytest.mark.xfail(
    strict=True,
    reason="the name resolves to the address that Istio allocated, where nobody listens on a port "
    "that no policy names; the ServiceEntry would have to refuse allocation",
)
def test_with_dns_capture_other_ports_of_the_host_still_work(open_world: World, mesh: Mesh) -> None:
    open_world.apply(build_policy("web", build_destination("api.example")))
    mesh.expect(BATCH, "GET http://api.example/", DIRECT)
    open_world.wait_addresses("api.example")
    mesh.settle()

    outcome = mesh.request(BATCH, call("TCP api.example:9000", timeout_s=2))

    assert outcome.verdict is DIRECT
