"""Events: on transitions, and on nothing else."""

from dataclasses import replace

from egress_operator.diagnostic import Diagnostic
from egress_operator.plan.claim import LIFTED
from egress_operator.plan.life import EXPIRED, EXPIRES_SOON
from egress_operator.plan.sidecar import Sight
from egress_operator.status.event import diff_policy_events
from egress_operator.status.progress import SetState
from egress_operator.status.report import Status, compute_status
from status.build import INSIDE, LATER, NOW, VALID, build_progress, judge


def report(
    previous: Status | None = None, state: SetState = SetState.APPLIED, **fields: bool
) -> Status:
    inside = fields.pop("inside", False)
    verdict = judge(INSIDE if inside else VALID, **fields)
    return compute_status(
        verdict, build_progress(verdict, state), previous, LATER if previous else NOW
    )


def name(old: Status | None, new: Status) -> list[tuple[str, str]]:
    return [(kind, reason) for kind, reason, _ in diff_policy_events(old, new)]


def test_being_applied_is_no_event_and_applied_is_one() -> None:
    pending = report(state=SetState.PENDING)
    applied = report(pending)
    assert name(None, pending) == []
    assert name(pending, applied) == [("Normal", "Applied")]
    assert name(None, applied) == [("Normal", "Applied")]
    assert name(applied, report(applied)) == []


def test_a_message_or_a_generation_alone_is_no_event() -> None:
    applied = report()
    verdict = judge(generation=2)
    assert name(applied, compute_status(verdict, build_progress(verdict), applied, LATER)) == []


def test_stalled_and_its_reason_are_warnings() -> None:
    applied = report()
    refused = report(applied, inside=True)
    conflicted = report(refused, conflicted=True)
    assert name(applied, refused) == [("Warning", "InsideCluster")]
    assert name(refused, conflicted) == [("Warning", "Conflicted")]
    assert name(conflicted, report(conflicted, conflicted=True)) == []
    assert name(conflicted, report(conflicted)) == [("Normal", "Applied")]


def test_shadowed_and_paused_begin_once() -> None:
    applied = report()
    shadowed = report(applied, shadowed=True)
    assert name(applied, shadowed) == [("Warning", "Shadowed")]
    assert name(shadowed, report(shadowed, shadowed=True)) == []
    paused = report(applied, paused=True)
    assert name(applied, paused) == [("Normal", "Paused")]
    assert name(paused, report(paused)) == []


def test_an_end_is_told_before_and_when_it_comes() -> None:
    def tell(previous: Status, code: str) -> Status:
        verdict = replace(judge(), expiry=Diagnostic(code, "spec.expiresAt", "it ends"))
        return compute_status(verdict, build_progress(verdict), previous, LATER)

    applied = report()
    soon = tell(applied, EXPIRES_SOON)
    assert name(applied, soon) == [("Warning", "ExpiresSoon")]
    assert name(soon, tell(soon, EXPIRES_SOON)) == []
    over = tell(soon, EXPIRED)
    assert name(soon, over) == [("Warning", "Expired")]
    assert name(over, tell(over, EXPIRED)) == []
    assert name(over, report(over)) == [("Normal", "Applied")]


def test_the_message_is_that_of_the_condition() -> None:
    refused = report(inside=True)
    ((_, _, message),) = diff_policy_events(None, refused)
    stalled = next(item for item in refused["conditions"] if item["type"] == "Stalled")
    assert message == stalled["message"]


def test_each_change_of_a_lifted_restriction_is_an_event() -> None:
    def tell(previous: Status, *sentences: str) -> Status:
        lifted = tuple(Diagnostic(LIFTED, "spec", sentence) for sentence in sentences)
        verdict = replace(judge(), lifted=lifted)
        return compute_status(verdict, build_progress(verdict), previous, LATER)

    applied = report()
    lifted = tell(applied, "policy a opens it")
    assert name(applied, lifted) == [("Warning", "RestrictionLifted")]
    assert name(lifted, tell(lifted, "policy a opens it")) == []
    both = tell(lifted, "policy a opens it", "policy b opens it")
    assert name(lifted, both) == [("Warning", "RestrictionLifted")]
    restored = tell(both)
    assert diff_policy_events(both, restored) == [
        ("Normal", "RestrictionLifted", "no longer: policy a opens it. policy b opens it")
    ]


def test_a_host_that_gets_hidden_is_an_event() -> None:
    applied = report()
    verdict = replace(judge(), sight=Sight(partly_hidden=("Sidecar x",)))
    partly = compute_status(verdict, build_progress(verdict), applied, LATER)
    assert name(applied, partly) == [("Warning", "PartlyHidden")]
    assert name(partly, partly) == []
    verdict = replace(judge(), sight=Sight(hidden=("Sidecar x",)))
    hidden = compute_status(verdict, build_progress(verdict), applied, LATER)
    assert name(applied, hidden) == [("Warning", "Hidden")]
