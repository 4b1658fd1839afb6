"""Hosts and namespaces whose names agree in a short hash never share an object.

Each pair has the same first 38 characters, and the same 28 bits at the beginning of the SHA-256 of
what an object was once named after: the host; or the namespace, a dot and the gateway's label.
"""

import pytest

from testbed.client import Client, Object, read_owners
from testbed.controlplane import ControlPlane

from .gateway import apply_namespace, serving_gateway
from .standing import find_ours, find_permissions
from .state import PERMISSIONS, begin, wait_begun
from .tenant import Tenant
from .violation import require

HOSTS = tuple(f"{'a' * 38}-b{number}.example.com" for number in (7007, 12045))
NAMESPACES = tuple(f"{'t' * 39}-b{number}" for number in (2048, 25463))
GATEWAY = "collision"
"""The name of the gateway takes part in the hash."""


@pytest.mark.usefixtures("operator")
def test_two_hosts_of_a_namespace_have_objects_of_their_own(
    control_plane: ControlPlane, namespace: str
) -> None:
    tenant = Tenant(control_plane.admin, namespace)
    for number, host in enumerate(HOSTS):
        tenant.apply(f"policy-{number}", host)
    policies = []
    for number in range(len(HOSTS)):
        tenant.wait_condition(f"policy-{number}", "Ready", "True")
        policies.append(tenant.find(f"policy-{number}") or {})
    for host, policy in zip(HOSTS, policies, strict=True):
        found = [entry["spec"]["hosts"] for entry in find_owned(tenant.client, namespace, policy)]
        require(found == [[host]], f"the ServiceEntries of {host} are for {found}")


@pytest.mark.usefixtures("operator")
def test_two_namespaces_have_permissions_of_their_own(control_plane: ControlPlane) -> None:
    client = control_plane.admin
    tenants = [Tenant(client, name) for name in NAMESPACES]
    with serving_gateway(client, GATEWAY) as gateway:
        for tenant in tenants:
            apply_namespace(client, tenant.namespace, egress=GATEWAY)
            begin(tenant, gateway)
            wait_begun(tenant, gateway)
        for tenant in tenants:
            found = find_permissions(client, gateway.namespace, tenant.namespace)
            require(len(found) == PERMISSIONS, f"{tenant.namespace} has {found}")
    for tenant in tenants:
        client.delete("v1", "Namespace", tenant.namespace)


def find_owned(client: Client, namespace: str, policy: Object) -> list[Object]:
    """List the ServiceEntries that belong to a policy."""
    uid = policy["metadata"]["uid"]
    return [i for i in find_ours(client, namespace, "ServiceEntry") if uid in read_owners(i)]
