"""Wildcard hosts, directly: what they reach, and what a client cannot choose with them."""

import ssl
from pathlib import Path

import pytest

from egress_operator.istio.name import build_behind_name, build_host_name, build_private_host
from mesh.traffic.http2_server import Http2Server
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    APP,
    BATCH,
    CHECKOUT,
    HTTP,
    NAMESPACE,
    ROUTE,
    TLS,
    build_destination,
    build_policy,
)
from mesh.traffic.stream import Stream
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    TIMEOUT_504,
    UNAVAILABLE_503,
    Verdict,
    call,
)

pytestmark = pytest.mark.mesh

WILDCARD = "*.wild.example"
ONE, OTHER, DEEP = "one.wild.example", "other.wild.example", "a.deep.wild.example"
THIEF = "thief.example"
NAMES = (ONE, OTHER, DEEP)


@pytest.fixture(autouse=True)
def _hosts(mesh: Mesh) -> None:
    for host in (*NAMES, THIEF, "wild.example"):
        mesh.outside.add(host)


@pytest.fixture(autouse=True)
def _undeclared(_hosts: None, operated: OperatedMesh) -> None:
    """Without a policy none of this goes anywhere."""
    operated.mesh.expect(CHECKOUT, f"GET http://{ONE}/", BLOCKED)
    operated.mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)


def apply(operated: OperatedMesh, ports: tuple[Object, ...] = (HTTP,), **settings: object) -> None:
    """Allow the wildcard."""
    operated.apply(build_policy("wild", build_destination(WILDCARD, ports=ports, **settings)))


def build_originating(host: str) -> Object:
    """Build a destination to which the mesh opens TLS."""
    return {"hosts": [host], "originateTLS": {}}


def ask(mesh: Mesh, text: str, host: str) -> Verdict:
    """Send a request with another Host than that which was dialled."""
    return mesh.request(CHECKOUT, call(text, headers={"Host": host})).verdict


def test_tls_reaches_every_name_and_no_other(operated: OperatedMesh, mesh: Mesh) -> None:
    apply(operated, ports=(TLS,))

    for host in NAMES:
        for workload in (CHECKOUT, BATCH):
            outcome = mesh.expect(workload, f"GET https://{host}/", DIRECT)
            assert outcome.answer is not None
            assert outcome.answer.sni == host
    for host in ("wild.example", THIEF):
        mesh.expect(CHECKOUT, f"GET https://{host}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET https://{ONE}:8443/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", BLOCKED)
    mesh.expect(APP, f"GET https://{ONE}/", BLOCKED)


def test_tls_goes_where_the_name_is_whatever_was_dialled(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    apply(operated, ports=(TLS,))
    thief = mesh.outside.address_of(THIEF)

    mesh.expect(CHECKOUT, call(f"GET https://{ONE}/", address=thief), DIRECT, server=ONE)
    forged = call(f"TLS {ONE}:443", server_name=THIEF)
    mesh.expect(CHECKOUT, forged, BLOCKED)


def test_for_older_proxies_tls_goes_where_the_client_has_dialled(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    thief = mesh.outside.address_of(THIEF)
    with operated.with_settings(EGRESS_ISTIO_VERSION="1.29"):
        apply(operated, ports=(TLS,))

        for host in NAMES:
            mesh.expect(CHECKOUT, f"GET https://{host}/", DIRECT)
        mesh.expect(APP, f"GET https://{ONE}/", BLOCKED)
        mesh.expect(CHECKOUT, f"GET http://{ONE}/", BLOCKED)
        mesh.expect(CHECKOUT, call(f"TLS {ONE}:443", server_name=THIEF), BLOCKED)
        # What it cannot check, as the docs tell: the name and the address belong together.
        forged = call(f"GET https://{ONE}/", address=thief)
        mesh.expect(CHECKOUT, forged, DIRECT, server=THIEF)

    operated.wait_idle()
    mesh.expect(CHECKOUT, forged, DIRECT, server=ONE)


def test_http_reaches_every_name_and_no_other_port(operated: OperatedMesh, mesh: Mesh) -> None:
    apply(operated, ports=(HTTP,))

    for host in NAMES:
        mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
    mesh.expect(BATCH, f"GET http://{ONE}/", DIRECT)
    mesh.expect(APP, f"GET http://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{THIEF}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}:8080/", BLOCKED)
    assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:80") is DIRECT
    assert ask(mesh, f"GET http://{ONE}/", ONE.upper()) is DIRECT
    for port in ("8080", "0080", "443", "", "5432"):
        assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:{port}") is DENIED_403, port
    for host in (
        f"{ONE}:80:80",
        f"{THIEF}@{ONE}",
        f"{THIEF}#.{ONE}",
        f"[{ONE}]",
        f"{ONE}@{THIEF}",
        f"{THIEF}%00{ONE}",
    ):
        assert ask(mesh, f"GET http://{ONE}/", host) is not DIRECT, host
    assert mesh.outside.count(THIEF) == 0


def test_http_goes_where_the_name_is_whatever_was_dialled(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    apply(operated, ports=(HTTP,))
    thief = mesh.outside.address_of(THIEF)

    mesh.expect(CHECKOUT, call(f"GET http://{ONE}/", address=thief), DIRECT, server=ONE)
    assert ask(mesh, f"GET http://{ONE}/", THIEF) is BLOCKED


def test_the_private_name_is_no_way_round(operated: OperatedMesh, mesh: Mesh) -> None:
    apply(operated, ports=(HTTP,))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    name = build_behind_name(build_host_name(WILDCARD), 80, NAMESPACE, "direct", "http")
    private = f"x.{build_private_host(name, NAMESPACE)}"

    for host in (private, f"{private}:8080"):
        assert ask(mesh, f"GET http://{ONE}/", host) is DENIED_403


def test_tls_of_the_mesh_checks_each_name(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.outside.add("false.wild.example", certificate_for=THIEF)
    operated.apply(build_policy("wild", build_originating(WILDCARD)))

    for host in NAMES:
        outcome = mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
        assert outcome.answer is not None
        assert (outcome.answer.tls, outcome.answer.sni, outcome.answer.port) == (True, host, 443)
        assert outcome.answer.headers["host"] == host
    mesh.expect(CHECKOUT, "GET http://false.wild.example/", UNAVAILABLE_503)
    # The certificate is for another spelling.
    assert ask(mesh, f"GET http://{ONE}/", ONE.upper()) is UNAVAILABLE_503
    for port in ("80", "8443"):
        assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:{port}") is DENIED_403


def test_http_and_tls_stand_together(operated: OperatedMesh, mesh: Mesh) -> None:
    apply(operated, ports=(HTTP, TLS))

    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", DIRECT)
    assert ask(mesh, f"GET http://{ONE}/", f"{ONE}:8080") is DENIED_403
    apply(operated, ports=(TLS,))
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", DIRECT)
    apply(operated, ports=(HTTP,))
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)


def test_only_chosen_workloads(operated: OperatedMesh, mesh: Mesh) -> None:
    policy = build_policy("wild", build_destination(WILDCARD))
    policy["spec"]["from"] = {"workloads": {"matchLabels": {"app": "checkout"}}}
    operated.apply(policy)

    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    mesh.expect(BATCH, f"GET http://{ONE}/", DENIED_403)


def test_settings_of_http(operated: OperatedMesh, mesh: Mesh) -> None:
    apply(
        operated,
        http={
            "timeout": "500ms",
            "allow": [{"methods": ["GET"]}],
            "headers": {"request": {"set": [{"name": "x-team", "value": "shop"}]}},
        },
    )

    outcome = mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    assert outcome.answer is not None
    assert outcome.answer.headers["x-team"] == "shop"
    mesh.expect(CHECKOUT, f"POST http://{ONE}/", DENIED_403)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/slow?seconds=3", TIMEOUT_504)


def test_a_host_below_goes_its_own_way(operated: OperatedMesh, mesh: Mesh) -> None:
    """It has TLS of the mesh, or another place, or settings; the wildcard has plain HTTP."""
    place = [{"name": "v1", "endpoints": [{"address": THIEF}]}]
    operated.apply(
        build_policy(
            "api",
            build_originating(ONE),
            build_destination("moved.wild.example", backends=place),
        )
    )
    apply(operated, ports=(HTTP, TLS))

    outcome = mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    assert outcome.answer is not None
    assert outcome.answer.tls
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", DIRECT)
    mesh.outside.add("moved.wild.example")
    mesh.expect(CHECKOUT, "GET http://moved.wild.example/", DIRECT, server=THIEF)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", DIRECT)
    operated.delete(build_policy("api"))
    outcome = mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    assert outcome.answer is not None
    assert not outcome.answer.tls


def test_the_narrowest_wildcard_counts(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("deep", build_originating("*.deep.wild.example")))
    apply(operated, ports=(HTTP, TLS))

    for host, is_tls in ((DEEP, True), (ONE, False)):
        outcome = mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
        assert outcome.answer is not None
        assert outcome.answer.tls is is_tls
        mesh.expect(CHECKOUT, f"GET https://{host}/", DIRECT)


def test_two_tenants_with_one_wildcard(operated: OperatedMesh, mesh: Mesh) -> None:
    """Each has its own settings; neither sees those of the other."""
    operated.apply(build_policy("wild", build_originating(WILDCARD)))
    operated.apply(build_policy("pay/wild", build_destination(WILDCARD, ports=(HTTP, TLS))))

    for workload, is_tls in ((CHECKOUT, True), (APP, False)):
        outcome = mesh.expect(workload, f"GET http://{ONE}/", DIRECT)
        assert outcome.answer is not None
        assert outcome.answer.tls is is_tls
    mesh.expect(APP, f"GET https://{ONE}/", DIRECT)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", BLOCKED)


def test_a_route_by_hand_for_tls_of_a_name_takes_that_of_all(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    """Why such a route of ours is a conflict, and one of others is told."""
    apply(operated, ports=(TLS,))
    operated.apply(build_policy("one", build_destination(ONE, ports=(TLS,))))
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", DIRECT)

    match = {"port": 443, "sniHosts": [ONE]}
    way = {"destination": {"host": ONE, "port": {"number": 443}}}
    mesh.apply(
        {
            "apiVersion": ROUTE[0],
            "kind": ROUTE[1],
            "metadata": {"name": "by-hand", "namespace": NAMESPACE},
            "spec": {
                "hosts": [ONE],
                "exportTo": ["."],
                "tls": [{"match": [match], "route": [way]}],
            },
        }
    )

    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", BLOCKED)
    mesh.expect(CHECKOUT, f"GET https://{ONE}/", DIRECT)


def test_names_are_looked_for_inside_first(operated: OperatedMesh, mesh: Mesh) -> None:
    """A limit: the proxy asks for the name as it stands, so the resolver completes it.

    Where TLS is spoken, the certificate of what is inside is for another name, as that of
    `false.wild.example` is in another test.
    """
    inside = mesh.outside.add("service.example")
    apply(operated, ports=(HTTP,))
    mesh.expect(BATCH, f"GET http://{OTHER}/", DIRECT)
    mesh.names.set("*.svc.cluster.local", inside)
    try:
        fresh = "fresh.wild.example"
        mesh.outside.add(fresh)
        mesh.expect(BATCH, f"GET http://{fresh}/", DIRECT, server="service.example")
    finally:
        mesh.names.remove("*.svc.cluster.local")


def test_a_host_below_loses_nothing_while_the_wildcard_comes_and_goes(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    """Nor does any of its requests go by the wildcard: that would lead to another server."""
    place = [{"name": "v1", "endpoints": [{"address": THIEF}]}]
    moved = "moved.wild.example"
    mesh.outside.add(moved)
    operated.apply(
        build_policy("api", build_destination(moved, backends=place), build_originating(ONE))
    )
    mesh.expect(CHECKOUT, f"GET http://{moved}/", DIRECT, server=THIEF)
    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    mesh.settle()
    mesh.outside.reset()
    with Stream(mesh, CHECKOUT, f"GET http://{moved}/", f"GET http://{ONE}/") as stream:
        stream.wait(20)
        for ports in ((HTTP,), (HTTP, TLS)):
            apply(operated, ports=ports)
            mesh.expect(CHECKOUT, f"GET http://{DEEP}/", DIRECT)
            stream.wait(20)
            operated.delete(build_policy("wild"))
            mesh.expect(CHECKOUT, f"GET http://{DEEP}/", BLOCKED)
            stream.wait(20)
    assert stream.lost == []
    assert mesh.outside.count(moved) == 0
    kinds = {item["kind"] for item in operated.children("shop/api")}
    assert kinds == {"ServiceEntry", "DestinationRule"}


POOL = {
    "maxConnections": 10,
    "connectTimeout": "3s",
    "tcpKeepalive": {"time": "60s"},
    "maxPendingRequests": 10,
}
TLS_POOL = {
    **POOL,
    "idleTimeout": "60s",
    "maxConnectionDuration": "1h",
    "maxRequestsPerConnection": 10,
}


@pytest.mark.parametrize("tls", [False, True])
def test_limits_of_connections(operated: OperatedMesh, mesh: Mesh, *, tls: bool) -> None:
    """Envoy takes these settings: it refuses some for names that nobody checks (EG240)."""
    destination = build_originating(WILDCARD) if tls else build_destination(WILDCARD)
    destination["traffic"] = {"connectionPool": TLS_POOL if tls else POOL}
    operated.apply(build_policy("wild", destination))

    mesh.expect(CHECKOUT, f"GET http://{ONE}/", DIRECT)
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", DIRECT)


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_http2_to_a_server_that_knows_nothing_else(
    operated: OperatedMesh, mesh: Mesh, tmp_path: Path, protocol: str
) -> None:
    host = "h2.wild.example"
    key, certificate = mesh.outside.issue_server(host).write(tmp_path, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    mesh.names.set(host, mesh.addresses.host)
    destination = build_originating(WILDCARD)
    destination["ports"] = [{"number": 80, "protocol": protocol, "targetPort": 443}]
    with Http2Server(host, mesh.addresses.host, port=443, context=context) as server:
        operated.apply(build_policy("wild", destination))

        mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
        assert server.requests > 0
        assert server.strangers == []
