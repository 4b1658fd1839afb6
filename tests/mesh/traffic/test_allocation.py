"""istiod gives hosts addresses and writes them into the status of our objects: no fight."""

import time

import pytest

from mesh.traffic.world import (
    BATCH,
    HTTP,
    QUIET_S,
    TCP,
    TLS,
    World,
    build_destination,
    build_policy,
)
from testbed.mesh import Mesh
from testbed.request import DIRECT

pytestmark = pytest.mark.mesh

HOSTS = ("api.example", "other.example", "db.example")


def test_the_operator_writes_nothing_after_istiod_has_written(world: World, mesh: Mesh) -> None:
    begin = world.audit.position()
    world.apply(
        build_policy(
            "allocated",
            build_destination(HOSTS[0], ports=(HTTP,), http={"timeout": "3s"}),
            build_destination(HOSTS[1], ports=(TLS,)),
            build_destination(HOSTS[2], ports=(TCP,)),
        )
    )
    given = world.wait_addresses(*HOSTS)
    mark, before = world.audit.position(), world.versions()

    time.sleep(QUIET_S)

    assert world.writes(since=mark) == []
    assert world.versions() == before
    created = [record for record in world.writes(since=begin) if record.verb == "create"]
    objects = [record for record in created if record.group == "networking.istio.io"]
    assert sorted(record.resource for record in objects) == [
        *["serviceentries"] * 3,
        "virtualservices",
    ]
    patched = [record for record in world.writes(since=begin) if record.verb == "patch"]
    assert {record.permission[2] for record in patched} == {"egresspolicies/status"}
    assert all(address.startswith("240.240.") for host in HOSTS for address in given[host][:1])
    mesh.expect(BATCH, f"GET http://{HOSTS[0]}/", DIRECT)
    mesh.expect(BATCH, f"GET https://{HOSTS[1]}/", DIRECT)
    mesh.expect(BATCH, f"TCP {HOSTS[2]}:5432", DIRECT)


def test_a_change_keeps_the_addresses_that_istiod_gave(world: World, mesh: Mesh) -> None:
    world.apply(build_policy("allocated", build_destination("db.example", ports=(TCP,))))
    before = world.wait_addresses("db.example")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)

    world.apply(build_policy("allocated", build_destination("db.example", ports=(TCP, TLS))))

    mesh.expect(BATCH, "GET https://db.example/", DIRECT)
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    assert world.wait_addresses("db.example") == before


def test_a_status_that_somebody_writes_is_none_of_our_business(world: World) -> None:
    world.apply(build_policy("allocated", build_destination("api.example")))
    world.wait_addresses("api.example")
    mark = world.audit.position()
    entry = world.entry("api.example")

    world.client.merge_patch(
        entry,
        {
            "status": {
                "validationMessages": [{"level": "INFO", "documentationUrl": "https://x.example"}]
            }
        },
        subresource="status",
    )
    time.sleep(QUIET_S)

    assert world.writes(since=mark) == []
    assert "validationMessages" in world.entry("api.example")["status"]
