"""In a mesh that lets everything out, a policy takes nothing away and says what it does not do."""

from collections.abc import Iterator

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    APP,
    BATCH,
    CHECKOUT,
    HTTP,
    TCP,
    TLS,
    build_destination,
    build_policy,
)
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import DIRECT, UNREACHABLE, call
from testbed.rig import ALLOW_ANY
from testbed.sample import DIRECT_SAMPLES, Sample

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def openly_operated(operated: OperatedMesh, mesh: Mesh) -> Iterator[OperatedMesh]:
    """Give a mesh in mode ALLOW_ANY, with an operator that has read so."""
    policy = {"mode": ALLOW_ANY}
    with mesh.outbound_mode(ALLOW_ANY), operated.mesh_config(outboundTrafficPolicy=policy):
        yield operated


@pytest.mark.parametrize("sample", DIRECT_SAMPLES, ids=[sample.file for sample in DIRECT_SAMPLES])
def test_a_sample_changes_nothing_for_who_gets_out_anyway(
    openly_operated: OperatedMesh, mesh: Mesh, sample: Sample
) -> None:
    for name, address in sample.records:
        mesh.names.set(name, address)
    if not sample.records:
        for text in sample.calls:
            mesh.expect(BATCH, text, DIRECT)

    policy = openly_operated.apply(sample.path)

    ready = openly_operated.condition(policy["metadata"]["name"], "Ready")
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

    openly_operated.delete(sample.path)

    if not sample.records:
        for text in sample.calls:
            mesh.expect(BATCH, text, DIRECT)


@pytest.mark.parametrize(
    ("port", "text"),
    [(HTTP, "GET http://api.example/"), (TLS, "GET https://api.example/")],
    ids=["http", "tls"],
)
def test_with_dns_capture_other_ports_of_the_host_still_work(
    openly_operated: OperatedMesh, mesh: Mesh, port: Object, text: str
) -> None:
    openly_operated.apply(build_policy("web", build_destination("api.example", ports=(port,))))
    wait_allocated(openly_operated)
    mesh.settle()

    mesh.expect(BATCH, text, DIRECT)
    mesh.expect(BATCH, "TCP api.example:9000", DIRECT)
    mesh.expect(BATCH, "TCP api.example:5432", DIRECT)
    assert openly_operated.find_addresses("api.example") == []


@pytest.mark.parametrize(
    "more",
    [{"ports": (TCP,)}, {"backends": [{"name": "real", "endpoints": [{"address": "db.example"}]}]}],
    ids=["tcp-by-name", "endpoints"],
)
def test_with_dns_capture_an_allocated_address_takes_other_ports_away(
    openly_operated: OperatedMesh, mesh: Mesh, more: Object
) -> None:
    """What the pages for users warn of: such a host cannot do without the address."""
    mesh.expect(BATCH, "TCP api.example:9000", DIRECT)

    openly_operated.apply(build_policy("database", build_destination("api.example", **more)))

    openly_operated.wait_addresses("api.example")
    mesh.expect(BATCH, call("TCP api.example:9000", timeout_s=2), UNREACHABLE)
    mesh.expect(CHECKOUT, "TCP api.example:9000", DIRECT)
    mesh.expect(BATCH, "TCP other.example:9000", DIRECT)


def test_with_dns_capture_fixed_addresses_leave_other_ports_alone(
    openly_operated: OperatedMesh, mesh: Mesh
) -> None:
    addresses = [mesh.outside.address_of("db.example")]
    database = build_destination("db.example", ports=(TCP,), addresses=addresses)

    openly_operated.apply(build_policy("database", database))

    wait_allocated(openly_operated)
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP db.example:9000", DIRECT)


def test_the_older_allocation_of_istio_heeds_no_label(
    openly_operated: OperatedMesh, mesh: Mesh
) -> None:
    """Each istiod reckoned the addresses for itself, by default up to 1.24."""
    istiod = mesh.istiod
    today = istiod.option.environment
    other_port = call("TCP api.example:9000", timeout_s=2)
    openly_operated.apply(build_policy("web", build_destination("api.example")))
    mesh.expect(BATCH, "GET http://api.example/", DIRECT)
    mesh.expect(BATCH, other_port, DIRECT)

    try:
        istiod.restart(environment={**today, "PILOT_ENABLE_IP_AUTOALLOCATE": "false"})
        mesh.expect(BATCH, other_port, UNREACHABLE)
        mesh.expect(BATCH, "GET http://api.example/", DIRECT)
    finally:
        istiod.restart(environment=today)
    mesh.expect(BATCH, other_port, DIRECT)


def wait_allocated(operated: OperatedMesh) -> None:
    """Wait until istiod has had the chance to allocate: it takes hosts one after the other."""
    operated.apply(build_policy("last", build_destination("other.example", ports=(TCP,))))
    operated.wait_addresses("other.example")
