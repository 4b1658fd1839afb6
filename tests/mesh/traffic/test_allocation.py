"""istiod gives addresses to hosts that need one, in the status of our objects: no fight."""

import pytest

from mesh.traffic.world import (
    BATCH,
    HTTP,
    TCP,
    TLS,
    World,
    build_destination,
    build_policy,
)
from testbed.controlplane import ISTIOD
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, UNRESOLVED

pytestmark = pytest.mark.mesh

HOSTS = ("api.example", "other.example", "db.example")


def test_the_operator_writes_nothing_after_istiod_has_written(world: World, mesh: Mesh) -> None:
    begin = world.audit.position()
    world.apply(
        build_policy(
            "allocated",
            build_destination(HOSTS[0], ports=(HTTP,), http={"timeout": "3s"}),
            build_destination(HOSTS[1], ports=(TLS,)),
            build_destination(*HOSTS, ports=(TCP,)),
        )
    )
    given = world.wait_addresses(*HOSTS)
    mark, before = world.audit.position(), world.versions()

    world.wait_idle()

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
    for host in HOSTS:
        mesh.expect(BATCH, f"TCP {host}:5432", DIRECT)


def test_a_host_told_apart_by_name_gets_no_address(world: World, mesh: Mesh) -> None:
    mark = world.audit.position()
    world.apply(
        build_policy(
            "named",
            build_destination(HOSTS[0], ports=(HTTP,), http={"timeout": "3s"}),
            build_destination(HOSTS[1], ports=(TLS,)),
        )
    )
    world.apply(build_policy("last", build_destination(HOSTS[2], ports=(TCP,))))
    world.wait_addresses(HOSTS[2])

    assert [world.find_addresses(host) for host in HOSTS[:2]] == [[], []]
    written = [
        record.name
        for record in world.audit.records(since=mark, user=ISTIOD, writes=True)
        if record.permission[2] == "serviceentries/status"
    ]
    assert {*written} == {world.entry(HOSTS[2])["metadata"]["name"]}
    mesh.expect(BATCH, f"GET http://{HOSTS[0]}/", DIRECT)
    mesh.expect(BATCH, f"GET https://{HOSTS[1]}/", DIRECT)


def test_an_edit_asks_for_an_address_and_keeps_it(world: World, mesh: Mesh) -> None:
    web = build_destination("db.example", ports=(HTTP,))
    raw = build_destination("db.example", ports=(TCP,))
    world.apply(build_policy("edited", web))
    mesh.expect(BATCH, "GET http://db.example/", DIRECT)
    mark = world.audit.position()

    world.apply(build_policy("edited", web, raw))
    given = world.wait_addresses("db.example")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)

    for destinations, verdict in (([web], BLOCKED), ([web, raw], DIRECT)):
        world.apply(build_policy("edited", *destinations))
        mesh.expect(BATCH, "TCP db.example:5432", verdict)
        mesh.settle()
        mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)
        mesh.expect(BATCH, "GET http://db.example/", DIRECT)
        assert world.wait_addresses("db.example") == given
    records = world.writes(since=mark)
    objects = [record.verb for record in records if record.resource == "serviceentries"]
    assert objects == ["patch"] * 3


def test_a_name_in_no_name_server_resolves_by_its_allocated_address(
    world: World, mesh: Mesh
) -> None:
    address = mesh.outside.address_of("db.example")
    backends = [{"name": "real", "endpoints": [{"address": address}]}]
    mesh.expect(BATCH, "GET http://nowhere.example/", UNRESOLVED)

    world.apply(build_policy("private", build_destination("nowhere.example", backends=backends)))

    mesh.expect(BATCH, "GET http://nowhere.example/", DIRECT, server="db.example")


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
    world.apply(build_policy("allocated", build_destination("api.example", ports=(TCP,))))
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
    world.wait_idle()

    assert world.writes(since=mark) == []
    assert "validationMessages" in world.entry("api.example")["status"]
