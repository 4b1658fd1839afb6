"""Operators started for one test each."""

from collections.abc import Callable, Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.operator import Operator, OperatorOption, start_operator


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Callable[[OperatorOption], Operator]]:
    """Start operators; what still runs at the end is stopped."""
    running: list[Operator] = []

    def start_one(option: OperatorOption) -> Operator:
        running.append(start_operator(control_plane, option))
        return running[-1]

    yield start_one
    for operator in running:
        operator.stop()
