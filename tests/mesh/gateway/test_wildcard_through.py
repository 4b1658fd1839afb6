"""Wildcard hosts through a gateway: what they reach, and what nobody can choose."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.admission import STRICT, find_refusal
from mesh.gateway.guard import SERVICE, guard
from mesh.gateway.handmade import build_item
from mesh.gateway.tenant import (
    INNER_HEADERS,
    SHARED,
    build_egress_gateway,
    build_gateway_policy,
)
from mesh.gateway.wildcard import DEEP, NAMES, ONE, OTHER, THIEF, WILDCARD, add_hosts, open_gateway
from mesh.traffic.http2_server import Http2Server
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    APP,
    BATCH,
    CHECKOUT,
    NAMESPACE,
    build_destination,
    build_policy,
)
from mesh.traffic.stream import Load
from testbed.caller import Order
from testbed.client import Client, Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway, build_secret
from testbed.mesh import Mesh
from testbed.origin import Answer
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    NOT_FOUND_404,
    REACHED,
    TIMEOUT_504,
    UNAVAILABLE_503,
    VIA_GATEWAY,
    Verdict,
    call,
)

pytestmark = pytest.mark.mesh

SEALED = {"hosts": [WILDCARD], "originateTLS": {}}
OPEN = build_destination(WILDCARD)


@pytest.fixture(scope="module")
def tenant(mesh: Mesh) -> Iterator[Client]:
    """Give a client of a tenant's, with the admission policies in force."""
    with guard(mesh, STRICT) as client:
        yield client


@pytest.fixture(autouse=True)
def _hosts(mesh: Mesh) -> None:
    add_hosts(mesh)


@pytest.fixture
def wild(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, labelled: None, tenant: Client
) -> OperatedMesh:
    """Give an EgressGateway that lets wildcards through, for both tenants."""
    del labelled, tenant
    open_gateway(operated, mesh, gateway, "HTTP")
    return operated


def build_wild(destination: Object, name: str = "wild", source: Object | None = None) -> Object:
    """Build a policy that leads the wildcard through the gateway."""
    return build_gateway_policy(name, destination, source=source)


def read(mesh: Mesh, workload: str, text: str, verdict: Verdict = VIA_GATEWAY) -> Answer:
    """Send a request that is answered by a server."""
    answer = mesh.expect(workload, text, verdict).answer
    assert answer is not None
    return answer


def ask(mesh: Mesh, text: str, host: str, workload: str = CHECKOUT) -> Verdict:
    """Send a request with another Host than that which was dialled."""
    return mesh.request(workload, call(text, headers={"Host": host})).verdict


def find_behind(operated: OperatedMesh) -> str:
    """Return the name of what is behind the wildcard of `shop`."""
    names = [item["metadata"]["name"] for item in operated.children("shop/wild")]
    (name,) = (name.removesuffix("-c") for name in names if name.endswith("-c"))
    return str(name)


def test_it_needs_the_platform_team(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway, labelled: None, tenant: Client
) -> None:
    """Without the field there is no way; with it there is; without it again, there is none."""
    del labelled, tenant
    mesh.apply(build_egress_gateway(gateway))
    operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
    mesh.apply(build_wild(SEALED))
    operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotAllowed")
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", UNAVAILABLE_503)

    mesh.apply(build_egress_gateway(gateway, wildcards="HTTP"))
    operated.wait_ready("shop/wild")
    assert read(mesh, CHECKOUT, f"GET http://{ONE}/").tls

    mesh.apply(build_egress_gateway(gateway, wildcards="Disabled"))
    operated.wait_condition("shop/wild", "Ready", "False", "WildcardsNotAllowed")
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", UNAVAILABLE_503)
    assert not [
        item
        for item in operated.children("shop/wild")
        if item["kind"] in {"Gateway", "VirtualService", "DestinationRule"}
    ]


def test_tls_is_opened_to_every_name(wild: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.add("false.wild.example", certificate_for=THIEF)
    wild.apply(build_wild(SEALED))

    for host in NAMES:
        for workload in (CHECKOUT, BATCH):
            answer = read(mesh, workload, f"GET http://{host}/")
            assert (answer.tls, answer.sni, answer.port) == (True, host, 443)
            assert answer.headers["host"] == host
            assert INNER_HEADERS.isdisjoint(answer.headers)
    mesh.expect(CHECKOUT, "GET http://false.wild.example/", UNAVAILABLE_503)
    for text in (f"GET https://{ONE}/", f"GET http://{THIEF}/", f"GET http://{ONE}:8080/"):
        mesh.expect(CHECKOUT, text, BLOCKED)
    mesh.expect(APP, f"GET http://{ONE}/", BLOCKED)


def test_plain_text_goes_through_too(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(OPEN))

    for host in NAMES:
        answer = read(mesh, CHECKOUT, f"GET http://{host}/")
        assert (answer.tls, answer.port, answer.headers["host"]) == (False, 80, host)


@pytest.mark.parametrize(("destination", "own"), [(SEALED, 443), (OPEN, 80)])
def test_a_client_chooses_the_name_and_nothing_else(
    wild: OperatedMesh, mesh: Mesh, destination: Object, own: int
) -> None:
    wild.apply(build_wild(destination))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    thief = mesh.outside.address_of(THIEF)

    assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:{own}") is VIA_GATEWAY
    # The certificate is for another spelling.
    spelled = UNAVAILABLE_503 if own == 443 else VIA_GATEWAY
    assert ask(mesh, f"GET http://{ONE}/", ONE.upper()) is spelled
    for port in ("8080", "25", f"0{own}", "", str({80, 443}.difference({own}).pop())):
        assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:{port}") is DENIED_403, port
    for host in (
        THIEF,
        f"{ONE}:{own}:{own}",
        f"{THIEF}@{ONE}",
        f"{THIEF}#.{ONE}",
        f"[{ONE}]",
        f"{ONE}@{THIEF}",
        f"{THIEF}%00{ONE}",
    ):
        assert ask(mesh, f"GET http://{ONE}/", host) not in REACHED, host
    mesh.expect(CHECKOUT, call(f"GET http://{ONE}/", address=thief), VIA_GATEWAY, server=ONE)
    assert mesh.outside.count(THIEF) == 0


def test_the_gateway_itself_keeps_to_the_names(wild: OperatedMesh, mesh: Mesh) -> None:
    """A client that goes round its own proxy's routes, here by a route by hand, gains nothing."""
    wild.apply(build_wild(SEALED))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    way = {"host": SERVICE, "port": {"number": 443}, "subset": find_behind(wild)}
    entry = {
        "hosts": ["forged.example"],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    }
    hosts = (ONE, THIEF, f"{ONE}:8080", f"{ONE}:80", f"{find_behind(wild)}.x")
    rules = [
        {
            "match": [{"headers": {"x-host": {"exact": host}}}],
            "rewrite": {"authority": host},
            "route": [{"destination": way}],
        }
        for host in hosts
    ]
    route = {"hosts": ["forged.example"], "exportTo": ["."], "gateways": ["mesh"], "http": rules}
    mesh.apply(
        build_item("ServiceEntry", "forged", NAMESPACE, entry),
        build_item("VirtualService", "forged", NAMESPACE, route),
    )
    mesh.names.set("forged.example", mesh.outside.address_of(THIEF))

    def forge(host: str) -> Order:
        return call("GET http://forged.example/", headers={"x-host": host})

    mesh.expect(CHECKOUT, forge(ONE), VIA_GATEWAY, server=ONE)
    for host in hosts[1:]:
        mesh.expect(CHECKOUT, forge(host), NOT_FOUND_404)


def test_two_tenants_with_one_wildcard(wild: OperatedMesh, mesh: Mesh, gateway: Gateway) -> None:
    """Each has its own certificate and settings, and neither sees those of the other."""
    authority = mesh.outside.ca_file.read_bytes()
    pair = mesh.outside.issue_client("shop at the bank")
    mesh.apply(build_secret(gateway.namespace, "shop.bank", pair, authority))
    known = {"hosts": [WILDCARD], "originateTLS": {"clientCertificateRef": {"name": "bank"}}}
    wild.apply(build_wild(known))
    wild.apply(build_wild(OPEN, "pay/wild"))

    for host in NAMES:
        assert read(mesh, CHECKOUT, f"GET http://{host}/").tls
        assert not read(mesh, APP, f"GET http://{host}/").tls
    wild.delete(build_wild(OPEN, "pay/wild"))
    mesh.expect(APP, f"GET http://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)


def test_only_chosen_accounts_and_workloads(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(SEALED, source={"serviceAccounts": ["checkout"]}))
    assert read(mesh, CHECKOUT, f"GET http://{ONE}/").tls
    mesh.expect(BATCH, f"GET http://{ONE}/", UNAVAILABLE_503)
    mesh.expect(APP, f"GET http://{ONE}/", BLOCKED)

    wild.apply(build_wild(SEALED, source={"workloads": {"matchLabels": {"app": "batch"}}}))
    mesh.expect(BATCH, f"GET http://{ONE}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DENIED_403)


def test_settings_of_http(wild: OperatedMesh, mesh: Mesh) -> None:
    http: Object = {
        "timeout": "500ms",
        "retries": {"attempts": 1, "codes": [503]},
        "allow": [{"methods": ["GET"]}],
        "headers": {"request": {"set": [{"name": "x-team", "value": "shop"}]}},
        "rewrite": {"pathPrefix": "/base"},
    }
    pool = {"connectionPool": {"maxConnections": 10, "idleTimeout": "60s"}}
    wild.apply(build_wild({**SEALED, "http": http, "traffic": pool}))

    answer = read(mesh, CHECKOUT, f"GET http://{ONE}/x")
    assert (answer.headers["x-team"], answer.path) == ("shop", "/base/x")
    mesh.expect(CHECKOUT, f"POST http://{ONE}/", DENIED_403)
    del http["rewrite"]
    wild.apply(build_wild({**SEALED, "http": http}))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/slow?seconds=3", TIMEOUT_504)


def test_a_host_below_goes_its_own_way(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(SEALED))
    wild.apply(build_gateway_policy("one", build_destination(ONE)))
    wild.apply(build_policy("deep", build_destination("*.deep.wild.example")))

    assert not read(mesh, CHECKOUT, f"GET http://{ONE}/").tls
    assert not read(mesh, CHECKOUT, f"GET http://{DEEP}/", DIRECT).tls
    assert read(mesh, CHECKOUT, f"GET http://{OTHER}/").tls


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_http2_to_a_server_that_knows_nothing_else(
    wild: OperatedMesh, mesh: Mesh, tmp_path: Path, protocol: str
) -> None:
    host = "h2.wild.example"
    key, certificate = mesh.outside.issue_server(host).write(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    mesh.names.set(host, mesh.addresses.host)
    ports = [{"number": 80, "protocol": protocol, "targetPort": 443}]
    with Http2Server(host, mesh.addresses.host, port=443, context=context) as server:
        wild.apply(build_wild({**SEALED, "ports": ports}))

        def answers() -> bool:
            outcome = mesh.request(CHECKOUT, f"GET http://{host}/")
            assert outcome.status == 200, outcome
            return True

        wait_until(answers, 15, "the server does not answer")
        assert server.requests > 0
        assert server.strangers == []


def test_nothing_is_lost_while_the_way_changes(wild: OperatedMesh, mesh: Mesh) -> None:
    """Direct, through the gateway, with another setting, for an account, and back."""
    direct = build_policy("wild", SEALED)
    wild.apply(direct)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    mesh.settle()
    limited = {**SEALED, "http": {"allow": [{"methods": ["GET"]}]}}
    texts = [f"GET http://{ONE}/", f"GET http://{OTHER}/"]
    with Load(mesh, {CHECKOUT: texts}, fine=frozenset({DIRECT, VIA_GATEWAY})) as load:
        load.wait(20)
        for policy in (
            build_wild(SEALED),
            build_wild(limited),
            build_wild(limited, source={"serviceAccounts": ["checkout"]}),
            build_wild(OPEN),
            direct,
        ):
            whole = {"op": "replace", "path": "/spec", "value": policy["spec"]}
            wild.client.json_patch(wild.policy("shop/wild"), [whole])
            wild.wait_ready("shop/wild")
            load.wait(30)
    assert load.lost == []
    assert load.verdicts[VIA_GATEWAY] > 0
    wild.operator.wait_idle()
    kinds = {item["kind"] for item in wild.children("shop/wild")}
    assert kinds == {"ServiceEntry", "DestinationRule", "VirtualService"}


def test_what_is_taken_away_is_made_again(wild: OperatedMesh, mesh: Mesh) -> None:
    wild.apply(build_wild(SEALED))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    for item in wild.children("shop/wild"):
        metadata = item["metadata"]
        wild.client.delete(item["apiVersion"], item["kind"], metadata["name"], NAMESPACE)
    wild.operator.wait_idle()
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)


def test_a_tenant_cannot_come_to_the_socket(wild: OperatedMesh, mesh: Mesh, tenant: Client) -> None:
    wild.apply(build_wild(SEALED))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", VIA_GATEWAY)
    behind = find_behind(wild)
    socket = f"unix://@{behind}"
    port = {"number": 0, "name": "http", "protocol": "HTTP"}
    server = {"bind": socket, "port": port, "hosts": ["*"]}
    entry = {
        "hosts": ["x.example"],
        "exportTo": ["istio-egress"],
        "resolution": "STATIC",
        "endpoints": [{"address": socket}],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
    }
    rule = {"route": [{"destination": {"host": THIEF}}]}
    for item in (
        build_item("Gateway", "x", "pay", {"selector": {"istio": "other"}, "servers": [server]}),
        build_item("ServiceEntry", "x", "pay", entry),
        build_item("ServiceEntry", "x", "pay", {**entry, "exportTo": ["."]}),
        build_item(
            "VirtualService",
            "x",
            "pay",
            {"hosts": ["*"], "gateways": [f"{behind}-in"], "http": [rule]},
        ),
    ):
        assert find_refusal(tenant, item), item
