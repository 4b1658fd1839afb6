"""An EgressGateway that changes its place, and then its authorization.

Its operator compares nothing by itself: every step follows from a change that it sees.
"""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import PORT, SERVICE, ManagedGateway, managed_gateway
from .tenant import HTTP, TIMEOUT_S, TenantNamespace, build_policy, hosts

ACCESS = ("security.istio.io/v1", "AuthorizationPolicy")
DRY_RUN = "istio.io/dry-run"
OTHER_PORT = 8443


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator, which settles quickly."""
    settings = {"EGRESS_RESYNC": "3600", "EGRESS_SETTLE": "0.3"}
    with start_operator(control_plane, OperatorOption(settings=settings)) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


@pytest.fixture
def gateway(tenant: TenantNamespace) -> Iterator[ManagedGateway]:
    """Give a gateway that serves on two ports, with the test's namespace among its tenants."""
    with managed_gateway(tenant.client, f"gw-{tenant.namespace}") as gateway:
        gateway.apply_service(PORT, OTHER_PORT)
        gateway.select(tenant.namespace)
        yield gateway


def list_access(gateway: ManagedGateway) -> list[tuple[bool, str]]:
    """Tell of each AuthorizationPolicy whether it allows anything, and whether it only tries."""
    items = gateway.client.list_objects(*ACCESS, gateway.namespace)
    return sorted(
        (bool(item["spec"].get("rules")), item["metadata"].get("annotations", {}).get(DRY_RUN, ""))
        for item in items
    )


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        ("None", "Managed", "false"),
        ("DryRun", "Managed", "false"),
        ("Managed", "DryRun", "true"),
        ("Managed", "None", ""),
    ],
)
def test_it_ends_as_if_it_had_always_been_so(
    tenant: TenantNamespace, gateway: ManagedGateway, old: str, new: str, end: str
) -> None:
    gateway.apply(authorization=old)
    policy = build_policy(tenant.namespace, "web", hosts("api.example.com", ports=[HTTP]))
    policy["spec"]["gatewayRef"] = {"name": gateway.name}
    tenant.client.apply(policy)
    tenant.wait_ready("web")
    before = set(gateway.objects(tenant.namespace))
    moved = {"name": SERVICE, "port": OTHER_PORT}
    gateway.apply(authorization=old, service=moved)

    def is_moved() -> bool:
        return len(before & set(gateway.objects(tenant.namespace))) == 2

    wait_until(is_moved, TIMEOUT_S, "only the two objects of the host itself stay")
    gateway.apply(authorization=new, service=moved)

    def look() -> bool:
        assert list_access(gateway) == ([(False, end), (True, end)] if end else [])
        assert len(before & set(gateway.objects(tenant.namespace))) == 2, "the host's own two stay"
        return True

    wait_until(look, TIMEOUT_S, f"{new} does not come")
    tenant.wait_ready("web")
