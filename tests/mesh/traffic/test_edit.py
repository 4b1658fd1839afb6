"""Every field of a policy is edited while the policy is in use: the new behaviour arrives."""

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import BATCH, CHECKOUT, HTTP, TCP, TLS, build_destination, build_policy
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, TIMEOUT_504, call

pytestmark = pytest.mark.mesh

API, OTHER, DB = (f"GET http://{host}/" for host in ("api.example", "other.example", "db.example"))
SLOW = "GET http://api.example/slow?seconds=1"


def test_a_host_is_added_and_removed(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("edited", build_destination("api.example")))
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(build_policy("edited", build_destination("api.example", "other.example")))
    mesh.expect(CHECKOUT, OTHER, DIRECT)
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(build_policy("edited", build_destination("other.example")))
    mesh.expect(CHECKOUT, API, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, OTHER, DIRECT)


def test_a_host_is_renamed(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("edited", build_destination("api.example", "db.example")))
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(build_policy("edited", build_destination("other.example", "db.example")))

    mesh.expect(CHECKOUT, OTHER, DIRECT)
    mesh.expect(CHECKOUT, API, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, DB, DIRECT)


def test_a_destination_is_added_and_removed(operated: OperatedMesh, mesh: Mesh) -> None:
    first, second = build_destination("api.example"), build_destination("db.example", ports=(TLS,))
    operated.apply(build_policy("edited", first))
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(build_policy("edited", first, second))
    mesh.expect(CHECKOUT, "GET https://db.example/", DIRECT)
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(build_policy("edited", second))
    mesh.expect(CHECKOUT, API, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET https://db.example/", DIRECT)


def test_a_port_is_added_and_removed(operated: OperatedMesh, mesh: Mesh) -> None:
    settings = {"timeout": "500ms"}
    operated.apply(build_policy("edited", build_destination("api.example", http=settings)))
    mesh.expect(CHECKOUT, API, DIRECT)

    operated.apply(
        build_policy(
            "edited",
            build_destination("api.example", http=settings),
            build_destination("api.example", ports=(TLS,)),
        )
    )
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)
    mesh.expect(CHECKOUT, SLOW, TIMEOUT_504)

    operated.apply(build_policy("edited", build_destination("api.example", ports=(TLS,))))
    mesh.expect(CHECKOUT, API, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)


def test_a_number_of_a_port_is_changed(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("edited", build_destination("api.example")))
    mesh.expect(CHECKOUT, API, DIRECT)

    other = {"number": 8080, "protocol": "HTTP"}
    operated.apply(build_policy("edited", build_destination("api.example", ports=(other,))))

    mesh.expect(CHECKOUT, "GET http://api.example:8080/", DIRECT)
    mesh.expect(CHECKOUT, API, BLOCKED)


def test_a_protocol_is_changed(operated: OperatedMesh, mesh: Mesh) -> None:
    text = "GET http://db.example:8080/"
    addresses = [mesh.outside.address_of("db.example")]
    headers = {}
    for protocol in ("HTTP", "TCP", "HTTP"):
        port = {"number": 8080, "protocol": protocol}
        operated.apply(
            build_policy(
                "edited", build_destination("db.example", ports=(port,), addresses=addresses)
            )
        )
        mesh.settle()
        answer = mesh.expect(CHECKOUT, text, DIRECT).answer
        assert answer is not None
        headers[protocol] = answer.headers

    # A proxy that reads HTTP numbers the requests, one that moves bytes cannot.
    assert "x-request-id" in headers["HTTP"]
    assert "x-request-id" not in headers["TCP"]


def test_tls_becomes_http_and_back(operated: OperatedMesh, mesh: Mesh) -> None:
    secure = {"number": 8443, "protocol": "TLS"}
    plain = {"number": 8443, "protocol": "HTTP", "targetPort": 8080}
    for port, text, other in (
        (secure, "GET https://api.example:8443/", "GET http://api.example:8443/"),
        (plain, "GET http://api.example:8443/", "GET https://api.example:8443/"),
        (secure, "GET https://api.example:8443/", "GET http://api.example:8443/"),
    ):
        operated.apply(build_policy("edited", build_destination("api.example", ports=(port,))))
        mesh.expect(CHECKOUT, text, DIRECT)
        mesh.settle()
        assert mesh.request(CHECKOUT, other).verdict is not DIRECT


def test_a_target_port_is_changed(operated: OperatedMesh, mesh: Mesh) -> None:
    for target in (80, 8080, 80):
        port = {**HTTP, "targetPort": target}
        operated.apply(build_policy("edited", build_destination("api.example", ports=(port,))))
        mesh.settle()
        answer = mesh.expect(CHECKOUT, API, DIRECT).answer
        assert answer is not None
        assert answer.port == target


def test_addresses_are_changed(operated: OperatedMesh, mesh: Mesh) -> None:
    old, new = (mesh.outside.address_of(host) for host in ("db.example", "other.example"))
    text = "TCP db.example:5432"
    operated.apply(
        build_policy("edited", build_destination("db.example", ports=(TCP,), addresses=[old]))
    )
    mesh.expect(CHECKOUT, text, DIRECT)

    operated.apply(
        build_policy("edited", build_destination("db.example", ports=(TCP,), addresses=[old, new]))
    )
    mesh.expect(CHECKOUT, call(text, address=new), DIRECT, server="")
    mesh.expect(CHECKOUT, call(text, address=old), DIRECT, server="")

    operated.apply(
        build_policy("edited", build_destination("db.example", ports=(TCP,), addresses=[new]))
    )
    mesh.expect(CHECKOUT, text, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, call(text, address=new), DIRECT, server="other.example")


def test_addresses_are_left_to_dns_capture(operated: OperatedMesh, mesh: Mesh) -> None:
    addresses = [mesh.outside.address_of("db.example")]
    fixed = build_destination("db.example", ports=(TCP,), addresses=addresses)
    operated.apply(build_policy("edited", fixed))
    mesh.expect(CHECKOUT, "TCP db.example:5432", DIRECT)

    operated.apply(build_policy("edited", build_destination("db.example", ports=(TCP,))))
    mesh.settle()
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)

    operated.apply(build_policy("edited", fixed))
    mesh.expect(CHECKOUT, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)


def test_dns_capture_takes_over_again_after_addresses(operated: OperatedMesh, mesh: Mesh) -> None:
    by_name = build_destination("db.example", ports=(TCP,))
    fixed = {**by_name, "addresses": [mesh.outside.address_of("db.example")]}
    for destination in (by_name, fixed, by_name):
        operated.apply(build_policy("edited", destination))
        mesh.settle()
        mesh.expect(BATCH, "TCP db.example:5432", DIRECT)

    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED, within_s=5)


def test_a_service_entry_made_anew_gets_an_address(operated: OperatedMesh, mesh: Mesh) -> None:
    """What the pages for users advise after such an edit."""
    by_name = build_destination("db.example", ports=(TCP,))
    fixed = {**by_name, "addresses": [mesh.outside.address_of("db.example")]}
    for destination in (by_name, fixed, by_name):
        operated.apply(build_policy("edited", destination))
        mesh.settle()

    mesh.delete(operated.entry("db.example"))

    operated.wait_addresses("db.example")
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)


def test_endpoints_are_changed(operated: OperatedMesh, mesh: Mesh) -> None:
    fixed = mesh.outside.address_of("other.example")
    for endpoint, server in (
        (fixed, "other.example"),
        ("db.example", "db.example"),
        (None, "api.example"),
        (fixed, "other.example"),
    ):
        real = {"name": "real", "endpoints": [{"address": endpoint}]}
        backends = [real] if endpoint else []
        operated.apply(build_policy("edited", build_destination("api.example", backends=backends)))
        mesh.settle()
        mesh.expect(CHECKOUT, API, DIRECT, server=server)


def test_a_range_is_moved(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.add("inside.range.example", address="198.51.100.130")
    mesh.outside.add("beside.range.example", address="198.51.100.145")
    first, second = "TCP inside.range.example:5432", "TCP beside.range.example:5432"
    for network, open_one, closed_one in (
        ("198.51.100.128/28", first, second),
        ("198.51.100.144/28", second, first),
    ):
        destination = build_destination(ports=(TCP,), addresses=[network])
        operated.apply(build_policy("edited", destination))
        mesh.expect(CHECKOUT, open_one, DIRECT)
        mesh.expect(CHECKOUT, closed_one, BLOCKED)


def test_a_timeout_is_changed_and_removed(operated: OperatedMesh, mesh: Mesh) -> None:
    for http, verdict in (
        ({"timeout": "300ms"}, TIMEOUT_504),
        ({"timeout": "4s"}, DIRECT),
        ({"timeout": "400ms"}, TIMEOUT_504),
        ({}, DIRECT),
    ):
        operated.apply(build_policy("edited", build_destination("api.example", http=http)))
        mesh.expect(CHECKOUT, SLOW, verdict, times=1)

    assert [item["kind"] for item in operated.children("edited")] == ["ServiceEntry"]


def test_retries_are_changed_and_removed(operated: OperatedMesh, mesh: Mesh) -> None:
    for number, (retries, count) in enumerate(
        (({"attempts": 0}, 1), ({"attempts": 2, "codes": [503]}, 3), (None, 1))
    ):
        http = {"retries": retries} if retries else {}
        operated.apply(build_policy("edited", build_destination("api.example", http=http)))
        mesh.settle()
        path = f"/fail?times=9&status=503&round={number}"
        mesh.request(CHECKOUT, f"GET http://api.example{path}")
        assert mesh.outside.count("api.example", path) == count


def test_words_for_people_change_no_object(operated: OperatedMesh, mesh: Mesh) -> None:
    policy = build_policy("edited", build_destination("api.example", name="api"))
    operated.apply(policy)
    mesh.expect(CHECKOUT, API, DIRECT)
    before = operated.versions()

    policy["spec"]["justification"] = "prices of our suppliers"
    policy["spec"]["destinations"][0]["name"] = "prices"
    written = operated.apply(policy)

    assert written["status"]["destinations"][0]["name"] == "prices"
    assert operated.versions() == before
