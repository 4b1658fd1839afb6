"""A Sidecar that imports one host of a policy imports all that leads there."""

import pytest

from mesh.gateway.way import Way
from mesh.traffic.policy import CHECKOUT, HTTP, TLS, build_destination
from plan.scene import build_listener, build_sidecar
from testbed.client import Object
from testbed.gateway import EGRESS
from testbed.mesh import Mesh
from testbed.request import BLOCKED, UNAVAILABLE_503
from testbed.workload import PATIENT, Workload

pytestmark = pytest.mark.mesh

HOST, OTHER = "api.example", "other.example"
CALLS = (f"GET http://{HOST}/", f"GET https://{HOST}/")
SERVICES = "./*.svc.cluster.local"
SERVICE = f"{EGRESS.name}.{EGRESS.namespace}.svc.cluster.local"


def start_workload(mesh: Mesh) -> str:
    """Start one more workload: a proxy that runs keeps what a Sidecar takes away of a Service."""
    name = f"fresh-{len(mesh.members)}"
    mesh.add(Workload("shop", name, proxy_config=PATIENT))
    return f"shop/{name}"


def test_the_way_through_a_gateway_comes_with_the_host(way: Way) -> None:
    way.apply("web", build_destination(HOST, OTHER, ports=(HTTP, TLS)))
    for text in CALLS:
        way.mesh.expect(CHECKOUT, text, way.verdict)

    way.mesh.apply(build_sidecar("default", SERVICES))
    way.operated.wait_condition("web", "Ready", "False", "Hidden")
    for text in CALLS:
        way.mesh.expect(CHECKOUT, text, BLOCKED)

    way.mesh.apply(build_sidecar("default", SERVICES, f"./{HOST}", f"./{OTHER}"))
    way.operated.wait_ready("web")
    for text in CALLS:
        way.mesh.expect(CHECKOUT, text, way.verdict)


@pytest.mark.parametrize(
    ("entries", "listeners", "is_known"),
    [
        ((SERVICES,), (), False),
        ((SERVICES, f"{EGRESS.namespace}/{SERVICE}"), (), True),
        ((), (build_listener(443, "TLS", "./*"),), True),
    ],
    ids=["services", "gateway", "port-of-the-gateway"],
)
def test_a_listener_of_a_port_needs_the_service_of_the_gateway(
    way: Way, entries: tuple[str, ...], listeners: tuple[Object, ...], *, is_known: bool
) -> None:
    way.apply("web", build_destination(HOST, ports=(HTTP,)))
    all_ = (build_listener(80, "HTTP", "./*"), *listeners)
    way.mesh.apply(build_sidecar("ports", *entries, listeners=all_))
    way.mesh.settle()
    workload = start_workload(way.mesh)

    if is_known or way.gateway is None:
        way.mesh.expect(workload, CALLS[0], way.verdict)
        way.operated.wait_ready("web")
        return
    way.mesh.expect(workload, CALLS[0], UNAVAILABLE_503)
    ready = way.operated.wait_condition("web", "Ready", "False", "Hidden")
    assert f'add "{EGRESS.namespace}/{SERVICE}" to an egress listener' in ready["message"]
