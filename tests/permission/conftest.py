"""One operator for each module that does not start its own."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator

SETTLE_S = 0.3


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Start the real operator; it ends with exit code 0 after the module."""
    with start_operator(
        control_plane, OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})
    ) as running:
        yield running
        assert running.stop() == 0, running.process.tail(20)
