"""The mesh's configuration hides ServiceEntries and Services: what is said of it is so."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from mesh.gateway.tenant import SHARED, build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TLS, build_destination, build_policy
from testbed.client import Object
from testbed.gateway import EGRESS
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, UNAVAILABLE_503, VIA_GATEWAY

pytestmark = pytest.mark.mesh

NEAR, FAR = "api.example", "other.example"
CAPPED = {"serviceEntryVisibility": {"defaultVisibility": "NAMESPACE", "applyToSidecars": True}}
HIDDEN = {"serviceEntryVisibility": {"defaultVisibility": "NONE", "applyToSidecars": True}}
PRIVATE = {
    f"default{kind}ExportTo": ["."] for kind in ("Service", "VirtualService", "DestinationRule")
}


@contextmanager
def configured(operated: OperatedMesh, config: Mapping[str, object]) -> Iterator[None]:
    """Let istiod run with this for a while, and an operator that has read so."""
    istiod = operated.mesh.istiod
    before = istiod.option.mesh
    istiod.restart(mesh=config)
    try:
        with operated.mesh_config(**config):
            yield
    finally:
        istiod.restart(mesh=before)


def annotate(operated: OperatedMesh, service: Object, value: str | None) -> None:
    annotations = {"networking.istio.io/exportTo": value}
    operated.client.merge_patch(service, {"metadata": {"annotations": annotations}})


@pytest.fixture
def policies(operated: OperatedMesh, shared: object) -> None:
    """Open one host directly and one through the gateway."""
    del shared
    operated.apply(build_policy("near", build_destination(NEAR, ports=(HTTP, TLS))))
    operated.apply(build_gateway_policy("far", build_destination(FAR, ports=(HTTP, TLS))))


@pytest.mark.usefixtures("policies")
def test_a_capped_visibility_keeps_the_gateway_from_knowing_hosts(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    mesh.expect(CHECKOUT, f"GET http://{FAR}/", VIA_GATEWAY)
    with configured(operated, CAPPED):
        operated.wait_condition("far", "Ready", "False", "Hidden")
        operated.wait_ready("near")
        mesh.expect(CHECKOUT, f"GET http://{FAR}/", UNAVAILABLE_503)
        mesh.expect(CHECKOUT, f"GET https://{FAR}/", BLOCKED)
        mesh.expect(CHECKOUT, f"GET http://{NEAR}/", DIRECT)
        mesh.expect(CHECKOUT, f"GET https://{NEAR}/", DIRECT)
    operated.wait_ready("far")
    mesh.expect(CHECKOUT, f"GET http://{FAR}/", VIA_GATEWAY)


@pytest.mark.usefixtures("policies")
def test_a_visibility_of_none_hides_hosts_from_sidecars(operated: OperatedMesh, mesh: Mesh) -> None:
    with configured(operated, HIDDEN):
        operated.wait_condition("near", "Ready", "False", "Hidden")
        operated.wait_condition("far", "Ready", "False", "Hidden")
        for host in (NEAR, FAR):
            mesh.expect(CHECKOUT, f"GET https://{host}/", BLOCKED)
    operated.wait_ready("near")


@pytest.mark.usefixtures("policies")
def test_private_defaults_hide_the_service_of_the_gateway(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    """What the operator writes says itself who sees it; the Service does by an annotation."""
    with configured(operated, PRIVATE):
        operated.wait_gateway(SHARED, "Ready", "False", words="is shown to its own namespace alone")
        mesh.expect(CHECKOUT, f"GET http://{NEAR}/", DIRECT)
        mesh.expect(CHECKOUT, f"GET http://{FAR}/", UNAVAILABLE_503)
        service = operated.client.get("v1", "Service", EGRESS.name, EGRESS.namespace)
        annotate(operated, service, "*")
        operated.wait_gateway(SHARED, "Ready", "True")
        mesh.expect(CHECKOUT, f"GET http://{FAR}/", VIA_GATEWAY)
        mesh.expect(CHECKOUT, f"GET https://{FAR}/", VIA_GATEWAY)
        annotate(operated, service, None)
