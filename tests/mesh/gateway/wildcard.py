"""A wildcard through the gateway: the hosts below it, and an EgressGateway that lets it through."""

from mesh.gateway.tenant import SHARED, build_egress_gateway
from mesh.traffic.operated_mesh import OperatedMesh
from testbed.gateway import Gateway
from testbed.mesh import Mesh

WILDCARD = "*.wild.example"
ONE, OTHER, DEEP = "one.wild.example", "other.wild.example", "a.deep.wild.example"
THIEF = "thief.example"
NAMES = (ONE, OTHER, DEEP)


def add_hosts(mesh: Mesh) -> None:
    """Add a server for each host."""
    for host in (*NAMES, THIEF):
        mesh.outside.add(host)


def open_gateway(operated: OperatedMesh, mesh: Mesh, gateway: Gateway, wildcards: str) -> None:
    """Apply an EgressGateway with that value of `wildcards`, and wait until it serves."""
    mesh.apply(build_egress_gateway(gateway, wildcards=wildcards))
    operated.wait_gateway(SHARED, "Isolated", "True", "Isolated")
    operated.wait_gateway(SHARED, "Ready", "True")
