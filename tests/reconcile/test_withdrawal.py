"""In what order a namespace loses what it had of a gateway."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from testbed.audit import Mark, Record
from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import ManagedGateway, managed_gateway
from .tenant import HTTP, TenantNamespace, build_policy, hosts

HOSTS = 20
OF_DESTINATION = 16
"""As many hosts as one destination may have."""
SETTLE_S = 3.0


@pytest.fixture
def guarded(tenant: TenantNamespace) -> Iterator[TenantNamespace]:
    """Give a second namespace with the same operator at work."""
    name = f"{tenant.namespace}-guarded"
    tenant.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield TenantNamespace(tenant.plane, name, tenant.user)
    tenant.client.delete("v1", "Namespace", name)


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator with one worker: what it takes up first, it writes first."""
    option = OperatorOption(settings={"EGRESS_WORKERS": "1", "EGRESS_SETTLE": str(SETTLE_S)})
    with start_operator(control_plane, option) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


def use_gateway(
    tenant: TenantNamespace, gateway: ManagedGateway, count: int, **more: object
) -> None:
    """Let the namespace use the gateway for so many hosts, and wait until they are applied."""
    names = [f"h{number}.example.com" for number in range(count)]
    parts = [names[start : start + OF_DESTINATION] for start in range(0, count, OF_DESTINATION)]
    policy = build_policy(tenant.namespace, "web", *(hosts(*part, ports=[HTTP]) for part in parts))
    policy["spec"]["gatewayRef"] = {"name": gateway.name}
    gateway.apply(**more)
    gateway.select(tenant.namespace)
    gateway.wait_condition("Ready", "True", "Serving")
    tenant.client.apply(policy)
    tenant.wait_ready("web", timeout_s=60)


def list_routes(tenant: TenantNamespace, mark: Mark) -> list[Record]:
    """List the operator's writes of routes in the namespace: only hosts have any."""
    return [record for record in tenant.records(mark) if record.resource == "virtualservices"]


def find_time(record: Record) -> float:
    return datetime.fromisoformat(record.time).timestamp()


def test_the_permission_goes_first_and_has_settled_before_the_hosts(
    tenant: TenantNamespace,
) -> None:
    with managed_gateway(tenant.client, f"gw-{tenant.namespace}") as gateway:
        use_gateway(tenant, gateway, HOSTS)
        mark = tenant.mark()
        gateway.select(tenant.namespace, member=False)
        tenant.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        everything = tenant.plane.audit.records(since=mark, writes=True)
        (label,) = (
            record
            for record in everything
            if record.resource == "namespaces" and record.name == tenant.namespace
        )
        first = next(
            record
            for record in everything
            if record.user == tenant.user and record.group.endswith(".istio.io")
        )
        assert (first.verb, first.resource) == ("delete", "authorizationpolicies")
        routes = list_routes(tenant, mark)
        assert find_time(routes[0]) - find_time(label) >= SETTLE_S
        assert len(routes) >= HOSTS


def test_what_no_permission_guards_closes_at_once(
    tenant: TenantNamespace, guarded: TenantNamespace
) -> None:
    """As seen beside another namespace, whose gateway enforces permissions."""
    with (
        managed_gateway(tenant.client, f"gw-{guarded.namespace}") as strict,
        managed_gateway(tenant.client, f"gw-{tenant.namespace}") as lax,
    ):
        use_gateway(guarded, strict, 1)
        use_gateway(tenant, lax, 1, authorization="None")
        mark = tenant.mark()
        strict.select(guarded.namespace, member=False)
        lax.select(tenant.namespace, member=False)
        for each in (tenant, guarded):
            each.wait_ready("web", ("False", "NamespaceNotAllowed"), timeout_s=60)
        at_once, later = (list_routes(each, mark)[0] for each in (tenant, guarded))
        assert find_time(at_once) < find_time(later)
