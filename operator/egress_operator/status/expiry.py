"""What a status says of a policy whose time is over, or nearly so."""

from egress_operator.api.state import Truth
from egress_operator.diagnostic import Diagnostic, find_rule
from egress_operator.plan.life import EXPIRED
from egress_operator.plan.result import PolicyResult
from egress_operator.status.condition import Condition, Conditions, Reason, Type

REASON = find_rule(EXPIRED).reason


def judge_expired(result: PolicyResult, expiry: Diagnostic, rest: str) -> list[Condition]:
    """Return the conditions of a policy that has expired. Pure.

    `rest`: what is still there of its objects, and why, as the end of the message.
    """
    generation = result.generation
    message = f"{expiry.message} ({expiry.code}){rest}"
    conditions = [
        Condition(type_, truth, REASON, message, generation)
        for type_, truth in (
            (Type.ACCEPTED, Truth.FALSE),
            (Type.PROGRAMMED, Truth.FALSE),
            (Type.READY, Truth.FALSE),
            (Type.STALLED, Truth.TRUE),
        )
    ]
    conditions.append(
        Condition(
            Type.RESOLVED_REFS,
            Truth.UNKNOWN,
            Reason.NOT_ACCEPTED,
            "not looked at, because the policy has expired",
            generation,
        )
    )
    if result.paused:
        conditions.append(
            Condition(
                Type.PAUSED,
                Truth.TRUE,
                Reason.PAUSED,
                "the annotation egress-operator.io/paused is true; it keeps nothing of a policy "
                "that has expired",
                generation,
            )
        )
    return conditions


def has_expired(before: Conditions) -> bool:
    """Whether a policy had expired when it was last looked at. Pure."""
    return before.get(Type.READY, {}).get("reason") == REASON
