"""A gateway with a tenant whose permission is withdrawn by label."""

from collections.abc import Generator
from dataclasses import dataclass

from testbed.controlplane import ControlPlane

from .gateway import Gateway, apply_namespace, serving_gateway
from .standing import find_permissions
from .state import let_in
from .tenant import Tenant
from .violation import require_soon

GONE_S = 15.0
"""For an operator to try again."""


@dataclass(frozen=True)
class Served:
    """A gateway with a tenant whose policies are applied."""

    gateway: Gateway
    tenant: Tenant

    def has_permissions(self) -> bool:
        client, place = self.tenant.client, self.gateway.namespace
        return bool(find_permissions(client, place, self.tenant.namespace))

    def withdraw(self) -> None:
        """Take the label off the namespace."""
        apply_namespace(self.tenant.client, self.tenant.namespace)

    def wait_withdrawn(self) -> None:
        require_soon(lambda: not self.has_permissions(), GONE_S, "permissions are still there")


def serve(plane: ControlPlane, namespace: str) -> Generator[Served, None, None]:
    """Give a gateway with a tenant; it is deleted afterwards."""
    client = plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        tenant = let_in(client, namespace, gateway)
        yield Served(gateway, tenant)
