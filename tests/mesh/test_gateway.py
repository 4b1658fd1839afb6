"""A gateway in the testbed: the server sees its address instead of the workload's.

The Istio objects are written by hand here; no operator takes part.
"""

import pytest

from testbed.mesh import Mesh
from testbed.request import BLOCKED, NOT_FOUND_404, VIA_GATEWAY
from testbed.workload import Role, Workload

pytestmark = pytest.mark.mesh

EGRESS = Workload(
    "istio-egress",
    "egress",
    labels={"istio": "egress"},
    role=Role.ROUTER,
    ports={"http": (80, 8080), "https": (443, 8443)},
)
OBJECTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example]
  exportTo: [".", istio-egress]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: istio-egress}
spec:
  selector: {istio: egress}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api-gateway, namespace: istio-egress}
spec:
  hosts: [api.example]
  gateways: [istio-egress/egress]
  exportTo: ["."]
  http: [{route: [{destination: {host: api.example, port: {number: 80}}}]}]
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example]
  exportTo: ["."]
  http:
  - route:
    - destination:
        host: egress.istio-egress.svc.cluster.local
        port: {number: 80}
"""


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> str:
    """Give the address of a gateway; it stays as long as the mesh."""
    return mesh.add(EGRESS).address


def test_the_server_sees_the_gateway(mesh: Mesh, gateway: str) -> None:
    mesh.apply(OBJECTS)
    mesh.settle()
    mesh.apply(ROUTE)

    outcome = mesh.expect("shop/checkout", "GET http://api.example/", VIA_GATEWAY)
    mesh.settle()

    assert outcome.peer == gateway
    mesh.expect("pay/app", "GET http://api.example/", BLOCKED)


def test_a_gateway_that_knows_no_host_says_404(mesh: Mesh, gateway: str) -> None:
    assert gateway
    entry, server, _ = OBJECTS.split("---")
    mesh.apply(entry, server, ROUTE)

    mesh.expect("shop/checkout", "GET http://api.example/", NOT_FOUND_404)
