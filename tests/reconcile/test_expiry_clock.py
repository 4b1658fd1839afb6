"""Policies that expire while the operator is away, or beside a clock that somebody sets."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import ACCOUNT, NAMESPACE, Operator

from .mortal import DAY, EXPIRED, PROMPT_S, RESTRICTED, apply, list_hosts, wait_gone
from .shifted_clock import SHIFT
from .tenant import TenantNamespace

USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


@pytest.fixture
def away(control_plane: ControlPlane, namespace: str) -> TenantNamespace:
    """Give a fresh namespace; no operator runs but those of `start`."""
    return TenantNamespace(control_plane, namespace, USER)


@pytest.mark.parametrize("paused", [False, True])
def test_what_ends_while_it_is_away_goes_at_the_start(
    away: TenantNamespace, start: Callable[..., Operator], *, paused: bool
) -> None:
    first = start()
    ends = datetime.now(UTC) + timedelta(seconds=4)
    apply(away, "trial", ends, paused=False, **RESTRICTED)
    apply(away, "other", None)
    away.wait_ready("trial")
    away.wait_ready("other")
    if paused:
        apply(away, "trial", ends, paused=True, **RESTRICTED)
        wait_until(lambda: away.condition("trial", "Paused"), 5, "it is paused")
    first.kill()
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))
    assert "trial.example.com" in list_hosts(away)
    mark = away.mark()
    start()
    wait_gone(away, "trial", datetime.now(UTC))
    away.wait_ready("trial", EXPIRED)
    assert list_hosts(away) == {"other.example.com"}
    statuses = [write for write in away.writes(mark) if write.startswith("patch")]
    assert statuses == ["patch egresspolicies/status"]


def test_what_ends_while_the_machine_sleeps_goes_when_it_wakes(
    away: TenantNamespace, start: Callable[..., Operator]
) -> None:
    operator = start()
    ends = datetime.now(UTC) + timedelta(seconds=3)
    apply(away, "trial", ends)
    away.wait_ready("trial")
    operator.pause()
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + PROMPT_S + 1)
    assert list_hosts(away) == {"trial.example.com"}
    operator.resume()
    wait_gone(away, "trial", datetime.now(UTC))


def test_the_clock_on_the_wall_decides_however_it_is_set(
    away: TenantNamespace, start: Callable[..., Operator], tmp_path: Path
) -> None:
    file = tmp_path / "shift"

    def shift(days: float) -> None:
        (tmp_path / "new").write_text(str(days * DAY.total_seconds()))
        os.replace(tmp_path / "new", file)  # noqa: PTH105 - at once

    def is_told(expected: bool) -> bool:  # noqa: FBT001 - an answer
        return bool(away.condition("trial", "Expiring")) is expected

    shift(0)
    start(program=["reconcile.shifted_clock"], settings={SHIFT: str(file)})
    apply(away, "trial", datetime.now(UTC) + 3 * DAY, **RESTRICTED)
    away.wait_ready("trial")
    assert not away.condition("trial", "Expiring")
    for days in (4, 0, 2.5, 3.5, 1, 30, -30):
        shift(days)
        set_at = datetime.now(UTC)
        if days > 3:
            wait_gone(away, "trial", set_at)
            away.wait_ready("trial", EXPIRED)
        else:
            wait_until(lambda: "trial.example.com" in list_hosts(away), PROMPT_S + 1, "it is back")
            away.wait_ready("trial")
        wait_until(partial(is_told, 2 < days < 3), PROMPT_S, "it tells of its last day alone")
