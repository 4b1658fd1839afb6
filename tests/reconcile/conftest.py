"""One operator for each module: tests of a module share it, and no two operators meet."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

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
def tenant(control_plane: ControlPlane, namespace: str, operator: Operator) -> TenantNamespace:
    """Give a fresh namespace with the module's operator at work."""
    return TenantNamespace(control_plane, namespace, operator.user)
