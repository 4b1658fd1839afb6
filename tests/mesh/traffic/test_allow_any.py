"""In a mesh that lets everything out, a policy takes nothing away and says what it does not do."""

from collections.abc import Iterator

import pytest

from mesh.traffic.world import (
    APP,
    BATCH,
    CHECKOUT,
    HTTP,
    TCP,
    TLS,
    World,
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
def open_world(world: World, mesh: Mesh) -> Iterator[World]:
    """Give a mesh in mode ALLOW_ANY, with an operator that has read so."""
    policy = {"mode": ALLOW_ANY}
    with mesh.outbound_mode(ALLOW_ANY), world.mesh_config(outboundTrafficPolicy=policy):
        yield world


@pytest.mark.parametrize("sample", DIRECT_SAMPLES, ids=[sample.file for sample in DIRECT_SAMPLES])
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


@pytest.mark.parametrize(
    ("port", "text"),
    [(HTTP, "GET http://api.example/"), (TLS, "GET https://api.example/")],
    ids=["http", "tls"],
)
def test_with_dns_capture_other_ports_of_the_host_still_work(
    open_world: World, mesh: Mesh, port: Object, text: str
) -> None:
    open_world.apply(build_policy("web", build_destination("api.example", ports=(port,))))
    wait_allocated(open_world)
    mesh.settle()

    mesh.expect(BATCH, text, DIRECT)
    mesh.expect(BATCH, "TCP api.example:9000", DIRECT)
    mesh.expect(BATCH, "TCP api.example:5432", DIRECT)
    assert open_world.find_addresses("api.example") == []


@pytest.mark.parametrize(
    "more",
    [{"ports": (TCP,)}, {"backends": [{"name": "real", "endpoints": [{"address": "db.example"}]}]}],
    ids=["tcp-by-name", "endpoints"],
)
def test_with_dns_capture_an_allocated_address_takes_other_ports_away(
    open_world: World, mesh: Mesh, more: Object
) -> None:
    """What the pages for users warn of: such a host cannot do without the address."""
    mesh.expect(BATCH, "TCP api.example:9000", DIRECT)

    open_world.apply(build_policy("database", build_destination("api.example", **more)))

    open_world.wait_addresses("api.example")
    mesh.expect(BATCH, call("TCP api.example:9000", timeout_s=2), UNREACHABLE)
    mesh.expect(CHECKOUT, "TCP api.example:9000", DIRECT)
    mesh.expect(BATCH, "TCP other.example:9000", DIRECT)


def test_with_dns_capture_fixed_addresses_leave_other_ports_alone(
    open_world: World, mesh: Mesh
) -> None:
    addresses = [mesh.outside.address_of("db.example")]
    database = build_destination("db.example", ports=(TCP,), addresses=addresses)

    open_world.apply(build_policy("database", database))

    wait_allocated(open_world)
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP db.example:9000", DIRECT)


def test_the_older_allocation_of_istio_heeds_no_label(open_world: World, mesh: Mesh) -> None:
    """Each istiod reckoned the addresses for itself, by default up to 1.24."""
    istiod = mesh.istiod
    today = istiod.option.environment
    other_port = call("TCP api.example:9000", timeout_s=2)
    open_world.apply(build_policy("web", build_destination("api.example")))
    mesh.expect(BATCH, "GET http://api.example/", DIRECT)
    mesh.expect(BATCH, other_port, DIRECT)

    try:
        istiod.restart(environment={**today, "PILOT_ENABLE_IP_AUTOALLOCATE": "false"})
        mesh.expect(BATCH, other_port, UNREACHABLE)
        mesh.expect(BATCH, "GET http://api.example/", DIRECT)
    finally:
        istiod.restart(environment=today)
    mesh.expect(BATCH, other_port, DIRECT)


def wait_allocated(world: World) -> None:
    """Wait until istiod has had the chance to allocate: it takes hosts one after the other."""
    world.apply(build_policy("last", build_destination("other.example", ports=(TCP,))))
    world.wait_addresses("other.example")
