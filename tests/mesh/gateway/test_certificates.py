"""Several client certificates for one host: one for each port that clients call."""

import pytest

from mesh.gateway.tenant import build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, build_destination
from testbed.gateway import Gateway, build_secret
from testbed.mesh import Mesh
from testbed.request import VIA_GATEWAY

pytestmark = pytest.mark.mesh

HOST, MUTUAL_PORT = "api.example", 9443
NAMES = {80: "payments", 8080: "statements"}


@pytest.mark.usefixtures("shared")
def test_each_port_of_a_host_has_its_own_client_certificate(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    authority = mesh.outside.ca_file.read_bytes()
    destinations = []
    for number, name in NAMES.items():
        pair = mesh.outside.issue_client(name)
        mesh.apply(build_secret(gateway.namespace, f"shop.{name}", pair, authority))
        port = {"number": number, "protocol": "HTTP", "targetPort": MUTUAL_PORT}
        tls = {"clientCertificateRef": {"name": name}}
        destinations.append(build_destination(HOST, ports=(port,), originateTLS=tls))

    operated.apply(build_gateway_policy("bank", *destinations))

    for number, name in NAMES.items():
        answer = mesh.expect(CHECKOUT, f"GET http://{HOST}:{number}/", VIA_GATEWAY).answer
        assert answer is not None
        assert (answer.client, answer.sni) == (name, HOST)
        assert answer.headers["host"] == f"{HOST}:{MUTUAL_PORT}"
