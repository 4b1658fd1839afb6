"""Requests of the operator fail in many ways; afterwards all is as it should be."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

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
)
from testbed.identity import apply_identity, request_token
from testbed.kubeconfig import write_kubeconfig
from testbed.operator import Operator, OperatorOption, build_identity, start_operator

from .tenant import ENTRY, TenantNamespace, hosts

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCHES = 5
"""Of kopf: policies, namespaces, our CRD; of ours: two kinds of Istio."""
LOOK_S = 2.0
"""What a list takes at least, where it is held up."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """Put a proxy between the operator and the API server."""
    async with FaultProxy(control_plane.url, control_plane.ca_file) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_operator(
    control_plane: ControlPlane, running_proxy: FaultProxy
) -> AsyncIterator[Operator]:
    """Start an operator that reaches the API server through the proxy; it logs no traceback."""
    identity = build_identity(OperatorOption(account="behind-proxy"))

    def start() -> Operator:
        apply_identity(control_plane.admin, identity)
        token = request_token(control_plane.admin, identity.namespace, identity.name)
        file = control_plane.directory / "behind-proxy.kubeconfig"
        write_kubeconfig(file, running_proxy.url, control_plane.ca_file, identity.name, token)
        settings = {"EGRESS_KUBECONFIG": str(file)}
        return start_operator(
            control_plane, OperatorOption(settings=settings, account="behind-proxy")
        )

    operator = await asyncio.to_thread(start)
    yield operator
    code = await asyncio.to_thread(operator.stop)
    log = operator.log.read_text()
    assert code == 0, f"ended with {code}; the end of its log:\n{log[-6000:]}"
    before, traceback, after = log.partition("Traceback")
    assert not traceback, f"{before[-1000:]}{traceback}{after[:5000]}"


@pytest.fixture
def proxy(running_proxy: FaultProxy) -> FaultProxy:
    """Give the proxy, with no fault and nothing counted."""
    running_proxy.clear()
    running_proxy.hit.clear()
    return running_proxy


@pytest_asyncio.fixture(loop_scope="module")
async def behind_proxy(running_operator: Operator, proxy: FaultProxy) -> AsyncIterator[Operator]:
    """Give the operator, with nothing to do any more, and no fault after the test."""
    await asyncio.to_thread(running_operator.wait_idle)
    yield running_operator
    proxy.clear()


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
    proxy.inject(fault, call, times=3)
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
    proxy.inject(NOT_HERE, Call.PATCH)
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=30)
    assert proxy.hit[Call.PATCH] == 1
    proxy.inject(NOT_HERE, Call.DELETE)
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
    """The first two end kopf; it is started again in the same process."""
    tenant = TenantNamespace(control_plane, namespace, behind_proxy.user)
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=40)
    pid = behind_proxy.pid
    proxy.inject(fault, Call.WATCH, times=WATCHES)
    proxy.cut()
    await asyncio.to_thread(tenant.apply, "payments", hosts("a.example.com", "b.example.com"))
    await asyncio.to_thread(tenant.wait_ready, "payments", timeout_s=40)
    await asyncio.to_thread(tenant.wait_hosts, "a.example.com", "b.example.com")
    entry = await asyncio.to_thread(tenant.get_entry, "a.example.com")
    mark = await asyncio.to_thread(tenant.mark)
    await asyncio.to_thread(tenant.client.merge_patch, entry, {"spec": {"resolution": "NONE"}})
    await asyncio.to_thread(tenant.wait_writes, mark, ["patch serviceentries"], 40)
    assert behind_proxy.process.is_alive
    assert behind_proxy.pid == pid


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
