"""Answers that are not the API server's, and a namespace that refuses: all ends as it should be.

What must not stay goes, what must be there comes, and meanwhile nobody writes without a budget.
"""

import asyncio

import pytest

from testbed.controlplane import ControlPlane
from testbed.faultproxy import (
    Answer,
    Call,
    Delay,
    DeniesObject,
    Fault,
    FaultProxy,
    build_refusal,
    is_within,
)
from testbed.operator import Operator

from .tenant import COLLECTED_S, TenantNamespace, hosts

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = b"<html><body>not the API server</body></html>"
FALSE = {
    "404-of-a-proxy": Answer(404, HTML, "text/html"),
    "404-about-nothing": build_refusal(404, "NotFound"),
    "409": build_refusal(409, "Conflict"),
    "200-of-a-proxy": Answer(200, HTML, "text/html"),
    "502-of-a-proxy": Answer(502, HTML, "text/html"),
}
PLAIN = {"number": 8080, "protocol": "HTTP"}
READY_S = 40.0
WRITES = (Call.CREATE, Call.PATCH, Call.DELETE)
WATCHED_S = 4.0
MOST = 25
"""Writes for one policy in WATCHED_S: each is tried again, ever later."""


@pytest.fixture
def tenant(control_plane: ControlPlane, namespace: str, behind_proxy: Operator) -> TenantNamespace:
    """Give a fresh namespace with the operator behind the proxy at work."""
    return TenantNamespace(control_plane, namespace, behind_proxy.user)


@pytest.mark.parametrize("fault", FALSE.values(), ids=FALSE)
async def test_everything_is_made_up_for(
    tenant: TenantNamespace, proxy: FaultProxy, fault: Fault
) -> None:
    """Creations, changes and deletions, each with false answers."""
    proxy.inject(fault, *WRITES, times=2, where=is_within(tenant.namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", "b.example.com")
    proxy.inject(fault, *WRITES, times=2, where=is_within(tenant.namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", ports=[PLAIN]))
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", timeout_s=READY_S)
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    entry = await asyncio.to_thread(tenant.get_entry, "a.example.com")
    assert [port["number"] for port in entry["spec"]["ports"]] == [PLAIN["number"]]
    assert all(proxy.hit[call] >= 2 for call in WRITES), proxy.hit


async def test_an_object_that_is_said_to_be_gone_and_is_not_goes(
    tenant: TenantNamespace, proxy: FaultProxy
) -> None:
    """No event follows the answer, so only a list can show that it was false."""
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    proxy.hit.clear()
    proxy.inject(DeniesObject(), Call.DELETE, where=is_within(tenant.namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", timeout_s=READY_S)
    assert proxy.hit[Call.DELETE] == 1


@pytest.mark.parametrize("name", ["404-of-a-proxy", "409", "200-of-a-proxy"])
async def test_nobody_writes_without_a_budget(
    tenant: TenantNamespace, proxy: FaultProxy, name: str
) -> None:
    """All writes get false answers for a while."""
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    proxy.inject(FALSE[name], *WRITES, times=-1, where=is_within(tenant.namespace))
    await asyncio.to_thread(tenant.apply, "payments", hosts("b.example.com", "c.example.com"))
    await asyncio.sleep(WATCHED_S)
    assert 0 < proxy.hit.total() <= MOST, proxy.hit
    proxy.clear()
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    await asyncio.to_thread(tenant.wait_hosts, "b.example.com", "c.example.com", timeout_s=READY_S)


async def test_a_namespace_that_is_being_deleted_is_not_written_to_without_end(
    control_plane: ControlPlane, tenant: TenantNamespace, proxy: FaultProxy
) -> None:
    """Its policies are still there and change; the API server refuses new objects."""
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=READY_S)
    with control_plane.suspend_controller_manager():
        await asyncio.to_thread(tenant.client.delete, "v1", "Namespace", tenant.namespace)
        # It counts the writes and delays none of them.
        proxy.inject(Delay(0), *WRITES, times=-1, where=is_within(tenant.namespace))
        await asyncio.to_thread(tenant.apply, "payments", hosts("b.example.com", "c.example.com"))
        await asyncio.sleep(WATCHED_S)
        assert proxy.hit.total() <= MOST, proxy.hit
    await asyncio.to_thread(tenant.wait_hosts, timeout_s=COLLECTED_S)
