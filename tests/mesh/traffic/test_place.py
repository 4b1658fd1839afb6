"""Where a host really is: other ports, fixed endpoints, other names, machines of the mesh."""

from pathlib import Path

import pytest

from mesh.traffic.http2_server import Http2Server
from mesh.traffic.machine import Machine
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, CHECKOUT, HTTP, TCP, TLS, build_destination, build_policy
from testbed.client import Object
from testbed.expectation import wait_for_each
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, UNAVAILABLE_503

pytestmark = pytest.mark.mesh

TLS_HANDSHAKE = b"\x16\x03"


def build_backends(*endpoints: str) -> list[Object]:
    return [{"name": "real", "endpoints": [{"address": address} for address in endpoints]}]


def wait_for_servers(mesh: Mesh, text: str, expected: set[str]) -> None:
    """Ask until each of the servers, and nobody else, has answered."""

    def ask() -> str:
        outcome = mesh.request(CHECKOUT, text)
        return outcome.server if outcome.verdict is DIRECT else ""

    wait_for_each(expected, ask)


@pytest.mark.parametrize(
    ("port", "text"),
    [(HTTP, "GET http://api.example/"), (TLS, "TLS api.example:443")],
    ids=["http", "tls"],
)
def test_the_destination_may_listen_on_another_port(
    operated: OperatedMesh, mesh: Mesh, port: Object, text: str
) -> None:
    target = 8080 if port is HTTP else 6380
    port = {**port, "targetPort": target}

    operated.apply(build_policy("target", build_destination("api.example", ports=(port,))))

    answer = mesh.expect(CHECKOUT, text, DIRECT).answer
    assert answer is not None
    assert answer.port == target
    mesh.settle()
    mesh.expect(CHECKOUT, f"TCP api.example:{target}", BLOCKED)


def test_every_fixed_endpoint_is_used(operated: OperatedMesh, mesh: Mesh) -> None:
    servers = {"other.example", "db.example"}
    backends = build_backends(*(mesh.outside.address_of(server) for server in servers))

    operated.apply(build_policy("backends", build_destination("api.example", backends=backends)))

    mesh.expect(CHECKOUT, "GET http://api.example/", DIRECT, server="")
    mesh.settle()
    wait_for_servers(mesh, "GET http://api.example/", servers)
    mesh.expect(CHECKOUT, "GET http://other.example/", BLOCKED)


def test_endpoints_may_be_names(operated: OperatedMesh, mesh: Mesh) -> None:
    servers = {"other.example", "db.example"}
    destination = build_destination("api.example", backends=build_backends(*servers))

    operated.apply(build_policy("backends", destination))

    mesh.expect(CHECKOUT, "GET http://api.example/", DIRECT, server="")
    mesh.settle()
    wait_for_servers(mesh, "GET http://api.example/", servers)
    answer = mesh.request(CHECKOUT, "GET http://api.example/").answer
    assert answer is not None
    assert answer.headers["host"] == "api.example"
    mesh.expect(CHECKOUT, "GET http://other.example/", BLOCKED)
    mesh.expect(APP, "GET http://api.example/", BLOCKED)


def test_tls_goes_to_the_endpoints_too(operated: OperatedMesh, mesh: Mesh) -> None:
    backends = build_backends(mesh.outside.address_of("other.example"))
    destination = build_destination("api.example", ports=(TLS,), backends=backends)

    operated.apply(build_policy("backends", destination))

    answer = mesh.expect(
        CHECKOUT, "GET https://api.example/", DIRECT, server="other.example"
    ).answer
    assert answer is not None
    assert answer.sni == "api.example"


def test_addresses_are_dialled_and_endpoints_reached(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.names.set("virtual.example", "198.51.100.200")
    destination = build_destination(
        "virtual.example",
        ports=(TCP,),
        addresses=["198.51.100.200"],
        backends=build_backends(mesh.outside.address_of("db.example")),
    )

    operated.apply(build_policy("virtual", destination))

    mesh.expect(CHECKOUT, "TCP virtual.example:5432", DIRECT, server="db.example")
    mesh.settle()
    mesh.expect(CHECKOUT, "TCP db.example:5432", BLOCKED)


def test_a_machine_inside_the_mesh_is_reached(operated: OperatedMesh, mesh: Mesh) -> None:
    backends = build_backends(mesh.outside.address_of("api.example"))
    destination = build_destination("api.example", location="Internal", backends=backends)

    operated.apply(build_policy("vm", destination))

    mesh.expect(CHECKOUT, "GET http://api.example/", DIRECT)
    assert operated.entry("api.example")["spec"]["location"] == "MESH_INTERNAL"
    mesh.settle()
    mesh.expect(CHECKOUT, "GET http://other.example/", BLOCKED)


def test_a_machine_with_an_account_is_spoken_to_in_mutual_tls(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    mesh.names.set("vm.example", mesh.addresses.host)
    real = {"name": "vm", "endpoints": [{"address": "vm.example", "serviceAccount": "warehouse"}]}
    with Http2Server("vm.example", mesh.addresses.host) as server:
        port = {**HTTP, "targetPort": server.port}
        operated.apply(
            build_policy(
                "vm",
                build_destination(
                    "vm.example", ports=(port,), location="Internal", backends=[real]
                ),
            )
        )

        # This machine has no proxy that could answer.
        mesh.expect(CHECKOUT, "GET http://vm.example/", UNAVAILABLE_503)

        assert server.strangers
        assert all(begin.startswith(TLS_HANDSHAKE) for begin in server.strangers)


@pytest.mark.parametrize("port", [HTTP, TCP], ids=["http", "tcp"])
def test_a_machine_and_its_caller_prove_to_each_other_who_they_are(
    operated: OperatedMesh, mesh: Mesh, tmp_path: Path, port: Object
) -> None:
    """Without an account the same machine is spoken to in plain text, which it does not take."""
    address, dialled = mesh.addresses.host, "198.51.100.201"
    mesh.names.set("vm.example", address)
    mesh.names.set("store.example", dialled)
    text = "GET http://store.example/" if port is HTTP else f"TCP store.example:{port['number']}"
    refused = UNAVAILABLE_503 if port is HTTP else BLOCKED
    authority = mesh.istiod.load_authority()

    def apply(account: str) -> None:
        endpoint = {"address": "vm.example", **({"serviceAccount": account} if account else {})}
        destination = build_destination(
            "store.example",
            ports=({**port, "targetPort": machine.port},),
            addresses=[] if port is HTTP else [dialled],
            location="Internal",
            backends=[{"name": "vm", "endpoints": [endpoint]}],
        )
        operated.apply(build_policy("vm", destination))
        mesh.settle()

    with Machine("vm.example", address, "shop/warehouse", authority, tmp_path) as machine:
        apply("warehouse")
        answer = mesh.expect(CHECKOUT, text, DIRECT, server="vm.example").answer
        assert answer is not None
        assert answer.client == "spiffe://cluster.local/ns/shop/sa/checkout"
        apply("other")
        mesh.expect(CHECKOUT, text, refused)
        assert not machine.strangers
        apply("")
        mesh.expect(CHECKOUT, text, refused)
        assert machine.strangers
