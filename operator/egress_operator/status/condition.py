"""Conditions: their order, their reasons, and when their time of transition moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from egress_operator.api.state import Truth

MESSAGE_BYTES = 1024
_ELLIPSIS = "…"


class Type(StrEnum):
    """The types of conditions, in the order in which they stand in a status."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SHADOWED = "Shadowed"
    RESTRICTION_LIFTED = "RestrictionLifted"
    EXPIRING = "Expiring"
    PARTLY_HIDDEN = "PartlyHidden"
    PAUSED = "Paused"


ALWAYS = (Type.ACCEPTED, Type.RESOLVED_REFS, Type.PROGRAMMED, Type.READY)
"""These stand in every status, the others only while they are True."""


class Reason(StrEnum):
    """The reasons of conditions. `Accepted=False` has the reason of the broken rule instead."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    APPLIED = "Applied"
    PENDING = "Pending"
    CONFLICTED = "Conflicted"
    NOT_ACCEPTED = "NotAccepted"
    SHADOWED = "Shadowed"
    RESTRICTION_LIFTED = "RestrictionLifted"
    PARTLY_HIDDEN = "PartlyHidden"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition before it has a time. `generation` is the one of the policy that it judges."""

    type: str
    """A `Type`; of another kind than EgressPolicy, one of its own."""
    status: Truth
    reason: str
    message: str
    generation: int


Conditions = Mapping[str, Mapping[str, Any]]
"""The conditions of a status, as written there, by type."""


def read_conditions(status: Mapping[str, Any] | None) -> Conditions:
    """Index the conditions of a status by type; none for no status."""
    listed = (status or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in listed}


def build_condition(condition: Condition, before: Conditions, now: str) -> dict[str, Any]:
    """Write a condition down. The time of transition moves only when the status differs."""
    last = before.get(condition.type, {})
    same = last.get("status") == condition.status and bool(last.get("lastTransitionTime"))
    return {
        "type": str(condition.type),
        "status": str(condition.status),
        "observedGeneration": condition.generation,
        "lastTransitionTime": last["lastTransitionTime"] if same else now,
        "reason": str(condition.reason),
        "message": trim_message(condition.message),
    }


def trim_message(text: str, ending: str = "") -> str:
    """Cut a message to 1 KiB of UTF-8 in one line; what is cut off is shown by `…`.

    `ending`: what is said after it, which is never cut off.
    """
    line = " ".join(text.split())
    encoded = line.encode()
    room = MESSAGE_BYTES - len(ending.encode())
    if len(encoded) > room:
        line = encoded[: room - len(_ELLIPSIS.encode())].decode(errors="ignore") + _ELLIPSIS
    return line + ending
