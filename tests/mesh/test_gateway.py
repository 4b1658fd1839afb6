"""A gateway in the testbed: pods that come and go, what servers see of it, and sizes.

The Istio objects are written by hand here; no operator takes part.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.handmade import Tenant, build_http, build_tenant
from mesh.traffic.policy import APP, CHECKOUT
from mesh.traffic.stream import Load
from testbed.expectation import wait_for_each
from testbed.gateway import EGRESS, SAME_PORTS, Gateway
from testbed.mesh import Mesh
from testbed.outside import GRPC_PORT, GRPCS_PORT
from testbed.request import BLOCKED, DIRECT, UNAVAILABLE_503, UNTRUSTED, VIA_GATEWAY, call
from testbed.workload import build_namespace

pytestmark = [pytest.mark.mesh, pytest.mark.long("testbed")]

SHOP = Tenant("shop")
HTTP = "GET http://api.example/"
ELSEWHERE = replace(EGRESS, namespace="other-egress", ports=SAME_PORTS)


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give a gateway with one pod."""
    with mesh.start_gateway() as gateway:
        yield gateway


def test_the_server_sees_the_gateway(mesh: Mesh, gateway: Gateway) -> None:
    mesh.apply(*build_tenant(SHOP), *build_http(SHOP, "api.example"))

    outcome = mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    mesh.settle()

    assert outcome.peer in gateway.addresses
    mesh.expect(APP, HTTP, BLOCKED)


def test_pods_come_and_go_and_no_request_is_lost(mesh: Mesh, gateway: Gateway) -> None:
    mesh.apply(*build_tenant(SHOP), *build_http(SHOP, "api.example"))
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    mesh.settle()
    (first,) = gateway.members

    with Load(mesh, {CHECKOUT: [HTTP]}, fine=frozenset({VIA_GATEWAY})) as load:
        load.wait(50)
        second = gateway.add()
        load.wait(100)
        gateway.remove(first)
        load.wait(100)

    assert load.lost == []
    assert mesh.request(CHECKOUT, HTTP).peer == second.address
    assert gateway.addresses == {second.address}


def test_a_lost_pod_is_missed(mesh: Mesh, gateway: Gateway) -> None:
    mesh.apply(*build_tenant(SHOP), *build_http(SHOP, "api.example"))
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)

    gateway.lose(gateway.members[0])
    mesh.expect(CHECKOUT, HTTP, UNAVAILABLE_503)

    pod = gateway.add()
    assert mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY).peer == pod.address


def test_a_second_gateway_stands_beside_the_first(mesh: Mesh, gateway: Gateway) -> None:
    mesh.apply(*build_tenant(SHOP), *build_http(SHOP, "api.example"))
    mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
    with mesh.start_gateway(ELSEWHERE, pods=2) as other:
        tenant = Tenant("pay", "other-h0123456789abcdef", other.template)
        mesh.apply(*build_tenant(tenant), *build_http(tenant, "api.example"))

        wait_for_each(other.addresses, lambda: mesh.expect(APP, HTTP, VIA_GATEWAY).peer)
        assert mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY).peer in gateway.addresses


def test_a_namespace_is_labelled_and_cleaned(mesh: Mesh) -> None:
    def read() -> object:
        found = mesh.control_plane.admin.get("v1", "Namespace", "shop")["metadata"]["labels"]
        return found.get("egress")

    mesh.label("shop", {"egress": "shared"})
    mesh.control_plane.admin.apply(build_namespace("shop"))
    assert read() == "shared"

    mesh.clean()
    assert read() is None


def test_grpc_is_told_apart_like_all_else(mesh: Mesh) -> None:
    mesh.outside.serve_grpc("api.example")
    grpc, chat = f"GRPC api.example:{GRPC_PORT}", f"GRPC-CHAT api.example:{GRPC_PORT}"
    secure = f"GRPCS api.example:{GRPCS_PORT}"
    mesh.expect(APP, grpc, BLOCKED)
    with mesh.outbound_mode("ALLOW_ANY"):
        order = call(grpc, headers={"X-Team": "pay"}, body="price of tea")
        answer = mesh.expect(APP, order, DIRECT).answer
        assert answer is not None
        assert (answer.line, answer.headers["x-team"]) == ("price of tea", "pay")
        chatted = mesh.expect(APP, call(chat, body="price of tea "), DIRECT).answer
        assert chatted is not None
        assert chatted.line == "price of tea 5"
        mesh.expect(APP, secure, DIRECT)
        mesh.expect(APP, call(secure, server_name="other.example"), UNTRUSTED)


def test_a_websocket_is_told_apart_like_all_else(mesh: Mesh) -> None:
    mesh.expect(APP, "WS api.example:80", BLOCKED, status=502)
    with mesh.outbound_mode("ALLOW_ANY"):
        for text in ("WS api.example:80", "WSS api.example:443"):
            answer = mesh.expect(APP, call(text, body="hello "), DIRECT, status=101).answer
            assert answer is not None
            assert answer.line == "hello 3"


def test_a_kept_line_is_one_connection(mesh: Mesh) -> None:
    with mesh.outbound_mode("ALLOW_ANY"):
        for text in ("TCP db.example:5432", "TLS db.example:6380"):
            kept = call(text, session=text)
            first, second = (mesh.expect(APP, kept, DIRECT, times=1).answer for _ in range(2))
            assert first is not None
            assert second is not None
            assert first.connection == second.connection


def test_who_has_no_certificate_does_not_get_in(mesh: Mesh) -> None:
    with mesh.outbound_mode("ALLOW_ANY"):
        mesh.expect(APP, "GET https://api.example:9443/", BLOCKED)


def test_what_was_pushed_and_what_it_takes_is_told(mesh: Mesh) -> None:
    template = replace(EGRESS, namespace="measured-egress")
    tenant = Tenant("shop", gateway=template)
    # One of its own: a proxy holds the listeners of other tests until it has drained them.
    with mesh.start_gateway(template) as gateway:
        (pod,) = gateway.members
        before, pushes = pod.measure(), mesh.istiod.pushes()

        mesh.apply(*build_tenant(tenant), *build_http(tenant, "api.example"))
        mesh.expect(CHECKOUT, HTTP, VIA_GATEWAY)
        mesh.settle()

        after = pod.measure()
    assert after.config_bytes > before.config_bytes
    assert after.config_bytes > after.listener_bytes > before.listener_bytes
    assert after.clusters == before.clusters + 1
    assert after.filter_chains == before.filter_chains + 1
    assert after.allocated_mib > 0
    assert mesh.istiod.pushes()["cds"] > pushes["cds"]
