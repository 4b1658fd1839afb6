"""The deletion of a permission gets an answer that is not the API server's, or an edit is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.faultproxy import Answer, Call, Fault, FaultProxy, Lose, build_refusal, is_about
from testbed.identity import apply_identity, request_token
from testbed.kubeconfig import write_kubeconfig
from testbed.operator import Operator, OperatorOption, build_identity, start_operator

from .obstacle import find_theirs
from .served import serve
from .state import let_in

pytestmark = pytest.mark.timeout(300)

ACCOUNT = "behind-proxy"
SETTLE = {"EGRESS_SETTLE": "0.3"}
LOST = 'egress_operator_watch_restarts_total{reason="lost",resource="egressgateways"}'
TOLD_S = 5.0
RELEASED_S = 15.0
HTML = b"<html><body>404 Not Found</body></html>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """Put a proxy between the operator and the API server."""
    async with FaultProxy(control_plane.url, control_plane.ca_file) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(control_plane: ControlPlane, running_proxy: FaultProxy) -> AsyncIterator[Operator]:
    """Start an operator that reaches the API server through the proxy."""

    def start() -> Operator:
        identity = build_identity(OperatorOption(account=ACCOUNT))
        apply_identity(control_plane.admin, identity)
        token = request_token(control_plane.admin, identity.namespace, identity.name)
        file = control_plane.directory / f"{ACCOUNT}.kubeconfig"
        write_kubeconfig(file, running_proxy.url, control_plane.ca_file, identity.name, token)
        settings = {"EGRESS_KUBECONFIG": str(file), **SETTLE}
        return start_operator(control_plane, OperatorOption(settings=settings, account=ACCOUNT))

    operator = await asyncio.to_thread(start)
    yield operator
    assert await asyncio.to_thread(operator.stop) == 0, operator.process.tail(20)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Answer(404, HTML, "text/html"), id="404-of-a-proxy"),
        pytest.param(build_refusal(404, "NotFound"), id="404-about-nothing"),
        pytest.param(build_refusal(409, "Conflict"), id="409"),
        pytest.param(build_refusal(503, "ServiceUnavailable"), id="503"),
        pytest.param(Answer(200, HTML, "text/html"), id="200-of-a-proxy"),
        pytest.param(Answer(502, HTML, "text/html"), id="502-of-a-proxy"),
    ],
)
async def test_a_permission_goes_although_its_deletion_gets_a_false_answer(
    control_plane: ControlPlane,
    namespace: str,
    behind: Operator,
    running_proxy: FaultProxy,
    fault: Fault,
) -> None:
    del behind
    running_proxy.hit.clear()
    serving = serve(control_plane, namespace)
    served = await asyncio.to_thread(next, serving)
    try:
        running_proxy.inject(fault, Call.DELETE, times=1)
        await asyncio.to_thread(served.withdraw)
        await asyncio.to_thread(served.wait_withdrawn)
        assert running_proxy.hit[Call.DELETE] == 1
    finally:
        running_proxy.clear()
        await asyncio.to_thread(serving.close)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("code", [401, 404, 429, 503])
async def test_a_permission_whose_deletion_a_webhook_answers_so_lets_nobody_in_and_is_named(
    control_plane: ControlPlane,
    namespace: str,
    behind: Operator,
    running_proxy: FaultProxy,
    code: int,
) -> None:
    del behind
    serving = serve(control_plane, namespace)
    served = await asyncio.to_thread(next, serving)
    gateway, other = served.gateway, f"{namespace}-other"
    try:
        running_proxy.inject(build_refusal(code, "Any"), Call.DELETE, times=-1)
        await asyncio.to_thread(served.withdraw)
        await asyncio.to_thread(served.wait_withdrawn)
        await asyncio.to_thread(
            wait_until,
            lambda: gateway.condition("Isolated").get("reason") == "PermissionStuck",
            TOLD_S,
            "the status does not name it",
        )
        await asyncio.to_thread(let_in, control_plane.admin, other, gateway)
    finally:
        running_proxy.clear()
        await asyncio.to_thread(
            control_plane.admin.delete, "v1", "Namespace", other, missing_ok=True
        )
    await asyncio.to_thread(
        wait_until,
        lambda: not find_theirs(gateway, served.tenant),
        RELEASED_S,
        "it stays",
    )
    await asyncio.to_thread(serving.close)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_permission_goes_although_the_watch_loses_the_edit(
    control_plane: ControlPlane, namespace: str, behind: Operator, running_proxy: FaultProxy
) -> None:
    """The second watch of EgressGateways, that of kopf, tells of it."""
    serving = serve(control_plane, namespace)
    served = await asyncio.to_thread(next, serving)
    try:
        running_proxy.hit.clear()
        is_own = is_about("egress-operator", "egressgateways")
        running_proxy.inject(Lose(), Call.WATCH, times=-1, where=is_own)
        running_proxy.cut()
        await asyncio.to_thread(
            wait_until, lambda: running_proxy.hit[Call.WATCH], 30.0, "the watch is back"
        )
        await asyncio.to_thread(behind.wait_idle)
        lost = await asyncio.to_thread(behind.metric, LOST)
        await asyncio.to_thread(served.gateway.apply, namespaces=None)
        await asyncio.to_thread(served.wait_withdrawn)
        await asyncio.to_thread(
            wait_until, lambda: behind.metric(LOST) > lost, 30.0, "the watch has lost nothing"
        )
    finally:
        running_proxy.clear()
        running_proxy.cut()
        await asyncio.to_thread(serving.close)
