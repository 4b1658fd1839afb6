"""Policies through the shared gateway, with the operator at work: who gets where, and who not."""

import pytest

from mesh.gateway.tenant import build_gateway_policy
from mesh.traffic.http2_server import Http2Server
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
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.outside import GRPC_PORT
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    UNAVAILABLE_503,
    VIA_GATEWAY,
    call,
)

pytestmark = pytest.mark.mesh

HOST, OTHER, DB = "api.example", "other.example", "db.example"
CALLERS = {"shop": CHECKOUT, "pay": APP}
STRANGERS = {"shop": APP, "pay": CHECKOUT}


def build_shop(mesh: Mesh, name: str = "shop/web") -> Object:
    """Build a policy for one host of each kind of payload."""
    address = mesh.outside.address_of(DB)
    return build_gateway_policy(
        name,
        build_destination(HOST, ports=(HTTP,)),
        build_destination(OTHER, ports=(TLS,)),
        build_destination(DB, ports=(TCP,), addresses=[address]),
    )


CALLS = (f"GET http://{HOST}/", f"GET https://{OTHER}/", f"TCP {DB}:5432")


@pytest.mark.usefixtures("shared")
def test_every_payload_goes_through_and_only_while_allowed(
    operated: OperatedMesh, mesh: Mesh, namespace: str
) -> None:
    caller, stranger = CALLERS[namespace], STRANGERS[namespace]
    policy = build_shop(mesh, f"{namespace}/web")
    for text in CALLS:
        mesh.expect(caller, text, BLOCKED)

    operated.apply(policy)
    for text in CALLS:
        mesh.expect(caller, text, VIA_GATEWAY)
    mesh.settle()
    for text in CALLS:
        mesh.expect(stranger, text, BLOCKED)
    mesh.expect(caller, f"GET https://{HOST}/", BLOCKED)
    mesh.expect(caller, f"GET http://{OTHER}/", BLOCKED)
    mesh.expect(caller, f"TCP {OTHER}:5432", BLOCKED)

    operated.delete(policy)
    for text in CALLS:
        mesh.expect(caller, text, BLOCKED)


@pytest.mark.usefixtures("shared")
def test_two_tenants_share_hosts_ports_and_names(operated: OperatedMesh, mesh: Mesh) -> None:
    for namespace in CALLERS:
        operated.apply(build_shop(mesh, f"{namespace}/web"))
    for caller in CALLERS.values():
        for text in CALLS:
            mesh.expect(caller, text, VIA_GATEWAY)
    operated.delete(build_shop(mesh, "shop/web"))
    for text in CALLS:
        mesh.expect(CHECKOUT, text, BLOCKED)
        mesh.expect(APP, text, VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
def test_one_host_with_http_and_tls(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=(HTTP, TLS))))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{HOST}/", VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("port", "text"),
    [
        (TLS, f"GET https://{HOST}/"),
        ({"number": 8080, "protocol": "HTTP"}, f"GET http://{HOST}:8080/"),
    ],
    ids=["tls", "http"],
)
def test_one_port_direct_and_one_through_the_gateway(
    operated: OperatedMesh, mesh: Mesh, port: Object, text: str
) -> None:
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=(port,))))
    operated.apply(build_policy("shop/plain", build_destination(HOST, ports=(HTTP,))))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT)
    mesh.expect(CHECKOUT, text, VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
def test_two_ports_of_a_host_lead_to_two_ports_outside(operated: OperatedMesh, mesh: Mesh) -> None:
    targets = {80: 8080, 8080: 80, 8000: 80}
    ports = tuple(
        {"number": number, "protocol": "HTTP", "targetPort": target}
        for number, target in targets.items()
    )
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=ports)))
    for number, target in targets.items():
        answer = mesh.expect(CHECKOUT, f"GET http://{HOST}:{number}/", VIA_GATEWAY).answer
        assert answer is not None
        assert answer.port == target


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_a_server_that_speaks_http2_alone(
    operated: OperatedMesh, mesh: Mesh, protocol: str
) -> None:
    host = "http2.example"
    mesh.names.set(host, mesh.addresses.host)
    with Http2Server(host, mesh.addresses.host) as server:
        port = {"number": 80, "protocol": protocol, "targetPort": server.port}
        operated.apply(build_gateway_policy("shop/web", build_destination(host, ports=(port,))))
        mesh.expect(CHECKOUT, f"GET http://{host}/", VIA_GATEWAY)
        assert server.strangers == []


@pytest.mark.usefixtures("shared")
def test_other_kinds_of_http(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.serve_grpc(HOST)
    grpc = {"number": GRPC_PORT, "protocol": "GRPC"}
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=(HTTP, grpc))))
    mesh.expect(CHECKOUT, call(f"WS {HOST}:80", body="hello "), VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GRPC {HOST}:{GRPC_PORT}", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GRPC-CHAT {HOST}:{GRPC_PORT}", VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
def test_the_outside_learns_nothing_of_the_inside(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=(HTTP,))))
    answer = mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY).answer
    assert answer is not None
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers["host"] == HOST
    # Envoy adds it after the route; the gateway's ProxyConfig takes it away.
    headers.pop("x-envoy-original-host", None)
    shown = " ".join([*headers, *headers.values()])
    for secret in ("shop", "spiffe", "checkout", "egress.internal", mesh.members[CHECKOUT].address):
        assert secret not in shown


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("http", "status", "tries"),
    [
        ({}, 503, 1),
        ({}, 0, 1),
        ({"timeout": "5s"}, 503, 1),
        ({"retries": {"attempts": 2, "codes": [503]}}, 503, 3),
        ({"retries": {"attempts": 2, "codes": [503]}}, 0, 3),
    ],
    ids=["none", "none-reset", "timeout", "two", "two-reset"],
)
def test_retries_are_made_on_one_hop(
    operated: OperatedMesh, mesh: Mesh, http: Object, status: int, tries: int
) -> None:
    """A connection that breaks behind the gateway is a 503 before it."""
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, http=http)))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    mesh.settle()
    path = f"/fail?times=9&status={status}"
    mesh.request(CHECKOUT, f"GET http://{HOST}{path}")
    assert mesh.outside.count(HOST, path) == tries


@pytest.mark.usefixtures("shared")
def test_tls_is_opened_at_the_gateway(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(
        build_gateway_policy(
            "shop/web", build_destination(HOST, ports=(), originateTLS={"serverName": HOST})
        )
    )
    answer = mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY).answer
    assert answer is not None
    assert answer.sni == HOST
    wrong = {"originateTLS": {"subjectAltNames": ["wrong.example"]}}
    operated.apply(build_gateway_policy("shop/web", build_destination(HOST, ports=(), **wrong)))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", UNAVAILABLE_503)


@pytest.mark.usefixtures("shared")
def test_only_the_chosen_workloads(operated: OperatedMesh, mesh: Mesh) -> None:
    chosen = {"workloads": {"matchLabels": {"app": "checkout"}}}
    destination = build_destination(HOST, ports=(HTTP, TLS))
    operated.apply(build_gateway_policy("shop/web", destination, source=chosen))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{HOST}/", VIA_GATEWAY)
    mesh.expect(BATCH, f"GET http://{HOST}/", DENIED_403)
    mesh.expect(BATCH, f"GET https://{HOST}/", BLOCKED)


@pytest.mark.usefixtures("shared")
def test_only_the_named_service_accounts(operated: OperatedMesh, mesh: Mesh) -> None:
    named = {"serviceAccounts": ["checkout"]}
    destination = build_destination(HOST, ports=(HTTP, TLS))
    operated.apply(build_gateway_policy("shop/web", destination, source=named))
    operated.apply(build_gateway_policy("shop/open", build_destination(OTHER, ports=(HTTP,))))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{HOST}/", VIA_GATEWAY)
    mesh.expect(BATCH, f"GET http://{HOST}/", DENIED_403)
    mesh.expect(BATCH, f"GET https://{HOST}/", BLOCKED)
    mesh.expect(BATCH, f"GET http://{OTHER}/", VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
def test_only_the_chosen_workloads_directly(operated: OperatedMesh, mesh: Mesh) -> None:
    chosen = {"workloads": {"matchLabels": {"app": "checkout"}}}
    policy = build_policy(
        "shop/web",
        build_destination(HOST, ports=(HTTP, TLS)),
        build_destination(DB, ports=(TCP,), addresses=[mesh.outside.address_of(DB)]),
    )
    policy["spec"]["from"] = chosen
    operated.apply(policy)
    for text in (f"GET http://{HOST}/", f"GET https://{HOST}/", f"TCP {DB}:5432"):
        mesh.expect(CHECKOUT, text, DIRECT)
    mesh.expect(BATCH, f"GET http://{HOST}/", DENIED_403)
    mesh.expect(BATCH, f"GET https://{HOST}/", BLOCKED)
    mesh.expect(BATCH, f"TCP {DB}:5432", BLOCKED)


def test_the_gateway_has_a_pod(gateway: Gateway) -> None:
    assert len(gateway.addresses) == 1
