"""The testbed itself: what it says must be true before a test may rely on it.

The Istio objects are written by hand here; no operator takes part.
"""

from collections.abc import Sequence

import pytest

from testbed.client import ApiError, Object
from testbed.deadline import wait_until
from testbed.istiod import Rejections
from testbed.mesh import Mesh
from testbed.request import (
    BLOCKED,
    DIRECT,
    TIMEOUT_504,
    UNAVAILABLE_503,
    UNREACHABLE,
    UNRESOLVED,
    UNTRUSTED,
    call,
)

pytestmark = [pytest.mark.mesh, pytest.mark.long("testbed")]

NETWORKING = "networking.istio.io/v1"
HTTP, TLS, TCP = (80, "HTTP"), (443, "TLS"), (5432, "TCP")


def build_service_entry(
    host: str, *ports: tuple[int, str], addresses: Sequence[str] = (), **spec: object
) -> Object:
    return {
        "apiVersion": NETWORKING,
        "kind": "ServiceEntry",
        "metadata": {"name": host.replace(".", "-"), "namespace": "shop"},
        "spec": {
            "hosts": [host],
            "exportTo": ["."],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC" if addresses else "DNS",
            "ports": [
                {"number": number, "name": f"port-{number}", "protocol": protocol}
                for number, protocol in ports
            ],
            **(
                {
                    "addresses": list(addresses),
                    "endpoints": [{"address": address} for address in addresses],
                }
                if addresses
                else {}
            ),
            **spec,
        },
    }


def build_virtual_service(host: str, **rule: object) -> Object:
    return {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": host.replace(".", "-"), "namespace": "shop"},
        "spec": {
            "hosts": [host],
            "exportTo": ["."],
            "http": [{"route": [{"destination": {"host": host}}], **rule}],
        },
    }


@pytest.mark.parametrize(
    ("port", "request_text", "neighbour"),
    [
        (HTTP, "GET http://api.example/", "GET http://other.example/"),
        (TLS, "GET https://api.example/", "GET https://other.example/"),
        ((6380, "TLS"), "TLS api.example:6380", "TLS other.example:6380"),
        (TCP, "TCP api.example:5432", "TCP other.example:5432"),
        ((3306, "TCP"), "GREETING api.example:3306", "GREETING other.example:3306"),
    ],
    ids=["http", "https", "tls", "tcp", "server-first"],
)
def test_blocked_then_direct_then_blocked(
    mesh: Mesh, port: tuple[int, str], request_text: str, neighbour: str
) -> None:
    addresses = [mesh.outside.address_of("api.example")] if port[1] == "TCP" else []
    entry = build_service_entry("api.example", port, addresses=addresses)
    mesh.expect("shop/checkout", request_text, BLOCKED)

    mesh.apply(entry)
    outcome = mesh.expect("shop/checkout", request_text, DIRECT)
    mesh.settle()

    assert outcome.peer == mesh.members["shop/checkout"].address
    mesh.expect("pay/app", request_text, BLOCKED)
    mesh.expect("shop/checkout", neighbour, BLOCKED)

    mesh.delete(entry)
    mesh.expect("shop/checkout", request_text, BLOCKED)


def test_what_is_cleaned_away_no_proxy_has_any_more(mesh: Mesh) -> None:
    mesh.apply(build_service_entry("api.example", HTTP))
    mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)

    mesh.clean()

    # istiod holds back what it has not pushed yet as long as more comes.
    mesh.apply(*(build_service_entry(f"{number}.example", HTTP) for number in range(5)))
    assert mesh.request("shop/checkout", "GET http://api.example/").verdict is BLOCKED


def test_unknown_host_on_an_http_port_gets_502(mesh: Mesh) -> None:
    mesh.expect("pay/app", "GET http://api.example/", BLOCKED, status=502)


def test_in_allow_any_every_host_answers_and_afterwards_none(mesh: Mesh) -> None:
    with mesh.outbound_mode("ALLOW_ANY"):
        mesh.expect("pay/app", "GET http://api.example/", DIRECT)
        mesh.expect("pay/app", "GET https://api.example/", DIRECT)
        mesh.expect("pay/app", "TCP db.example:5432", DIRECT)

    mesh.expect("pay/app", "GET http://api.example/", BLOCKED, status=502)
    mesh.expect("pay/app", "GET https://api.example/", BLOCKED)
    mesh.expect("pay/app", "TCP db.example:5432", BLOCKED)


def test_a_namespace_may_be_closed_in_an_open_mesh(mesh: Mesh) -> None:
    sidecar = {
        "apiVersion": NETWORKING,
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
    }
    mesh.apply(sidecar)
    with mesh.outbound_mode("ALLOW_ANY"):
        mesh.expect("shop/checkout", "GET http://api.example/", BLOCKED, status=502)
        mesh.expect("pay/app", "GET http://api.example/", DIRECT)


def test_the_proxy_ends_a_slow_request_with_504(mesh: Mesh) -> None:
    mesh.apply(
        build_service_entry("api.example", HTTP),
        build_virtual_service("api.example", timeout="0.5s"),
    )

    mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)
    mesh.expect("shop/checkout", "GET http://api.example/slow?seconds=3", TIMEOUT_504)


def test_retries_are_counted_at_the_server(mesh: Mesh) -> None:
    path = "/fail?times=2&status=503"
    mesh.apply(
        build_service_entry("api.example", HTTP),
        build_virtual_service("api.example", retries={"attempts": 2, "retryOn": "5xx"}),
    )
    mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)
    mesh.settle()

    outcome = mesh.request("shop/checkout", f"GET http://api.example{path}")

    assert (outcome.verdict, outcome.status) == (DIRECT, 200)
    assert mesh.outside.count("api.example", path) == 3


def test_without_retries_the_server_s_own_failure_comes_through(mesh: Mesh) -> None:
    path = "/fail?times=2&status=503"
    mesh.apply(
        build_service_entry("api.example", HTTP),
        build_virtual_service("api.example", retries={"attempts": 0}),
    )
    mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)
    mesh.settle()

    outcome = mesh.request("shop/checkout", f"GET http://api.example{path}")

    assert (outcome.verdict, outcome.status) == (DIRECT, 503)
    assert mesh.outside.count("api.example", path) == 1


def test_with_dns_capture_a_tcp_host_needs_no_address(mesh: Mesh) -> None:
    mesh.apply(build_service_entry("db.example", TCP))

    outcome = mesh.expect("shop/batch", "TCP db.example:5432", DIRECT)
    mesh.settle()

    assert outcome.peer == mesh.members["shop/batch"].address
    mesh.expect("shop/batch", "TCP other.example:5432", BLOCKED)


def test_an_entry_without_endpoints_is_unavailable(mesh: Mesh) -> None:
    mesh.apply(build_service_entry("api.example", HTTP, resolution="STATIC"))

    mesh.expect("shop/checkout", "GET http://api.example/", UNAVAILABLE_503)


def test_istio_s_webhook_judges_what_is_written(mesh: Mesh) -> None:
    entry = build_service_entry("api.example", HTTP, exportTo=[".", "."])

    with pytest.raises(ApiError, match="duplicate"):
        mesh.apply(entry)


def test_a_refusal_by_a_proxy_is_counted(mesh: Mesh) -> None:
    broken = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "broken", "namespace": "pay"},
        "spec": {
            "configPatches": [
                {
                    "applyTo": "CLUSTER",
                    "match": {"context": "SIDECAR_OUTBOUND"},
                    "patch": {
                        "operation": "ADD",
                        # A cluster that gives its own load balancer needs one of Envoy's.
                        "value": {"name": "broken", "lb_policy": "CLUSTER_PROVIDED"},
                    },
                }
            ]
        },
    }
    mesh.apply(broken)
    try:
        wait_until(lambda: mesh.istiod.rejections().xds > 0, 15, "nothing was refused")
    finally:
        mesh.delete(broken)
        mesh.settle()

    assert mesh.take_rejections().xds > 0
    assert mesh.take_rejections() == Rejections()


def test_a_call_may_dial_another_address_than_the_name_s(mesh: Mesh) -> None:
    other = mesh.outside.address_of("other.example")
    mesh.apply(build_service_entry("api.example", TLS, resolution="NONE"))
    forged = call("GET https://api.example/", address=other)

    mesh.expect("shop/checkout", "GET https://api.example/", DIRECT)
    mesh.expect("shop/checkout", forged, DIRECT, server="other.example")


def test_a_certificate_of_another_name_is_not_trusted(mesh: Mesh) -> None:
    mesh.outside.add("forged.example", certificate_for="somebody.example")
    mesh.apply(build_service_entry("forged.example", TLS))

    mesh.expect("shop/checkout", "GET https://forged.example/", UNTRUSTED)
    mesh.expect(
        "shop/checkout",
        call("GET https://forged.example/", server_name="api.example"),
        BLOCKED,
    )


def test_a_name_without_an_address_is_unresolved(mesh: Mesh) -> None:
    mesh.expect("pay/app", "GET http://nobody.example/", UNRESOLVED)


def test_the_client_s_own_limit_makes_it_unreachable(mesh: Mesh) -> None:
    mesh.apply(build_service_entry("api.example", HTTP))
    mesh.expect("shop/checkout", "GET http://api.example/", DIRECT)

    slow = call("GET http://api.example/slow?seconds=3", timeout_s=0.3)

    assert mesh.request("shop/checkout", slow).verdict is UNREACHABLE


def test_a_host_may_be_added_and_moved_while_the_mesh_is_up(mesh: Mesh) -> None:
    mesh.outside.add("late.example")
    mesh.apply(build_service_entry("late.example", HTTP))
    mesh.expect("shop/checkout", "GET http://late.example/", DIRECT)

    mesh.names.set("late.example", mesh.outside.address_of("other.example"))

    mesh.expect("shop/checkout", "GET http://late.example/", DIRECT, server="other.example")


def test_a_session_keeps_its_connection(mesh: Mesh) -> None:
    with mesh.outbound_mode("ALLOW_ANY"):
        kept = call("GET https://api.example/", session="kept")
        first, second = (mesh.request("pay/app", kept).answer for _ in range(2))
        third = mesh.request("pay/app", "GET https://api.example/").answer

    assert first
    assert second
    assert third
    assert first.connection == second.connection != third.connection


def test_headers_arrive_as_the_server_saw_them(mesh: Mesh) -> None:
    mesh.apply(build_service_entry("api.example", HTTP))
    order = call("POST http://api.example/orders", headers={"X-Team": "shop"}, body="hello")

    answer = mesh.expect("shop/checkout", order, DIRECT).answer

    assert answer is not None
    assert (answer.method, answer.path, answer.body) == ("POST", "/orders", "hello")
    assert answer.headers["x-team"] == "shop"


def test_a_failed_expectation_shows_what_was_seen(mesh: Mesh) -> None:
    with pytest.raises(AssertionError, match=r"(?s)shop/checkout: GET .*expected DIRECT.*BLOCKED"):
        mesh.expect("shop/checkout", "GET http://api.example/", DIRECT, within_s=0.3)


def test_an_unknown_workload_is_named(mesh: Mesh) -> None:
    with pytest.raises(LookupError, match="no workload 'shop/nobody'"):
        mesh.request("shop/nobody", "GET http://api.example/")
