"""What a namespace or a mesh may have besides: it works, or the status says why not."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.handmade import NETWORKING, SECURITY, build_item
from mesh.gateway.tenant import build_egress_gateway, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TLS, build_destination
from testbed.client import Object
from testbed.gateway import EGRESS, SAME_PORTS
from testbed.mesh import Mesh
from testbed.request import VIA_GATEWAY

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
CALLS = (f"GET http://{HOST}/", f"GET https://{OTHER}/")


def build_web() -> Object:
    return build_gateway_policy(
        "shop/web",
        build_destination(HOST, ports=(HTTP,)),
        build_destination(OTHER, ports=(TLS,)),
    )


def expect_through(mesh: Mesh) -> None:
    for text in CALLS:
        mesh.expect(CHECKOUT, text, VIA_GATEWAY)


@pytest.mark.usefixtures("shared")
def test_peers_must_speak_mutual_tls(operated: OperatedMesh, mesh: Mesh) -> None:
    for namespace in ("shop", EGRESS.namespace):
        spec = {"mtls": {"mode": "STRICT"}}
        item = build_item("PeerAuthentication", "strict", namespace, spec)
        mesh.apply({**item, "apiVersion": SECURITY})
    operated.apply(build_web())
    expect_through(mesh)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("hosts", [["./*", "istio-egress/*"], ["./*"]], ids=str)
def test_a_sidecar_resource_narrows_what_is_seen(
    operated: OperatedMesh, mesh: Mesh, hosts: list[str]
) -> None:
    """Istio adds what routes lead to by itself."""
    mesh.apply(build_item("Sidecar", "default", "shop", {"egress": [{"hosts": hosts}]}))
    operated.apply(build_web())
    expect_through(mesh)


@pytest.mark.usefixtures("shared")
def test_a_rule_by_hand_for_the_gateway_s_service(operated: OperatedMesh, mesh: Mesh) -> None:
    service = f"{EGRESS.name}.{EGRESS.namespace}.svc.cluster.local"
    mesh.apply(build_item("DestinationRule", "by-hand", "shop", {"host": service}))
    operated.apply(build_web())
    expect_through(mesh)
    rules = operated.client.list_objects(NETWORKING, "DestinationRule", "shop")
    ours = [item for item in rules if item["metadata"]["name"] != "by-hand"]
    assert all("exportTo" not in item["spec"] for item in ours)


def test_a_gateway_that_listens_on_the_service_s_own_port(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    template = replace(EGRESS, namespace="plain-egress", ports=SAME_PORTS)
    with mesh.start_gateway(template) as gateway:
        mesh.label("shop", {"egress": "shared"})
        mesh.apply(build_egress_gateway(gateway))
        operated.apply(build_web())
        expect_through(mesh)


@pytest.fixture
def scoped(operated: OperatedMesh, mesh: Mesh) -> Iterator[None]:
    """Let istiod honour only Gateways of the pods' own namespace, and tell the operator."""
    before = mesh.istiod.option.environment
    mesh.istiod.restart(environment={**before, "PILOT_SCOPE_GATEWAY_TO_NAMESPACE": "true"})
    with operated.with_settings(EGRESS_GATEWAY_OBJECTS="GatewayNamespace"):
        yield
    mesh.istiod.restart(environment=before)


@pytest.mark.usefixtures("scoped", "shared")
def test_an_istiod_that_looks_at_the_gateway_s_namespace_alone(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    operated.apply(build_web())
    expect_through(mesh)
    assert operated.client.list_objects(NETWORKING, "Gateway", "shop") == []
    operated.delete(build_web())
