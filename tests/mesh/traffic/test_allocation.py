"""istiod gives addresses to hosts that need one, in the status of our objects: no fight."""

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import BATCH, ENTRY, HTTP, TCP, TLS, build_destination, build_policy
from testbed.controlplane import ISTIOD
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, UNRESOLVED

pytestmark = pytest.mark.mesh

HOSTS = ("api.example", "other.example", "db.example")


def test_the_operator_writes_nothing_after_istiod_has_written(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    begin = operated.audit.position()
    operated.apply(
        build_policy(
            "allocated",
            build_destination(HOSTS[0], ports=(HTTP,), http={"timeout": "3s"}),
            build_destination(HOSTS[1], ports=(TLS,)),
            build_destination(*HOSTS, ports=(TCP,)),
        )
    )
    given = operated.wait_addresses(*HOSTS)
    mark, before = operated.audit.position(), operated.versions()

    operated.wait_idle()

    assert operated.writes(since=mark) == []
    assert operated.versions() == before
    created = [record for record in operated.writes(since=begin) if record.verb == "create"]
    objects = [record for record in created if record.group == "networking.istio.io"]
    assert sorted(record.resource for record in objects) == [
        *["serviceentries"] * 3,
        "virtualservices",
    ]
    patched = [record for record in operated.writes(since=begin) if record.verb == "patch"]
    assert {record.permission[2] for record in patched} == {"egresspolicies/status"}
    assert all(address.startswith("240.240.") for host in HOSTS for address in given[host][:1])
    mesh.expect(BATCH, f"GET http://{HOSTS[0]}/", DIRECT)
    mesh.expect(BATCH, f"GET https://{HOSTS[1]}/", DIRECT)
    for host in HOSTS:
        mesh.expect(BATCH, f"TCP {host}:5432", DIRECT)


def test_a_host_told_apart_by_name_gets_no_address(operated: OperatedMesh, mesh: Mesh) -> None:
    mark = operated.audit.position()
    operated.apply(
        build_policy(
            "named",
            build_destination(HOSTS[0], ports=(HTTP,), http={"timeout": "3s"}),
            build_destination(HOSTS[1], ports=(TLS,)),
        )
    )
    operated.apply(build_policy("last", build_destination(HOSTS[2], ports=(TCP,))))
    operated.wait_addresses(HOSTS[2])

    assert [operated.find_addresses(host) for host in HOSTS[:2]] == [[], []]
    written = [
        record.name
        for record in operated.audit.records(since=mark, user=ISTIOD, writes=True)
        if record.permission[2] == "serviceentries/status"
    ]
    assert {*written} == {operated.entry(HOSTS[2])["metadata"]["name"]}
    mesh.expect(BATCH, f"GET http://{HOSTS[0]}/", DIRECT)
    mesh.expect(BATCH, f"GET https://{HOSTS[1]}/", DIRECT)


def test_an_edit_asks_for_an_address_and_keeps_it(operated: OperatedMesh, mesh: Mesh) -> None:
    web = build_destination("db.example", ports=(HTTP,))
    raw = build_destination("db.example", ports=(TCP,))
    operated.apply(build_policy("edited", web))
    mesh.expect(BATCH, "GET http://db.example/", DIRECT)
    mark = operated.audit.position()

    operated.apply(build_policy("edited", web, raw))
    given = operated.wait_addresses("db.example")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)

    for destinations, verdict in (([web], BLOCKED), ([web, raw], DIRECT)):
        operated.apply(build_policy("edited", *destinations))
        mesh.expect(BATCH, "TCP db.example:5432", verdict)
        mesh.settle()
        mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)
        mesh.expect(BATCH, "GET http://db.example/", DIRECT)
        assert operated.wait_addresses("db.example") == given
    records = operated.writes(since=mark)
    objects = [record.verb for record in records if record.resource == "serviceentries"]
    assert objects == ["patch"] * 3


def test_a_name_in_no_name_server_resolves_by_its_allocated_address(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    address = mesh.outside.address_of("db.example")
    backends = [{"name": "real", "endpoints": [{"address": address}]}]
    mesh.expect(BATCH, "GET http://nowhere.example/", UNRESOLVED)

    operated.apply(build_policy("private", build_destination("nowhere.example", backends=backends)))

    mesh.expect(BATCH, "GET http://nowhere.example/", DIRECT, server="db.example")


def test_a_change_keeps_the_addresses_that_istiod_gave(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("allocated", build_destination("db.example", ports=(TCP,))))
    before = operated.wait_addresses("db.example")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)

    operated.apply(build_policy("allocated", build_destination("db.example", ports=(TCP, TLS))))

    mesh.expect(BATCH, "GET https://db.example/", DIRECT)
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    assert operated.wait_addresses("db.example") == before


def test_a_status_that_somebody_writes_is_none_of_our_business(operated: OperatedMesh) -> None:
    operated.apply(build_policy("allocated", build_destination("api.example", ports=(TCP,))))
    operated.wait_addresses("api.example")
    mark = operated.audit.position()
    entry = operated.entry("api.example")

    operated.client.merge_patch(
        entry,
        {
            "status": {
                "validationMessages": [{"level": "INFO", "documentationUrl": "https://x.example"}]
            }
        },
        subresource="status",
    )
    operated.wait_idle()

    assert operated.writes(since=mark) == []
    assert "validationMessages" in operated.entry("api.example")["status"]


def test_a_host_that_loses_and_needs_its_address_again_gets_one(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    """Istiod gives no ServiceEntry a second address: the operator makes it anew."""
    named = build_destination("db.example", ports=(TCP,))
    fixed = {**named, "addresses": [mesh.outside.address_of("db.example")]}
    operated.apply(build_policy("database", named))
    operated.wait_addresses("db.example")
    operated.apply(build_policy("database", fixed))
    wait_until(lambda: not operated.find_addresses("db.example"), 20, "the address stays")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    before, mark = operated.entry("db.example"), operated.audit.position()

    operated.apply(build_policy("database", named))

    operated.wait_addresses("db.example")
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)
    assert operated.entry("db.example")["metadata"]["uid"] != before["metadata"]["uid"]
    operated.wait_idle()
    verbs = [item.verb for item in operated.writes(since=mark) if item.resource == "serviceentries"]
    assert verbs == ["delete", "create"]


def test_an_address_that_is_taken_away_by_hand_is_given_anew(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    operated.apply(build_policy("database", build_destination("db.example", ports=(TCP,))))
    operated.wait_addresses("db.example")
    entry = operated.entry("db.example")
    operated.client.merge_patch(entry, {"status": {"addresses": []}}, subresource="status")

    def look() -> bool:
        # In between it is away.
        metadata = entry["metadata"]
        found = operated.client.find(*ENTRY, metadata["name"], metadata["namespace"])
        is_new = found is not None and found["metadata"]["uid"] != metadata["uid"]
        return is_new and bool(operated.find_addresses("db.example"))

    wait_until(look, 20, "there is no new address")
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)
