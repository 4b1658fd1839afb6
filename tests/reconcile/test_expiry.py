"""Policies that expire, beside a real API server, with the real operator and the real time."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from egress_operator.plan.source import PAUSED_ANNOTATION
from testbed.client import ApiError
from testbed.deadline import wait_until
from testbed.operator import Operator

from .mortal import DAY, EXPIRED, RESTRICTED, apply, list_hosts, wait_gone, write_time
from .tenant import HTTP, TenantNamespace, build_policy, hosts

NEXT = "egress_operator_next_expiry_timestamp_seconds"


@pytest.mark.parametrize("paused", [False, True])
def test_it_goes_at_its_time_and_not_before(
    tenant: TenantNamespace, operator: Operator, *, paused: bool
) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=6)
    apply(tenant, "trial", ends, **RESTRICTED)
    apply(tenant, "other", None)
    tenant.wait_ready("trial")
    tenant.wait_ready("other")
    there = list_hosts(tenant)
    if paused:
        apply(tenant, "trial", ends, paused=True, **RESTRICTED)
        wait_until(lambda: tenant.condition("trial", "Paused"), 5, "it is paused")
    assert operator.metric(NEXT) == pytest.approx(ends.timestamp(), abs=0.01)
    while datetime.now(UTC) < ends - timedelta(seconds=0.2):
        assert list_hosts(tenant) == there
        time.sleep(0.05)
    wait_gone(tenant, "trial", ends)
    tenant.wait_ready("trial", EXPIRED)
    assert tenant.condition("trial", "Accepted")["reason"] == "Expired"
    assert tenant.condition("trial", "Stalled")["status"] == "True"
    assert bool(tenant.condition("trial", "Paused")) is paused
    message = tenant.condition("trial", "Ready")["message"]
    assert write_time(ends) in message
    assert "set spec.expiresAt to a later time, or remove it" in message
    assert list_hosts(tenant) == {"other.example.com"}
    assert operator.metric(NEXT) == 0.0


def test_more_time_brings_the_objects_back_and_less_takes_them_away(
    tenant: TenantNamespace,
) -> None:
    apply(tenant, "trial", datetime.now(UTC) - DAY)
    tenant.wait_ready("trial", EXPIRED)
    assert list_hosts(tenant) == set()
    apply(tenant, "trial", datetime.now(UTC) + 2 * DAY)
    tenant.wait_ready("trial")
    tenant.wait_hosts("trial.example.com")
    assert not tenant.condition("trial", "Stalled")
    now = datetime.now(UTC)
    apply(tenant, "trial", now)
    wait_gone(tenant, "trial", now)
    tenant.wait_ready("trial", EXPIRED)
    policy = tenant.policy("trial")
    del policy["spec"]["expiresAt"]
    tenant.client.replace(policy)
    tenant.wait_ready("trial")
    tenant.wait_hosts("trial.example.com")


def test_a_policy_on_hold_keeps_nothing_of_a_host_that_it_shares(
    tenant: TenantNamespace,
) -> None:
    host = hosts("trial.example.com", ports=[HTTP])
    apply(tenant, "trial", None, **RESTRICTED)
    beside = build_policy(tenant.namespace, "beside", host)
    beside["spec"] |= RESTRICTED
    tenant.client.apply(beside)
    tenant.wait_ready("trial")
    tenant.wait_ready("beside")
    beside["metadata"]["annotations"] = {PAUSED_ANNOTATION: "true"}
    tenant.client.apply(beside)
    wait_until(lambda: tenant.condition("beside", "Paused"), 5, "it is paused")
    now = datetime.now(UTC)
    apply(tenant, "trial", now, **RESTRICTED)
    wait_gone(tenant, "trial", now)
    tenant.wait_ready("trial", EXPIRED)
    beside["metadata"]["annotations"] = {PAUSED_ANNOTATION: "false"}
    tenant.client.apply(beside)
    wait_until(lambda: "trial.example.com" in list_hosts(tenant), 5, "the pause has ended")


def test_the_last_day_is_told_in_status_and_event(tenant: TenantNamespace) -> None:
    apply(tenant, "later", datetime.now(UTC) + DAY + timedelta(minutes=5))
    apply(tenant, "soon", datetime.now(UTC) + DAY - timedelta(minutes=5))
    tenant.wait_ready("later")
    tenant.wait_ready("soon")
    assert not tenant.condition("later", "Expiring")
    expiring = tenant.condition("soon", "Expiring")
    assert (expiring["status"], expiring["reason"]) == ("True", "ExpiresSoon")
    assert "Expiring: the policy expires at" in tenant.condition("soon", "Ready")["message"]

    def look() -> bool:
        events = [
            (item["regarding"]["name"], item["type"], item["reason"])
            for item in tenant.client.list_objects("events.k8s.io/v1", "Event", tenant.namespace)
        ]
        assert events == [("soon", "Warning", "ExpiresSoon")]
        return True

    wait_until(look, 10, "the event is there")


def test_bad_text_is_refused_with_the_fix(tenant: TenantNamespace) -> None:
    policy = build_policy(tenant.namespace, "trial", hosts("trial.example.com"))
    for text in ("30d", "2027-01-31", "2027-02-30T00:00:00Z"):
        policy["spec"]["expiresAt"] = text
        with pytest.raises(ApiError, match=r"EG062.*write it as RFC 3339 does"):
            tenant.client.apply(policy)
