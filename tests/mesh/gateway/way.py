"""The way of a call to the outside: directly, or through the EgressGateway `shared`."""

from dataclasses import dataclass

from mesh.gateway.tenant import build_gateway_policy
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, build_policy
from testbed.client import Object
from testbed.gateway import Gateway
from testbed.member import Member
from testbed.mesh import Mesh
from testbed.request import DIRECT, VIA_GATEWAY, Verdict


@dataclass(frozen=True)
class Way:
    """Directly, or through the EgressGateway `shared`."""

    operated: OperatedMesh
    gateway: Gateway | None

    @property
    def mesh(self) -> Mesh:
        return self.operated.mesh

    @property
    def verdict(self) -> Verdict:
        return DIRECT if self.gateway is None else VIA_GATEWAY

    @property
    def proxy(self) -> Member:
        """Who dials the outside."""
        return self.mesh.members[CHECKOUT] if self.gateway is None else self.gateway.members[0]

    def apply(self, name: str, *destinations: Object, **spec: object) -> None:
        """Apply a policy with these destinations, and more fields, that goes this way."""
        build = build_policy if self.gateway is None else build_gateway_policy
        policy = build(name, *destinations)
        policy["spec"] |= spec
        self.operated.apply(policy)
