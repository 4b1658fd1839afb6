"""Events: derived from the transitions between two statuses, and from nothing else."""

from collections.abc import Mapping
from typing import Any

from egress_operator.api.state import Truth
from egress_operator.status.condition import Conditions, Type, read_conditions
from egress_operator.status.gateway import GatewayReason

NORMAL = "Normal"
WARNING = "Warning"

Event = tuple[str, str, str]
"""(type, reason, message)."""

_HARMLESS_AT_FIRST = {GatewayReason.NOT_ENFORCED, GatewayReason.PENDING}


def is_policy_alarm(_: Conditions, after: Conditions, __: str) -> bool:
    """Whether somebody must act because of a policy, by its conditions before and after. Pure."""
    return Type.STALLED in after


def is_gateway_alarm(before: Conditions, after: Conditions, type_: str) -> bool:
    """Whether somebody must act because of one condition of a gateway. Pure.

    All of them should be True, but `authorization` other than Managed is the choice of the platform
    team, and a new gateway begins with objects that are being applied.
    """
    condition = after[type_]
    harmless = {GatewayReason.NOT_ENFORCED} if before else _HARMLESS_AT_FIRST
    return condition["status"] == Truth.FALSE and condition["reason"] not in harmless


def diff_gateway_events(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[Event]:
    """List the events between two statuses of a gateway, in the order of the conditions. Pure.

    One for each condition whose status or reason is new, or that names other objects of others; one
    for several that say the same, and none for what is not known yet.
    """
    before, after = read_conditions(old), read_conditions(new)
    return list(
        dict.fromkeys(
            _build_event(WARNING if is_gateway_alarm(before, after, type_) else NORMAL, condition)
            for type_, condition in after.items()
            if _is_news(before.get(type_, {}), condition)
        )
    )


def _is_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if after["status"] == Truth.UNKNOWN:
        return False
    fields = ["status", "reason"]
    if after["reason"] == GatewayReason.FOREIGN_OBJECTS:
        fields.append("message")
    return any(before.get(field) != after[field] for field in fields)


def diff_policy_events(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[Event]:
    """List the events between two statuses of a policy, in the order of the conditions. Pure.

    One when Ready becomes True, one when Stalled or its reason is new, one when the policy gets
    shadowed, partly hidden or paused, or is about to expire, one when RestrictionLifted comes,
    names other policies, or goes. Being applied is no event: it would be written for every change.
    """
    before, after = read_conditions(old), read_conditions(new)
    events: list[Event] = []
    if _begins(Type.READY, before, after):
        events.append(_build_event(NORMAL, after[Type.READY]))
    if _begins(Type.STALLED, before, after) or _has_new_reason(Type.STALLED, before, after):
        events.append(_build_event(WARNING, after[Type.STALLED]))
    events += [
        _build_event(WARNING, after[type_])
        for type_ in (Type.SHADOWED, Type.PARTLY_HIDDEN)
        if _begins(type_, before, after)
    ]
    events += _diff_lifted(before, after)
    if _begins(Type.EXPIRING, before, after):
        events.append(_build_event(WARNING, after[Type.EXPIRING]))
    if _begins(Type.PAUSED, before, after):
        events.append(_build_event(NORMAL, after[Type.PAUSED]))
    return events


def _diff_lifted(before: Conditions, after: Conditions) -> list[Event]:
    old, new = (found.get(Type.RESTRICTION_LIFTED, {}) for found in (before, after))
    if old.get("message") == new.get("message"):
        return []
    if not new:
        return [(NORMAL, old["reason"], "no longer: " + old["message"])]
    return [_build_event(WARNING, new)]


def _begins(type_: Type, before: Conditions, after: Conditions) -> bool:
    return _holds(type_, after) and not _holds(type_, before)


def _has_new_reason(type_: Type, before: Conditions, after: Conditions) -> bool:
    return (
        _holds(type_, after)
        and _holds(type_, before)
        and before[type_].get("reason") != after[type_].get("reason")
    )


def _holds(type_: Type, conditions: Conditions) -> bool:
    return conditions.get(type_, {}).get("status") == Truth.TRUE


def _build_event(kind: str, condition: Mapping[str, Any]) -> Event:
    return kind, condition["reason"], condition["message"]
