"""A namespace loses its permission: at once, first of all, and whatever became of its policies.

Every way to withdraw it, with policies in every state, while the operator runs, is stopped, or is
killed in between.
"""

import itertools
import os

import pytest

from testbed.controlplane import ControlPlane
from testbed.seed import build_rng

from .batch import Way
from .state import State
from .violation import require
from .withdrawal import LIMIT_S, Mode, Result, find_states, run_mode

pytestmark = pytest.mark.timeout(300)

TURN = build_rng("withdrawals", os.environ.get("EGRESS_SEED", "")).randrange(len(Mode))
"""Which third of the cases belongs to the gate, for the first mode."""


STOPPED = pytest.param(Mode.STOPPED, marks=pytest.mark.long("permission"))


def build_cases() -> list[object]:
    """List all cases.

    All pairs of way and state are in the gate for an operator that runs or is killed, a third of
    them for each; the rest is a long part, and so is an operator that is stopped.
    """
    found: list[object] = []
    for turn, mode in enumerate(Mode):
        states = find_states(mode)
        for (row, way), (column, state) in itertools.product(enumerate(Way), enumerate(states)):
            marks = []
            if mode is Mode.STOPPED or (row + column - turn - TURN) % len(Mode):
                marks.append(pytest.mark.long("permission"))
            found.append(pytest.param(mode, way, state, marks=marks, id=f"{mode}-{way}-{state}"))
    return found


def run_selected(request: pytest.FixtureRequest, plane: ControlPlane, mode: Mode) -> Result:
    """Run those cases of a mode that are to be run at all."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    keys = {
        (param["way"], param["state"])
        for param in params
        if param.get("mode") is mode and "way" in param
    }
    return run_mode(plane, mode, keys)


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Result:
    """Withdraw while the operator runs."""
    return run_selected(request, control_plane, Mode.RUNNING)


@pytest.fixture(scope="module")
def stopped(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Result:
    """Withdraw while no operator runs, then start one."""
    return run_selected(request, control_plane, Mode.STOPPED)


@pytest.fixture(scope="module")
def killed(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Result:
    """Kill the operator just after the withdrawals, then start another one."""
    return run_selected(request, control_plane, Mode.KILLED)


def find_result(request: pytest.FixtureRequest, mode: Mode) -> Result:
    result: Result = request.getfixturevalue(mode)
    return result


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("mode", "way", "state"), build_cases())
def test_every_permission_goes_at_once(
    request: pytest.FixtureRequest, mode: Mode, way: Way, state: State
) -> None:
    outcome = find_result(request, mode).outcomes[way, state]
    require(outcome.delay_s is not None, f"{outcome.left} permissions are still there")
    require(
        outcome.delay_s is not None and outcome.delay_s <= LIMIT_S,
        f"the last permission went after {outcome.delay_s} s",
    )
    require(outcome.left == 0, f"{outcome.left} permissions came back")


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("mode", [STOPPED, Mode.KILLED])
def test_an_operator_that_starts_withdraws_before_it_writes_for_anybody_else(
    request: pytest.FixtureRequest, mode: Mode
) -> None:
    late = find_result(request, mode).orders
    require(not late, f"something was written while permissions stood: {late}")


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("mode", [Mode.RUNNING, STOPPED, Mode.KILLED])
def test_permissions_of_other_namespaces_stay_untouched(
    request: pytest.FixtureRequest, mode: Mode
) -> None:
    touched = find_result(request, mode).touched
    require(not touched, f"permissions of others were changed: {touched}")
