"""Hosts behind a gateway below an open wildcard, which is no way round the gateway."""

import pytest

from mesh.gateway.tenant import SHARED, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, BATCH, CHECKOUT, HTTP, TLS, build_destination, build_policy
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DENIED_403, DIRECT, UNAVAILABLE_503, VIA_GATEWAY

pytestmark = [pytest.mark.mesh, pytest.mark.usefixtures("shared")]

WILDCARD, HOST, OTHER = "*.wild.example", "one.wild.example", "other.wild.example"


@pytest.fixture(autouse=True)
def _hosts(mesh: Mesh) -> None:
    for host in (HOST, OTHER):
        mesh.outside.add(host)


def build_wildcard(*ports: Object) -> Object:
    """Build a policy that opens the wildcard directly."""
    return build_policy("wild", build_destination(WILDCARD, ports=ports))


def build_host(*ports: Object, source: Object | None = None) -> Object:
    """Build a policy that leads the host through the gateway."""
    return build_gateway_policy("api", build_destination(HOST, ports=ports), source=source)


@pytest.mark.parametrize("first", ["wildcard", "host"])
def test_requests_of_the_host_go_through(operated: OperatedMesh, mesh: Mesh, first: str) -> None:
    policies = [build_wildcard(HTTP, TLS), build_host(HTTP)]
    for policy in policies if first == "wildcard" else reversed(policies):
        operated.apply(policy)

    for workload in (CHECKOUT, BATCH):
        mesh.expect(workload, f"GET http://{HOST}/", VIA_GATEWAY)
        mesh.expect(workload, f"GET http://{OTHER}/", DIRECT)
        mesh.expect(workload, f"GET https://{OTHER}/", DIRECT)
    mesh.expect(APP, f"GET http://{HOST}/", BLOCKED)
    operated.delete(build_host())
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT)


def test_a_host_for_some_accounts_is_for_them_alone(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_wildcard(HTTP))
    operated.apply(build_host(HTTP, source={"serviceAccounts": ["checkout"]}))

    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)
    mesh.expect(BATCH, f"GET http://{HOST}/", DENIED_403)
    mesh.expect(BATCH, f"GET http://{OTHER}/", DIRECT)


def test_a_host_whose_gateway_is_withdrawn_is_closed(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_wildcard(HTTP, TLS))
    operated.apply(build_host(HTTP))
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)

    mesh.label("shop", {"egress": None})
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", UNAVAILABLE_503)
    mesh.settle()
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", UNAVAILABLE_503)
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", DIRECT)
    mesh.label("shop", {"egress": SHARED})
    mesh.expect(CHECKOUT, f"GET http://{HOST}/", VIA_GATEWAY)


def test_tls_of_the_host_keeps_the_wildcard_out(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_host(TLS))
    mesh.expect(CHECKOUT, f"GET https://{HOST}/", VIA_GATEWAY)
    (written,) = mesh.apply(build_wildcard(HTTP, TLS))

    operated.wait_condition(f"shop/{written['metadata']['name']}", "Ready", "False", "Conflicted")
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", DIRECT)
    mesh.expect(CHECKOUT, f"GET https://{HOST}/", VIA_GATEWAY)
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", BLOCKED)
    operated.delete(build_host())
    operated.wait_ready("shop/wild")
    mesh.expect(CHECKOUT, f"GET https://{OTHER}/", DIRECT)


def test_a_host_on_hold_makes_the_wildcard_wait(operated: OperatedMesh, mesh: Mesh) -> None:
    """Without a route of its own its calls would go by the wildcard's, in plain text."""
    api = build_policy("api", {"hosts": [HOST], "originateTLS": {}})
    operated.apply(api)
    api["metadata"]["annotations"] = {"egress-operator.io/paused": "true"}
    mesh.apply(api)
    operated.wait_condition("shop/api", "Paused", "True")
    mesh.apply(build_wildcard(HTTP))

    operated.wait_condition("shop/wild", "Ready", "False", "Pending")
    mesh.settle()
    outcome = mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT)
    assert outcome.answer is not None
    assert outcome.answer.tls
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", BLOCKED)
    api["metadata"]["annotations"] = {"egress-operator.io/paused": "false"}
    mesh.apply(api)
    operated.wait_ready("shop/wild")
    mesh.expect(CHECKOUT, f"GET http://{OTHER}/", DIRECT)
    outcome = mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT)
    assert outcome.answer is not None
    assert outcome.answer.tls
