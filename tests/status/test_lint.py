"""Each rule of the linter finds what it is there for."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from egress_operator.status.progress import SetState
from egress_operator.status.report import Status, compute_status
from status.build import INSIDE, NOW, build_progress, judge
from status.lint import lint_status

Change = Callable[[Status], object]


def build(kind: str) -> Status:
    """Build a right status of generation 1."""
    verdict = judge(
        INSIDE if kind == "refused" else {"hosts": ["api.example.com", "files.example.com"]},
        paused=kind == "paused",
        conflicted=kind == "conflicted",
    )
    state = SetState.PENDING if kind == "pending" else SetState.APPLIED
    return compute_status(verdict, build_progress(verdict, state), None, NOW)


def condition(status: Status, type_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in status["conditions"] if item["type"] == type_)
    return found


def put(type_: str, **fields: object) -> Change:
    return lambda status: condition(status, type_).update(fields)


def add(type_: str, **fields: object) -> Change:
    base = {
        "type": type_,
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": NOW,
        "reason": "Pending",
        "message": "m",
    }
    return lambda status: status["conditions"].append(base | fields)


def drop(type_: str) -> Change:
    return lambda status: status["conditions"].remove(condition(status, type_))


def row(**fields: object) -> Change:
    return lambda status: status["destinations"][0].update(fields)


CASES: list[tuple[str, str, Change]] = [
    ("present", "applied", drop("ResolvedRefs")),
    ("fields", "applied", lambda status: status.update(extra=1)),
    ("fields", "applied", lambda status: status.update(hosts=None)),
    ("order", "applied", lambda status: status["conditions"].reverse()),
    ("order", "applied", add("Ready")),
    ("order", "applied", add("Happy")),
    ("form", "applied", put("Ready", reason="not camel")),
    ("form", "applied", put("Ready", message="applied\nmore")),
    ("form", "applied", put("Accepted", message="")),
    ("form", "applied", put("Accepted", message="x" * 1025)),
    ("form", "applied", put("Ready", lastTransitionTime="yesterday")),
    ("true-only", "applied", add("Shadowed", status="False")),
    ("generation", "applied", lambda status: status.update(observedGeneration=0)),
    ("generation", "applied", lambda status: status.update(observedGeneration=2)),
    ("generation", "applied", put("Ready", observedGeneration=0)),
    ("generation", "paused", put("Paused", observedGeneration=0)),
    ("generation", "refused", put("Programmed", observedGeneration=2)),
    ("situation", "applied", put("Programmed", status="False")),
    ("situation", "applied", put("ResolvedRefs", status="Unknown")),
    ("situation", "refused", put("Ready", status="True")),
    ("situation", "paused", drop("Paused")),
    ("reasons", "refused", put("Ready", reason="Other")),
    ("reasons", "pending", put("Programmed", reason="Conflicted")),
    ("reasons", "applied", put("Ready", message="traffic flows")),
    ("also", "applied", add("Stalled")),
    ("also", "applied", add("Reconciling")),
    ("also", "pending", drop("Reconciling")),
    ("also", "pending", add("Stalled")),
    ("also", "conflicted", drop("Stalled")),
    ("also", "conflicted", put("Stalled", reason="Other")),
    ("also", "paused", drop("Reconciling")),
    ("kstatus", "paused", drop("Reconciling")),
    ("kstatus", "pending", drop("Reconciling")),
    ("kstatus", "conflicted", drop("Stalled")),
    ("kstatus", "applied", add("Stalled")),
    ("destinations", "applied", lambda status: status["destinations"].reverse()),
    ("destinations", "applied", lambda status: status.update(moreDestinations=1)),
    ("destinations", "applied", row(state="Happy")),
    ("destinations", "applied", row(state="Pending")),
    ("destinations", "conflicted", row(message="")),
    ("counts", "applied", lambda status: status.update(objectCount=9)),
    ("counts", "applied", lambda status: status.update(hosts="1/2")),
    ("counts", "applied", lambda status: status.update(hosts="3/2")),
    ("counts", "applied", lambda status: status.update(hosts="two")),
]


@pytest.mark.parametrize("kind", ["applied", "pending", "refused", "conflicted", "paused"])
def test_right_statuses_pass(kind: str) -> None:
    assert lint_status(build(kind), 1) == []


@pytest.mark.parametrize(("rule", "kind", "change"), CASES)
def test_a_rule_finds_its_mistake(rule: str, kind: str, change: Change) -> None:
    status = copy.deepcopy(build(kind))
    change(status)
    assert rule in {problem.partition(":")[0] for problem in lint_status(status, 1)}
