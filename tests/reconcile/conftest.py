"""One operator for each module: tests of a module share it, and no two operators meet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from testbed.controlplane import ControlPlane
from testbed.faultproxy import FaultProxy
from testbed.identity import apply_identity, request_token
from testbed.kubeconfig import write_kubeconfig
from testbed.operator import Operator, OperatorOption, build_identity, start_operator

from .tenant import TenantNamespace


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator; it is stopped with exit code 0 after the module."""
    running = start_operator(control_plane, OperatorOption(settings={"EGRESS_RESYNC": "1"}))
    with running:
        yield running
        code = running.stop()
        assert code == 0, f"ended with {code}; the end of its log:\n{running.process.tail(20)}"


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Callable[..., Operator]]:
    """Start operators one after the other, with fields of OperatorOption; all are stopped."""
    running: list[Operator] = []

    def start_one(**option: Any) -> Operator:  # noqa: ANN401 - fields of OperatorOption
        running.append(start_operator(control_plane, OperatorOption(**option)))
        return running[-1]

    yield start_one
    for operator in running:
        operator.stop()


@pytest.fixture
def tenant(control_plane: ControlPlane, namespace: str, operator: Operator) -> TenantNamespace:
    """Give a fresh namespace with the module's operator at work."""
    return TenantNamespace(control_plane, namespace, operator.user)


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
