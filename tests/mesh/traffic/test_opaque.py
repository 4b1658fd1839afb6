"""TLS and TCP: what the proxy tells apart by server name or by address."""

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT, TCP, TLS, build_destination, build_policy
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, call

pytestmark = pytest.mark.mesh


@pytest.mark.parametrize("protocol", ["TLS", "HTTPS"])
@pytest.mark.parametrize(
    ("number", "text", "neighbour"),
    [
        (443, "GET https://api.example/", "GET https://other.example/"),
        (8443, "GET https://api.example:8443/", "GET https://other.example:8443/"),
        (6380, "TLS api.example:6380", "TLS other.example:6380"),
    ],
)
def test_tls_is_told_apart_by_server_name(
    operated: OperatedMesh, mesh: Mesh, protocol: str, number: int, text: str, neighbour: str
) -> None:
    mesh.expect(CHECKOUT, text, BLOCKED)
    port = {"number": number, "protocol": protocol}

    operated.apply(build_policy("tls", build_destination("api.example", ports=(port,))))

    answer = mesh.expect(CHECKOUT, text, DIRECT).answer
    assert answer is not None
    assert (answer.sni, answer.port) == ("api.example", number)
    mesh.settle()
    mesh.expect(CHECKOUT, neighbour, BLOCKED)
    mesh.expect(APP, text, BLOCKED)


def test_the_smallest_policy_means_tls_on_443(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("smallest", {"hosts": ["api.example"]}))

    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET http://api.example/", BLOCKED)


@pytest.mark.parametrize(
    ("protocol", "number", "scheme"),
    [
        ("TCP", 5432, "TCP"),
        ("MONGO", 27017, "TCP"),
        ("REDIS", 6379, "TCP"),
        ("MYSQL", 3306, "GREETING"),
    ],
)
def test_tcp_is_told_apart_by_address(
    operated: OperatedMesh, mesh: Mesh, protocol: str, number: int, scheme: str
) -> None:
    text, neighbour = f"{scheme} db.example:{number}", f"{scheme} other.example:{number}"
    mesh.expect(CHECKOUT, text, BLOCKED)
    destination = build_destination(
        "db.example",
        ports=({"number": number, "protocol": protocol},),
        addresses=[mesh.outside.address_of("db.example")],
    )

    operated.apply(build_policy("database", destination))

    mesh.expect(CHECKOUT, text, DIRECT)
    mesh.expect(BATCH, text, DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, neighbour, BLOCKED)
    mesh.expect(CHECKOUT, "TCP db.example:9000", BLOCKED)
    mesh.expect(APP, text, BLOCKED)


def test_with_dns_capture_each_name_leads_to_its_own_database(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    hosts = ("api.example", "db.example")

    operated.apply(build_policy("databases", build_destination(*hosts, ports=(TCP,))))

    for host in hosts:
        mesh.expect(BATCH, f"TCP {host}:5432", DIRECT)
    mesh.settle()
    mesh.expect(BATCH, "TCP other.example:5432", BLOCKED)
    mesh.expect(APP, "TCP db.example:5432", BLOCKED)


def test_dns_capture_must_hold_for_every_proxy_of_the_namespace(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    """Why the setting is the platform's: a proxy without it takes the whole port for the host."""
    operated.apply(build_policy("database", build_destination("db.example", ports=(TCP,))))

    mesh.expect(CHECKOUT, "TCP other.example:5432", DIRECT, server="db.example")


def test_without_dns_capture_the_refusal_names_three_fixes(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    policy = build_policy(
        "database", build_destination("db.example", ports=(TCP,)), {"hosts": ["api.example"]}
    )
    with operated.with_settings(EGRESS_DNS_CAPTURE="off"):
        mesh.apply(policy)
        accepted = operated.wait_condition("database", "Accepted", "False", "AddressesNeeded")
        operated.wait_condition("database", "Ready", "False", "AddressesNeeded")

        for fix in ("write addresses", "protocol: TLS", "dns-capture"):
            assert fix in accepted["message"]
        assert operated.versions() == {}
        mesh.settle()
        mesh.expect(BATCH, "TCP db.example:5432", BLOCKED)
        mesh.expect(CHECKOUT, "GET https://api.example/", BLOCKED)


@pytest.mark.parametrize(
    ("protocol", "number", "scheme"),
    [("TCP", 9000, "TCP"), ("TLS", 6380, "TLS"), ("HTTPS", 8443, "GET")],
)
def test_a_range_is_reached_as_dialled(
    operated: OperatedMesh, mesh: Mesh, protocol: str, number: int, scheme: str
) -> None:
    mesh.outside.add("inside.range.example", address="198.51.100.130")
    mesh.outside.add("beside.range.example", address="198.51.100.145")
    inside, beside = (
        f"GET https://{host}:{number}/" if scheme == "GET" else f"{scheme} {host}:{number}"
        for host in ("inside.range.example", "beside.range.example")
    )
    mesh.expect(CHECKOUT, inside, BLOCKED)
    port = {"number": number, "protocol": protocol}

    operated.apply(
        build_policy("range", build_destination(ports=(port,), addresses=["198.51.100.128/28"]))
    )

    mesh.expect(CHECKOUT, inside, DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, beside, BLOCKED)
    mesh.expect(CHECKOUT, "TCP inside.range.example:27017", BLOCKED)
    mesh.expect(APP, inside, BLOCKED)


def test_a_range_on_443_leaves_hosts_on_443_alone(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.add("inside.range.example", address="198.51.100.130")
    operated.apply(build_policy("host", build_destination("api.example", ports=(TLS,))))
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)

    operated.apply(
        build_policy("range", build_destination(ports=(TLS,), addresses=["198.51.100.128/28"]))
    )

    mesh.expect(CHECKOUT, "GET https://inside.range.example/", DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)
    mesh.expect(CHECKOUT, "GET https://other.example/", BLOCKED)
    forged = call("GET https://api.example/", address=mesh.outside.address_of("other.example"))
    mesh.expect(CHECKOUT, forged, DIRECT, server="api.example")


def test_a_single_address_needs_no_host(operated: OperatedMesh, mesh: Mesh) -> None:
    address = mesh.outside.address_of("db.example")

    operated.apply(build_policy("address", build_destination(ports=(TCP,), addresses=[address])))

    mesh.expect(CHECKOUT, "TCP db.example:5432", DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, "TCP other.example:5432", BLOCKED)
