"""The admission policies in force in the mesh, and a tenant who may write Istio objects."""

from collections.abc import Iterator
from contextlib import contextmanager

from delivery.admission import (
    RESERVED,
    STRICT,
    TENANT_EXPORTS,
    TENANT_USER,
    build_policies,
    find_refusal,
    is_known,
    is_strictly_known,
    login,
)
from mesh.gateway.handmade import build_item
from testbed.client import Client, Object
from testbed.deadline import wait_until
from testbed.gateway import EGRESS
from testbed.identity import apply_identity
from testbed.mesh import Mesh

IN_FORCE_S = 20.0
RESERVED_HOST = "x.shared-h0000000000000000.shop.egress.internal"
SERVICE = f"{EGRESS.name}.{EGRESS.namespace}.svc.cluster.local"


@contextmanager
def guard(mesh: Mesh, level: str) -> Iterator[Client]:
    """Put the policies of a level in force; give a client of the tenant's.

    Those about gateways take effect a moment after their EgressGateway: `wait_gateway_known`.
    """
    plane = mesh.control_plane
    apply_identity(plane.admin, TENANT_USER)
    policies = build_policies(level)
    for item in policies:
        plane.admin.apply(item)
    try:
        client = login(plane, TENANT_USER)
        wait_refused(client, build_entry(RESERVED_HOST), RESERVED)
        if level == STRICT:
            wait_refused(client, build_entry("public.example", "*"), TENANT_EXPORTS)
        yield client
    finally:
        for item in reversed(policies):
            plane.admin.delete(item["apiVersion"], item["kind"], item["metadata"]["name"])
        passes = build_entry(RESERVED_HOST)
        wait_until(lambda: not find_refusal(client, passes), IN_FORCE_S, "nothing is guarded")


def wait_gateway_known(client: Client, level: str) -> None:
    """Wait until the policies about gateways refuse what they should."""
    is_there = is_strictly_known if level == STRICT else is_known
    wait_until(lambda: is_there(client), IN_FORCE_S, "the gateway is known")


def wait_refused(client: Client, item: Object, policy: str) -> None:
    """Wait until a policy refuses an object."""
    wait_until(
        lambda: f"'{policy}'" in find_refusal(client, item), IN_FORCE_S, f"{policy} is in force"
    )


def build_entry(host: str, export: str = ".") -> Object:
    """Build a ServiceEntry of the tenant's."""
    spec = {
        "hosts": [host],
        "exportTo": [export],
        "resolution": "DNS",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
    }
    return build_item("ServiceEntry", "refused", "pay", spec)
