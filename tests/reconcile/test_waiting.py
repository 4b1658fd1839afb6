"""What `kubectl get` shows of policies, and what tools that wait by kstatus make of them."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from egress_operator.plan.source import PAUSED_ANNOTATION
from status.kstatus import Kstatus, compute_kstatus
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import ACCOUNT, NAMESPACE, Operator

from .mortal import DAY, EXPIRED, apply, write_time
from .tenant import POLICY, TenantNamespace, hosts

USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
SHOWN = ["Name", "Ready", "Reason", "Hosts", "Gateway", "Age"]
WIDE = ["Message", "Objects", "Expires"]


@pytest.fixture
def tenant(control_plane: ControlPlane, namespace: str) -> TenantNamespace:
    """Give a fresh namespace; no operator runs but those of `start`."""
    return TenantNamespace(control_plane, namespace, USER)


def pause(tenant: TenantNamespace, name: str, value: str | None) -> None:
    patch = {"metadata": {"annotations": {PAUSED_ANNOTATION: value}}}
    tenant.client.merge_patch(tenant.policy(name), patch)


def wait_kstatus(tenant: TenantNamespace, name: str, expected: Kstatus) -> None:
    def look() -> bool:
        found = compute_kstatus(tenant.policy(name))
        assert found is expected, tenant.policy(name)
        return True

    wait_until(look, 10, f"{name} becomes {expected}")


def test_waiting_tools_are_told_what_is_so(
    tenant: TenantNamespace, start: Callable[[], Operator]
) -> None:
    """First what nobody has looked at: without a status it would count as done."""
    tenant.apply("fine", hosts("fine.example.com"))
    tenant.apply("born-paused", hosts("b.example.com"), annotations={PAUSED_ANNOTATION: "true"})
    for name in ("fine", "born-paused"):
        assert tenant.status(name) == {"observedGeneration": -1}
        assert compute_kstatus(tenant.policy(name)) is Kstatus.IN_PROGRESS
    operator = start()
    tenant.wait_ready("fine")
    wait_kstatus(tenant, "fine", Kstatus.CURRENT)
    wait_until(lambda: tenant.condition("born-paused", "Paused"), 10, "it is told")
    wait_kstatus(tenant, "born-paused", Kstatus.IN_PROGRESS)
    apply(tenant, "over", datetime.now(UTC) - DAY)
    tenant.apply("refused", hosts("orders.pay.svc"))
    wait_kstatus(tenant, "over", Kstatus.FAILED)
    wait_kstatus(tenant, "refused", Kstatus.FAILED)

    pause(tenant, "fine", "true")
    wait_until(lambda: tenant.condition("fine", "Paused"), 10, "it is paused")
    wait_kstatus(tenant, "fine", Kstatus.CURRENT)
    tenant.client.merge_patch(tenant.policy("fine"), {"spec": {"justification": "more"}})
    operator.wait_idle()
    wait_kstatus(tenant, "fine", Kstatus.IN_PROGRESS)
    for name in ("fine", "born-paused"):
        pause(tenant, name, None)
        wait_kstatus(tenant, name, Kstatus.CURRENT)
        assert tenant.ready(name) == ("True", "Applied")


def test_a_pause_is_told_in_ready_and_its_end_too(
    tenant: TenantNamespace, start: Callable[[], Operator]
) -> None:
    start()
    tenant.apply("fine", hosts("fine.example.com"))
    tenant.wait_ready("fine")
    before = tenant.condition("fine", "Ready")
    pause(tenant, "fine", "true")
    wait_until(lambda: tenant.condition("fine", "Paused"), 10, "it is paused")
    told = "; Paused: nothing is changed until the annotation is removed"
    assert tenant.condition("fine", "Ready") == {**before, "message": before["message"] + told}
    pause(tenant, "fine", None)
    wait_until(lambda: not tenant.condition("fine", "Paused"), 10, "the pause is over")
    assert tenant.condition("fine", "Ready") == before


def test_the_columns_tell_what_is_so(
    tenant: TenantNamespace, start: Callable[[], Operator]
) -> None:
    start()
    ends = datetime.now(UTC) - DAY
    apply(tenant, "over", ends)
    tenant.apply("fine", hosts("a.example.com", "b.example.com"))
    tenant.apply("refused", hosts("orders.pay.svc"))
    tenant.wait_ready("fine")
    tenant.wait_ready("over", EXPIRED)
    wait_until(lambda: tenant.ready("refused")[0] == "False", 10, "it is refused")
    table = tenant.client.list_table(*POLICY, tenant.namespace)
    columns = table["columnDefinitions"]
    assert [column["name"] for column in columns if column["priority"] == 0] == SHOWN
    assert [column["name"] for column in columns if column["priority"] == 1] == WIDE
    names = [column["name"] for column in columns]
    rows = {row["cells"][0]: dict(zip(names, row["cells"], strict=True)) for row in table["rows"]}
    fine, over, refused = rows["fine"], rows["over"], rows["refused"]
    assert (fine["Ready"], fine["Reason"], fine["Hosts"]) == ("True", "Applied", "2/2")
    assert (fine["Objects"], fine["Expires"]) == (2, None)
    assert fine["Message"] == "applied: 2 objects for 2 hosts"
    assert (over["Ready"], over["Reason"], over["Hosts"]) == ("False", "Expired", "0/1")
    assert (over["Objects"], over["Expires"]) == (0, write_time(ends))
    assert over["Message"].startswith(f"the policy expired at {write_time(ends)}")
    assert (refused["Ready"], refused["Reason"]) == ("False", "InsideCluster")
    assert "remove it: no policy is needed" in refused["Message"]
