"""A linter for statuses: named rules that every status of every policy keeps."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from egress_operator.api.state import MOST_ROWS, Truth
from egress_operator.diagnostic import read_rules
from egress_operator.plan.reference import HOLDING, NO_WILDCARDS, NOT_ALLOWED, NOT_READY
from egress_operator.plan.result import HIDDEN, OVERRIDDEN
from egress_operator.status.condition import (
    ALWAYS,
    MESSAGE_BYTES,
    Conditions,
    Reason,
    Type,
    read_conditions,
)
from egress_operator.status.destination import RowState
from status.kstatus import Kstatus, compute_kstatus

_REASON = re.compile(r"[A-Z][A-Za-z0-9]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HOSTS = re.compile(r"(\d+)/(\d+)")
_FIELDS = frozenset(
    {
        "observedGeneration",
        "lastHandledReconcileAt",
        "conditions",
        "hosts",
        "objectCount",
        "objects",
        "destinations",
        "moreDestinations",
    }
)

_SITUATIONS = frozenset(
    {
        (Truth.TRUE, Truth.TRUE, Truth.TRUE, Truth.TRUE),
        (Truth.TRUE, Truth.TRUE, Truth.FALSE, Truth.FALSE),
        (Truth.TRUE, Truth.TRUE, Truth.TRUE, Truth.FALSE),
        (Truth.TRUE, Truth.FALSE, Truth.FALSE, Truth.FALSE),
        (Truth.FALSE, Truth.UNKNOWN, Truth.TRUE, Truth.FALSE),
        (Truth.FALSE, Truth.UNKNOWN, Truth.FALSE, Truth.FALSE),
        (Truth.FALSE, Truth.UNKNOWN, Truth.UNKNOWN, Truth.FALSE),
        (Truth.UNKNOWN, Truth.UNKNOWN, Truth.UNKNOWN, Truth.UNKNOWN),
    }
)
"""The rows of the table of situations, as the values of `ALWAYS`."""


def lint_status(status: Mapping[str, Any], generation: int) -> list[str]:
    """List what is wrong with a status, each line led by its rule's name; empty when it is right.

    `generation` is the policy's metadata.generation. Pure.
    """
    conditions = read_conditions(status)
    missing = [type_ for type_ in ALWAYS if type_ not in conditions]
    if missing:
        return [f"present: {', '.join(missing)} missing"]
    return [
        f"{name}: {problem}"
        for name, rule in _RULES.items()
        for problem in rule(status, conditions, generation)
    ]


Rule = Callable[[Mapping[str, Any], Conditions, int], Iterator[str]]


def _check_fields(status: Mapping[str, Any], _: Conditions, __: int) -> Iterator[str]:
    for field in sorted(status.keys() - _FIELDS):
        yield f"{field} is no field of a status"
    for field, value in status.items():
        if value is None:
            yield f"{field} is null"


def _check_order(status: Mapping[str, Any], _: Conditions, __: int) -> Iterator[str]:
    types = [condition["type"] for condition in status["conditions"]]
    if types != [str(type_) for type_ in Type if type_ in types]:
        yield f"{types} are not the known types in their order, each once"


def _check_form(_: Mapping[str, Any], conditions: Conditions, __: int) -> Iterator[str]:
    for type_, condition in conditions.items():
        if condition["status"] not in set(Truth):
            yield f"{type_} has the status {condition['status']}"
        if not _REASON.fullmatch(condition["reason"]):
            yield f"{type_} has the reason {condition['reason']!r}"
        message = condition["message"]
        if not message or message != " ".join(message.split()):
            yield f"the message of {type_} is empty or not one line"
        if len(message.encode()) > MESSAGE_BYTES:
            yield f"the message of {type_} is too long"
        if not _TIME.fullmatch(condition["lastTransitionTime"]):
            yield f"{type_} has the time {condition['lastTransitionTime']!r}"


def _check_true_only(_: Mapping[str, Any], conditions: Conditions, __: int) -> Iterator[str]:
    for type_, condition in conditions.items():
        if type_ not in ALWAYS and condition["status"] != Truth.TRUE:
            yield f"{type_} stands there and is not True"


def _check_generation(
    status: Mapping[str, Any], conditions: Conditions, generation: int
) -> Iterator[str]:
    """`last` may be older; what was judged now is of the top's generation."""
    top = status.get("observedGeneration")
    if not isinstance(top, int) or top > generation:
        yield f"observedGeneration is {top}, the policy's generation {generation}"
        return
    paused = Type.PAUSED in conditions
    if not paused and top != generation:
        yield f"observedGeneration is {top}, not {generation}"
    kept = {Type.PROGRAMMED} if conditions[Type.ACCEPTED]["status"] == Truth.FALSE else set()
    for type_, condition in conditions.items():
        seen = condition.get("observedGeneration")
        if type_ == Type.PAUSED or (paused and type_ in {Type.EXPIRING, Type.RECONCILING}):
            right = seen == generation
        elif type_ in kept:
            right = isinstance(seen, int) and seen <= top
        else:
            right = seen == top
        if not right:
            yield f"{type_} has observedGeneration {seen}, the top {top}"


def _check_situation(_: Mapping[str, Any], conditions: Conditions, __: int) -> Iterator[str]:
    values = tuple(Truth(conditions[type_]["status"]) for type_ in ALWAYS)
    if values not in _SITUATIONS:
        yield f"{', '.join(values)} is no row of the table"
    if values[0] is Truth.UNKNOWN and Type.PAUSED not in conditions:
        yield "all is Unknown, and the policy is not paused"


def _check_reasons(_: Mapping[str, Any], conditions: Conditions, __: int) -> Iterator[str]:
    accepted, resolved, programmed, ready = (conditions[type_] for type_ in ALWAYS)
    if ready["status"] == Truth.FALSE:
        first = next(
            (item for item in (accepted, resolved, programmed) if item["status"] == Truth.FALSE),
            None,
        )
        if first is not None and ready["reason"] != first["reason"]:
            yield f"Ready has not the reason of {first['type']}"
        if ready["reason"] not in _find_reasons(None if first is None else first["type"]):
            yield f"{ready['reason']} is no reason of a policy that is not ready in this way"
    if ready["status"] == Truth.TRUE and not ready["message"].startswith("applied"):
        yield "Ready says more than that the objects are applied"


def _find_reasons(first: str | None) -> frozenset[str]:
    """Return the reasons of Ready when this is the first condition that is False."""
    if first is None:
        return frozenset(read_rules()[code].reason for code in (NOT_READY, OVERRIDDEN, HIDDEN))
    if first == Type.PROGRAMMED:
        return frozenset({Reason.PENDING, Reason.CONFLICTED})
    if first == Type.RESOLVED_REFS:
        return frozenset(
            read_rules()[code].reason for code in (*HOLDING, NOT_ALLOWED, NO_WILDCARDS)
        )
    return frozenset(rule.reason for rule in read_rules().values())


def _check_also(_: Mapping[str, Any], conditions: Conditions, __: int) -> Iterator[str]:
    """Ready, Reconciling and Stalled tell waiting tools apart: in order, going on, or stuck."""
    reconciling, stalled = Type.RECONCILING in conditions, Type.STALLED in conditions
    ready = conditions[Type.READY]
    if reconciling and stalled:
        yield "Reconciling and Stalled stand together"
    if ready["status"] == Truth.TRUE and (reconciling or stalled):
        yield "Ready is True beside Reconciling or Stalled"
    if Type.PAUSED in conditions:
        if reconciling == (stalled or ready["status"] == Truth.TRUE):
            yield "Reconciling does not tell whether a paused policy is applied"
        return
    pending = ready["reason"] == Reason.PENDING
    if ready["status"] == Truth.FALSE and (reconciling != pending or stalled == pending):
        yield "Ready is False, and neither Reconciling nor Stalled fits its reason"
    if stalled and conditions[Type.STALLED]["reason"] != ready["reason"]:
        yield "Stalled has not the reason of Ready"


def _check_kstatus(
    status: Mapping[str, Any], conditions: Conditions, generation: int
) -> Iterator[str]:
    """Take the part of a waiting tool: done is what is applied as it is now, and nothing else."""
    found = compute_kstatus({"metadata": {"generation": generation}, "status": status})
    is_seen = status["observedGeneration"] == generation
    if not is_seen:
        right = Kstatus.IN_PROGRESS
    elif conditions[Type.READY]["status"] == Truth.TRUE:
        right = Kstatus.CURRENT
    else:
        right = Kstatus.FAILED if Type.STALLED in conditions else Kstatus.IN_PROGRESS
    if found is not right:
        yield f"{found}, not {right}"


def _check_destinations(status: Mapping[str, Any], conditions: Conditions, _: int) -> Iterator[str]:
    rows = status.get("destinations", [])
    keys = [(row["host"], row["port"]) for row in rows]
    if keys != sorted(keys):
        yield "the rows are not sorted by host and port"
    rest = status.get("moreDestinations", 0)
    if (
        len(rows) > MOST_ROWS
        or (rest and len(rows) != MOST_ROWS)
        or ("moreDestinations" in status) != bool(rest)
    ):
        yield f"{len(rows)} rows and {rest} more"
    for row in rows:
        if row["state"] not in set(RowState):
            yield f"{row['host']}:{row['port']} is {row['state']}"
        if row["state"] in {RowState.CONFLICTED, RowState.SQUATTED} and not row.get("message"):
            yield f"{row['host']}:{row['port']} does not say why"
        if conditions[Type.READY]["status"] == Truth.TRUE and row["state"] != RowState.APPLIED:
            yield f"Ready is True, and {row['host']}:{row['port']} is {row['state']}"


def _check_counts(status: Mapping[str, Any], conditions: Conditions, _: int) -> Iterator[str]:
    objects = status.get("objects", [])
    if status.get("objectCount") != sum(entry["count"] for entry in objects):
        yield "objectCount is not the sum of objects"
    match = _HOSTS.fullmatch(str(status.get("hosts")))
    if match is None or int(match[1]) > int(match[2]):
        yield f"hosts is {status.get('hosts')!r}"
    elif conditions[Type.READY]["status"] == Truth.TRUE and match[1] != match[2]:
        yield f"Ready is True with {match[0]} hosts"


_RULES: Mapping[str, Rule] = {
    "fields": _check_fields,
    "order": _check_order,
    "form": _check_form,
    "true-only": _check_true_only,
    "generation": _check_generation,
    "situation": _check_situation,
    "reasons": _check_reasons,
    "also": _check_also,
    "kstatus": _check_kstatus,
    "destinations": _check_destinations,
    "counts": _check_counts,
}
