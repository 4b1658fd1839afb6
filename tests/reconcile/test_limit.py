"""What stands counts towards the limits, on the real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from egress_operator.plan.source import PAUSED_ANNOTATION
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .gateway import managed_gateway
from .tenant import (
    COLLECTED_S,
    HTTP,
    POLICY,
    TIMEOUT_S,
    TenantNamespace,
    build_policy,
    hosts,
)

REFUSED = ("False", "LimitExceeded")
WAITING = ("False", "Pending")
MESSAGE = (
    "0 of 2 hosts applied; 2 hosts pending until others that are not needed any more are gone, "
    "because at most 4 hosts may be there at a time"
)
FINALIZER = "example.com/hold"


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator, which settles quickly and allows two hosts in a namespace."""
    settings = {"EGRESS_SETTLE": "0.3", "EGRESS_MAX_HOSTS_PER_NAMESPACE": "2"}
    with start_operator(control_plane, OperatorOption(settings=settings)) as running:
        yield running
        assert running.stop() == 0, running.process.tail(50)


def test_what_a_paused_policy_keeps_leaves_no_room_until_it_is_gone(
    tenant: TenantNamespace,
) -> None:
    tenant.apply("first", hosts("a.example.com", "b.example.com"))
    tenant.wait_ready("first")
    paused = {PAUSED_ANNOTATION: "true"}
    tenant.apply("first", hosts("c.example.com"), annotations=paused)
    wait_until(
        lambda: tenant.condition("first", "Paused").get("status") == "True",
        TIMEOUT_S,
        "the policy is paused",
    )
    tenant.apply("second", hosts("d.example.com"))
    tenant.wait_ready("second", REFUSED)
    tenant.wait_hosts("a.example.com", "b.example.com")

    tenant.client.merge_patch(
        tenant.policy("first"), {"metadata": {"annotations": {PAUSED_ANNOTATION: None}}}
    )
    tenant.wait_ready("first")
    tenant.wait_ready("second")
    tenant.wait_hosts("c.example.com", "d.example.com")


def test_an_older_policy_that_grows_does_not_push_out_a_younger_one(
    tenant: TenantNamespace,
) -> None:
    tenant.apply("first", hosts("a.example.com"))
    tenant.wait_ready("first")
    tenant.apply("second", hosts("b.example.com"))
    tenant.wait_ready("second")
    tenant.apply("first", hosts("a.example.com", "c.example.com"))
    tenant.wait_ready("first", REFUSED)
    tenant.wait_ready("second")
    tenant.wait_hosts("a.example.com", "b.example.com")


def test_what_stands_at_a_gateway_counts_there(tenant: TenantNamespace) -> None:
    with managed_gateway(tenant.client, f"gw-{tenant.namespace}") as gateway:
        gateway.apply(limits={"hosts": 1})
        gateway.select(tenant.namespace)
        gateway.wait_condition("Ready", "True", "Serving")

        def apply(name: str, host: str, at: str) -> None:
            destination: dict[str, Any] = hosts(host, ports=[HTTP])
            policy = build_policy(tenant.namespace, name, destination)
            policy["spec"]["gatewayRef"] = {"name": at}
            tenant.client.apply(policy)

        apply("first", "a.example.com", gateway.name)
        tenant.wait_ready("first")
        apply("first", "a.example.com", "nowhere")
        tenant.wait_ready("first", ("False", "GatewayNotFound"))
        apply("second", "b.example.com", gateway.name)
        tenant.wait_ready("second", REFUSED)
        gateway.wait_counts(namespaces=1, hosts=1)
        tenant.delete("first")
        tenant.wait_ready("second")


def check_waiting(tenant: TenantNamespace, name: str) -> None:
    """Wait until a policy is accepted and waits for room, and tells so."""
    tenant.wait_ready(name, WAITING)
    assert tenant.condition(name, "Accepted")["status"] == "True"
    assert tenant.condition(name, "Ready")["message"] == MESSAGE
    assert tenant.condition(name, "Reconciling")["status"] == "True"


def test_an_edit_waits_until_what_earlier_ones_replaced_is_gone(tenant: TenantNamespace) -> None:
    for first, second in (("a", "b"), ("c", "d")):
        tenant.apply("web", hosts(f"{first}.example.com", f"{second}.example.com"))
        tenant.wait_ready("web")
        for host in (first, second):
            hold(tenant, f"{host}.example.com", [FINALIZER])
    tenant.apply("web", hosts("e.example.com", "f.example.com"))
    check_waiting(tenant, "web")
    tenant.wait_hosts(*(f"{host}.example.com" for host in "abcd"))
    for host in "abcd":
        hold(tenant, f"{host}.example.com", [])
    tenant.wait_ready("web")
    tenant.wait_hosts("e.example.com", "f.example.com")


def hold(tenant: TenantNamespace, host: str, finalizers: list[str]) -> None:
    """Let the ServiceEntry of a host stay while it is being deleted, or go."""
    entry = tenant.get_entry(host)
    tenant.client.merge_patch(entry, {"metadata": {"finalizers": finalizers}})


def test_what_deleted_policies_leave_is_waited_for(tenant: TenantNamespace) -> None:
    for number, names in enumerate(("ab", "cd", "ef")):
        tenant.apply(f"web{number}", hosts(*(f"{name}.example.com" for name in names)))
        if names != "ef":
            tenant.wait_ready(f"web{number}")
            tenant.client.delete(*POLICY, f"web{number}", tenant.namespace, propagation="Orphan")
    check_waiting(tenant, "web2")
    tenant.wait_ready("web2", timeout_s=COLLECTED_S)
    tenant.wait_hosts("e.example.com", "f.example.com", timeout_s=COLLECTED_S)
