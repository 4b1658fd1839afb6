"""`reconcile-requested-at`, on the real API server: one write for each request, and its effect."""

import time

from egress_operator.plan.source import REQUESTED_ANNOTATION
from testbed.deadline import wait_until

from .tenant import ENTRY, TenantNamespace, hosts

STATUS = "patch egresspolicies/status"


def ask(tenant: TenantNamespace, name: str, token: str) -> None:
    """Do as `kubectl annotate --overwrite` does."""
    patch = {"metadata": {"annotations": {REQUESTED_ANNOTATION: token}}}
    tenant.client.merge_patch(tenant.policy(name), patch)


def handled(tenant: TenantNamespace, name: str) -> str:
    return str(tenant.status(name).get("lastHandledReconcileAt", ""))


def test_each_request_is_confirmed_with_one_write_and_an_equal_one_with_none(
    tenant: TenantNamespace,
) -> None:
    tenant.apply("payments", hosts("a.example.com", "b.example.com"))
    tenant.wait_ready("payments")
    mark = tenant.mark()
    for count, token in enumerate(("2027-01-31T00:00:00Z", "2027-01-31T00:00:01Z"), start=1):
        ask(tenant, "payments", token)
        wait_until(lambda token=token: handled(tenant, "payments") == token, 5, "it is confirmed")  # type: ignore[misc]
        tenant.wait_writes(mark, [STATUS] * count)
        ask(tenant, "payments", token)
        time.sleep(2)
        assert tenant.writes(mark) == [STATUS] * count
    assert tenant.ready("payments") == ("True", "Applied")


def test_what_is_missing_is_there_again_when_it_is_confirmed(tenant: TenantNamespace) -> None:
    tenant.apply("payments", hosts("a.example.com"))
    tenant.wait_ready("payments")
    tenant.client.delete(
        *ENTRY, tenant.get_entry("a.example.com")["metadata"]["name"], tenant.namespace
    )
    ask(tenant, "payments", "now")
    wait_until(lambda: handled(tenant, "payments") == "now", 5, "it is confirmed")
    assert tenant.entry("a.example.com") is not None
