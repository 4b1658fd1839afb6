"""Policies with an end, each for one host of its name."""

from datetime import UTC, datetime, timedelta
from typing import Any

from egress_operator.plan.source import PAUSED_ANNOTATION
from testbed.client import Object
from testbed.deadline import wait_until

from .tenant import HTTP, TenantNamespace, build_policy, hosts

PROMPT_S = 2.0
"""So long after its time nothing is left of a policy."""
DAY = timedelta(days=1)
EXPIRED = ("False", "Expired")
RESTRICTED: dict[str, Any] = {"from": {"workloads": {"matchLabels": {"app": "checkout"}}}}
"""With this a host has several objects, under two names."""


def write_time(moment: datetime) -> str:
    """Write a moment down as a policy has it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def apply(
    tenant: TenantNamespace,
    name: str,
    ends: datetime | None,
    *,
    paused: bool = False,
    **spec: Any,  # noqa: ANN401 - fields
) -> Object:
    """Apply a policy for one host of its name."""
    annotations = {PAUSED_ANNOTATION: "true"} if paused else None
    host = hosts(f"{name}.example.com", ports=[HTTP])
    policy = build_policy(tenant.namespace, name, host, annotations=annotations)
    policy["spec"] |= spec | ({} if ends is None else {"expiresAt": write_time(ends)})
    return tenant.client.apply(policy)


def list_hosts(tenant: TenantNamespace) -> set[str]:
    """Name the hosts of all Istio objects."""
    return {host for item in tenant.objects() for host in item["spec"]["hosts"]}


def wait_gone(tenant: TenantNamespace, name: str, ends: datetime) -> None:
    """Wait until nothing is left of a policy, and not longer than it may take."""
    left = (ends - datetime.now(UTC)).total_seconds() + PROMPT_S
    wait_until(
        lambda: not any(name in host for host in list_hosts(tenant)), left, f"{name} is gone"
    )
