"""Requests of the operator fail in many ways; afterwards all is as it should be."""

import asyncio

import pytest

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.faultproxy import (
    Answer,
    BreakOff,
    Call,
    Delay,
    Fault,
    FaultProxy,
    Garble,
    Line,
    ResetAfter,
    ResetBefore,
    build_error_event,
    build_refusal,
    is_about,
    is_within,
)
from testbed.operator import Operator

from .tenant import ENTRY, TenantNamespace, hosts

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCHES = 12
"""Of all kinds that the operator reads; one that is begun again at once may fail twice."""
WRITES = "egress_operator_writes_total{"
RESTARTS = "egress_operator_watch_restarts_total{"
HEARD = "egress_operator_watch_last_event_timestamp_seconds"
LOOK_S = 2.0
"""What a list takes at least, where it is held up."""


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (Call.CREATE, ResetBefore()),
        (Call.CREATE, ResetAfter()),
        (Call.CREATE, build_refusal(500, "InternalError")),
        (Call.CREATE, build_refusal(503, "ServiceUnavailable", Retry_After="1")),
        (Call.CREATE, build_refusal(429, "TooManyRequests", Retry_After="1")),
        (Call.PATCH, ResetBefore()),
        (Call.PATCH, ResetAfter()),
        (Call.PATCH, build_refusal(500, "InternalError")),
        (Call.PATCH, build_refusal(429, "TooManyRequests", Retry_After="1")),
        (Call.PATCH, build_refusal(409, "Conflict")),
        (Call.CREATE, build_refusal(409, "Conflict")),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:24],
)
async def test_a_failed_write_is_made_up_for(
    control_plane: ControlPlane,
    namespace: str,
    proxy: FaultProxy,
    behind_proxy: Operator,
    call: Call,
    fault: Fault,
) -> None:
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    proxy.inject(fault, call, times=3, where=is_within(namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=30)
    assert proxy.hit[call] >= 1
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", "b.example.com")


NOT_HERE = Answer(404, b"<html>not here</html>", "text/html")


async def test_a_404_that_does_not_name_the_object_is_not_believed(
    control_plane: ControlPlane, namespace: str, proxy: FaultProxy, behind_proxy: Operator
) -> None:
    """A proxy on the way says so: the object is there, and no event will ever tell of it."""
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    proxy.inject(NOT_HERE, Call.PATCH, where=is_within(namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=30)
    assert proxy.hit[Call.PATCH] == 1
    proxy.inject(NOT_HERE, Call.DELETE, where=is_within(namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", timeout_s=30)
    assert proxy.hit[Call.DELETE] == 1


@pytest.mark.parametrize(
    "fault",
    [build_error_event(500, "InternalError"), Line(b"not json\n"), Garble(), BreakOff()],
    ids=lambda value: repr(value)[:24],
)
async def test_a_broken_watch_is_begun_again(
    control_plane: ControlPlane,
    namespace: str,
    proxy: FaultProxy,
    behind_proxy: Operator,
    fault: Fault,
) -> None:
    """The first two end kopf; it is started again, and the operator goes on."""
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=40)
    pid, writes = behind_proxy.pid, count_writes(behind_proxy)
    assert writes > 0
    proxy.inject(fault, Call.WATCH, times=WATCHES)
    proxy.cut()
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=40)
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", "b.example.com")
    entry = await asyncio.to_thread(tenant.get_entry, "a.example.com")
    mark = await asyncio.to_thread(tenant.mark)
    await asyncio.to_thread(
        tenant.client.merge_patch, entry, {"spec": {"resolution": "DNS_ROUND_ROBIN"}}
    )
    await asyncio.to_thread(tenant.wait_writes, mark, ["patch serviceentries"], 40)
    assert behind_proxy.process.is_alive
    assert behind_proxy.pid == pid


def count_writes(operator: Operator) -> float:
    lines = operator.metrics().splitlines()
    return sum(float(x.rpartition(" ")[2]) for x in lines if x.startswith(WRITES))


def read_restarts(operator: Operator, resource: str) -> dict[str, float]:
    """Restarts of the watches of a resource, by reason."""
    found = {}
    for line in operator.metrics().splitlines():
        if line.startswith(RESTARTS) and f'resource="{resource}"' in line:
            reason = line.partition('reason="')[2].partition('"')[0]
            found[reason] = float(line.rpartition(" ")[2])
    return found


async def test_restarts_are_counted_and_not_the_objects_that_are_listed(
    control_plane: ControlPlane, namespace: str, proxy: FaultProxy, behind_proxy: Operator
) -> None:
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    for number in range(20):
        await asyncio.to_thread(tenant.apply, f"p{number}", hosts(f"h{number}.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "p19", timeout_s=40)
    before = sum(read_restarts(behind_proxy, "egresspolicies").values())
    # The watch has to list again.
    is_own = is_about("egress-operator", "egresspolicies")
    proxy.inject(build_error_event(410, "Expired"), Call.WATCH, where=is_own)
    proxy.cut()
    await asyncio.to_thread(
        wait_until,
        lambda: "expired" in read_restarts(behind_proxy, "egresspolicies"),
        30,
        "policies are listed again",
    )
    await asyncio.to_thread(tenant.apply, "last", hosts("last.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "last", timeout_s=40)
    # The cut and the fault, each of them twice at most.
    assert sum(read_restarts(behind_proxy, "egresspolicies").values()) - before <= 4


async def test_a_watch_without_any_event_is_not_deaf(
    proxy: FaultProxy, behind_proxy: Operator
) -> None:
    """What the API server says beside events counts too: an answer, a bookmark each minute."""
    seen = f'{HEARD}{{resource="egresspolicies"}}'
    before = behind_proxy.metric(seen)
    assert before > 0
    proxy.cut()
    await asyncio.to_thread(
        wait_until, lambda: behind_proxy.metric(seen) > before, 30, "the watch is heard again"
    )


async def test_a_policy_that_goes_during_a_look_at_it_stays_gone(
    control_plane: ControlPlane, namespace: str, proxy: FaultProxy, behind_proxy: Operator
) -> None:
    """Its objects are taken away first; the watch tells of the policy while a list is asked for."""
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=40)
    entry = await asyncio.to_thread(tenant.get_entry, "a.example.com")
    mark = await asyncio.to_thread(tenant.mark)
    proxy.inject(Delay(LOOK_S), Call.LIST, times=-1)
    name = entry["metadata"]["name"]
    await asyncio.to_thread(tenant.client.delete, *ENTRY, name, namespace)
    await asyncio.to_thread(wait_until, lambda: proxy.hit[Call.LIST], 10, "a look is taken")
    await asyncio.to_thread(tenant.delete, "payments")
    await asyncio.sleep(LOOK_S)
    proxy.clear()
    # Another policy, so that all before it is done.
    await asyncio.to_thread(tenant.apply, "other", hosts("b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "other")
    assert [
        write for write in await asyncio.to_thread(tenant.writes, mark) if "create" in write
    ] == ["create serviceentries"]
    await asyncio.to_thread(tenant.wait_hosts, "b.example.com")
