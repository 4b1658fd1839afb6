"""Whatever is taken away between a workload and the outside, nothing gets out directly."""

import pytest

from mesh.gateway.tenant import SHARED, build_egress_gateway, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TLS, build_destination
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, REACHED, UNAVAILABLE_503, VIA_GATEWAY

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
PLAIN, ENCRYPTED = f"GET http://{HOST}/", f"GET https://{OTHER}/"
NETWORKING = "networking.istio.io/v1"
POLICY = "shop/web"


@pytest.fixture
def policy(operated: OperatedMesh, mesh: Mesh, shared: object) -> str:
    """Let `shop` reach one host by HTTP and one by TLS, through the gateway."""
    assert shared
    operated.apply(
        build_gateway_policy(
            POLICY,
            build_destination(HOST, ports=(HTTP,)),
            build_destination(OTHER, ports=(TLS,)),
        )
    )
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)
    return POLICY


def expect_closed(mesh: Mesh) -> None:
    """HTTP gets 503 from a proxy, everything else is reset."""
    mesh.expect(CHECKOUT, PLAIN, UNAVAILABLE_503)
    mesh.expect(CHECKOUT, ENCRYPTED, BLOCKED)


def wait_reason(operated: OperatedMesh, name: str, reason: str) -> None:
    operated.wait_condition(name, "Ready", "False", reason)


def test_the_namespace_is_not_selected_any_more(
    operated: OperatedMesh, mesh: Mesh, policy: str
) -> None:
    mesh.label("shop", {"egress": "none"})
    wait_reason(operated, policy, "NamespaceNotAllowed")
    expect_closed(mesh)
    mesh.label("shop", {"egress": SHARED})
    operated.wait_ready(policy)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)


def test_the_egress_gateway_is_deleted(
    operated: OperatedMesh, mesh: Mesh, policy: str, gateway: Gateway
) -> None:
    mesh.delete(build_egress_gateway(gateway))
    wait_reason(operated, policy, "GatewayNotFound")
    wait_gone(mesh, "Gateway")
    mesh.expect(CHECKOUT, PLAIN, UNAVAILABLE_503)
    # TLS has a way of its own to the gateway, which the policy owns.
    assert mesh.request(CHECKOUT, ENCRYPTED).verdict is not DIRECT
    mesh.apply(build_egress_gateway(gateway))
    operated.wait_ready(policy)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)


def test_the_last_pod_of_the_gateway_goes(
    operated: OperatedMesh, mesh: Mesh, policy: str, gateway: Gateway
) -> None:
    (member,) = gateway.members
    gateway.remove(member)
    try:
        wait_reason(operated, policy, "GatewayNotReady")
        expect_closed(mesh)
    finally:
        gateway.add()
    operated.wait_ready(policy)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)


@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "Gateway"])
def test_objects_are_deleted_while_no_operator_runs(
    operated: OperatedMesh, mesh: Mesh, policy: str, kind: str
) -> None:
    with operated.without_operator():
        for item in operated.client.list_objects(NETWORKING, kind, "shop"):
            operated.client.delete(NETWORKING, kind, item["metadata"]["name"], "shop")
        expect_not_reached(mesh)
    operated.wait_ready(policy)
    mesh.expect(CHECKOUT, PLAIN, VIA_GATEWAY)
    mesh.expect(CHECKOUT, ENCRYPTED, VIA_GATEWAY)


def wait_gone(mesh: Mesh, kind: str) -> None:
    """Wait for the garbage collector, which learns of new kinds every 30 s."""
    client = mesh.control_plane.admin
    shared = "shared-h"

    def look() -> bool:
        found = client.list_objects(NETWORKING, kind, "shop")
        return not [item for item in found if item["metadata"]["name"].startswith(shared)]

    wait_until(look, 60.0, f"the tenant's {kind} goes")


def expect_not_reached(mesh: Mesh) -> None:
    mesh.settle()
    for text in (PLAIN, ENCRYPTED):
        outcome = mesh.request(CHECKOUT, text)
        assert outcome.verdict not in REACHED, (text, outcome)
