"""Statuses: times, what is kept from before, and the linter over every history."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.api.state import EgressPolicyStatus
from egress_operator.diagnostic import Diagnostic
from egress_operator.istio.kind import Kind
from egress_operator.istio.set_key import HostSet, SetKey, TenantSet
from egress_operator.plan.claim import LIFTED
from egress_operator.plan.piece import finish
from egress_operator.plan.plan import PolicyResult
from egress_operator.plan.sidecar import Opening, Screen, Sight, find_sight
from egress_operator.plan.source import OutboundMode
from egress_operator.status.condition import ALWAYS, MESSAGE_BYTES, trim_message
from egress_operator.status.patch import build_status_patch
from egress_operator.status.progress import SetProgress, SetState
from egress_operator.status.report import PAUSED_ENDING, Status, compute_status
from status.build import INSIDE, LATER, NOW, build_key, build_progress, judge
from status.lint import lint_status


def find(status: Status, type_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in status["conditions"] if item["type"] == type_)
    return found


def types(status: Status) -> list[str]:
    return [item["type"] for item in status["conditions"]]


def report(
    verdict: PolicyResult,
    progress: dict[SetKey, SetProgress] | None = None,
    previous: Status | None = None,
    now: str = NOW,
) -> Status:
    found = build_progress(verdict) if progress is None else progress
    return compute_status(verdict, found, previous, now)


def test_nothing_new_gives_the_equal_status() -> None:
    first = report(judge())
    assert report(judge(), previous=copy.deepcopy(first), now=LATER) == first
    assert build_status_patch("a-uid", first, report(judge(), previous=first, now=LATER)) is None


def test_times_move_only_with_the_status() -> None:
    pending = report(judge(), {})
    failing = report(
        judge(),
        build_progress(judge(), SetState.FAILING, message="no", code="EG301"),
        pending,
        LATER,
    )
    assert find(failing, "Ready")["message"] != find(pending, "Ready")["message"]
    assert find(failing, "Ready")["lastTransitionTime"] == NOW
    applied = report(judge(), previous=failing, now=LATER)
    assert find(applied, "Ready")["lastTransitionTime"] == LATER
    assert find(applied, "Accepted")["lastTransitionTime"] == NOW


def test_a_new_generation_moves_no_time() -> None:
    first = report(judge())
    second = report(judge(generation=2), previous=first, now=LATER)
    assert {item["lastTransitionTime"] for item in second["conditions"]} == {NOW}
    assert {item["observedGeneration"] for item in second["conditions"]} == {2}
    assert second["observedGeneration"] == 2


def test_a_refused_edit_keeps_programmed_and_hosts_and_counts_what_is_left() -> None:
    first = report(judge())
    verdict = judge(INSIDE, generation=2, kept=True)
    second = report(verdict, previous=first, now=LATER)
    assert find(second, "Programmed") == find(first, "Programmed")
    assert (second["hosts"], second["objectCount"]) == ("2/2", 2)
    assert find(second, "Ready")["message"].endswith("; kept from before: 2 objects")
    left = build_progress(verdict)
    left.popitem()
    assert report(verdict, left, second, LATER)["objectCount"] == 1
    assert find(second, "Ready")["reason"] == "InsideCluster"
    assert second["observedGeneration"] == 2
    fixed = report(judge(generation=3), previous=second, now=LATER)
    assert "Stalled" not in types(fixed)
    assert find(fixed, "Programmed")["observedGeneration"] == 3


def test_paused_keeps_all_and_ends() -> None:
    first = report(judge(), {})
    paused = report(judge(generation=2, paused=True), {}, first, LATER)
    assert types(paused) == [*ALWAYS, "Reconciling", "Paused"]
    assert find(paused, "Reconciling")["reason"] == "Paused"
    assert paused["observedGeneration"] == 1
    assert report(judge(generation=2, paused=True), {}, paused, LATER) == paused
    ready, was = find(paused, "Ready"), find(first, "Ready")
    assert ready == {**was, "message": was["message"] + PAUSED_ENDING}
    assert find(paused, "Programmed") == find(first, "Programmed")
    after = report(judge(generation=2), previous=paused, now=LATER)
    assert "Paused" not in types(after)
    assert find(after, "Ready")["status"] == "True"
    assert PAUSED_ENDING not in find(after, "Ready")["message"]


def test_a_long_message_of_a_paused_policy_keeps_its_ending() -> None:
    failing = build_progress(judge(), SetState.FAILING, message="no " * 900, code="EG301")
    first = report(judge(), failing)
    paused = report(judge(paused=True), failing, first, LATER)
    message = find(paused, "Ready")["message"]
    assert message.endswith("…" + PAUSED_ENDING)
    assert len(message.encode()) <= MESSAGE_BYTES
    assert report(judge(paused=True), failing, paused, LATER) == paused


def test_a_policy_that_was_paused_from_the_beginning_says_it_once() -> None:
    first = report(judge(paused=True), {})
    assert find(first, "Ready")["message"] == "not looked at, because the policy is paused"
    assert report(judge(paused=True), {}, first, LATER) == first


@pytest.mark.parametrize("known", [True, False])
def test_a_paused_policy_counts_what_is_left(*, known: bool) -> None:
    verdict = judge(generation=2, paused=True, kept=True)
    status = report(verdict, previous=report(judge()) if known else None, now=LATER)
    assert status["objectCount"] == 2
    after = report(verdict, {}, status, LATER)
    assert (after["objectCount"], after["objects"]) == (0, [])
    assert after["hosts"] == status["hosts"] == ("2/2" if known else "0/2")


def test_a_group_without_news_is_not_begun() -> None:
    verdict = judge()
    progress = build_progress(verdict)
    del progress[HostSet("shop", "files.example.com")]
    assert report(verdict, progress)["hosts"] == "1/2"


def test_a_mesh_that_lets_everything_through_is_named() -> None:
    for mode in OutboundMode:
        look = find_sight(Screen(), Opening("shop", (), {}), mode)
        status = report(replace(judge(), sight=finish(look)))
        said = "not blocked" in find(status, "Ready")["message"]
        assert said == (mode is OutboundMode.ALLOW_ANY)


def test_sidecars_that_are_not_looked_at_are_named() -> None:
    status = report(replace(judge(), sight=Sight(unread="only some Sidecars are looked at")))
    assert find(status, "Ready")["message"].endswith("; only some Sidecars are looked at")


def test_what_others_write_for_a_host_is_named_once_in_the_message_of_ready() -> None:
    lifted = tuple(Diagnostic(LIFTED, "spec", f"policy {name}") for name in "zy")
    verdict = replace(judge(), shadowed=("ServiceEntry x",), lifted=lifted)
    applied = find(report(judge()), "Ready")["message"]
    status = report(verdict)
    message = f"{applied}; Shadowed: ServiceEntry x; RestrictionLifted: policy y. And 1 more"
    assert find(status, "Ready")["message"] == find(status, "Programmed")["message"] == message
    assert find(status, "RestrictionLifted")["message"] == "policy y. policy z"


def test_what_serves_all_hosts_of_a_namespace_counts_too() -> None:
    tenant = TenantSet("shop", "shared-h0123456789abcdef")
    verdict = replace(judge(), set_keys=(*judge().set_keys, tenant))
    key = build_key("allow", Kind.AUTHORIZATION_POLICY)
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"message": f"waits for {key}", "code": "EG301"}, "Pending", f"waits for {key}"),
        (
            {"message": "it waits", "squatted": (key,)},
            "Conflicted",
            f"{key} was not made by the operator and has the name it needs: rename or delete it",
        ),
    ]
    cases.append(({"state": SetState.PENDING}, "Pending", "some objects are still being applied"))
    for fields, reason, message in cases:
        shared = SetProgress(**{"state": SetState.FAILING, **fields})
        found = find(report(verdict, {**build_progress(judge()), tenant: shared}), "Ready")
        assert (found["status"], found["reason"], found["message"]) == ("False", reason, message)
    assert find(report(verdict), "Ready")["status"] == "True"


def test_squatted_beside_applied() -> None:
    verdict = judge()
    progress = build_progress(verdict)
    key = build_key("api.example.com")
    progress[HostSet("shop", "api.example.com")] = SetProgress(SetState.APPLIED, squatted=(key,))
    status = report(verdict, progress)
    assert [row["state"] for row in status["destinations"]] == ["Squatted", "Applied"]
    assert str(key) in find(status, "Stalled")["message"]


def test_patch_tests_the_uid_and_sets_the_whole_status() -> None:
    old = {"observedGeneration": 1, "hosts": "1/1", "moreDestinations": 3}
    new = {"observedGeneration": 2, "hosts": "1/1"}
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status", "value": new},
    ]
    assert build_status_patch("u", old, new) == patch
    assert build_status_patch("u", None, new) == patch
    assert build_status_patch("u", new, new) is None


@settings(deadline=None)
@given(st.text(max_size=3000))
def test_messages_are_one_line_of_one_kibibyte(text: str) -> None:
    trimmed = trim_message(text)
    assert len(trimmed.encode()) <= MESSAGE_BYTES
    assert trimmed == " ".join(trimmed.split())
    if len(" ".join(text.split()).encode()) > MESSAGE_BYTES:
        assert trimmed.endswith("…")


situations = st.fixed_dictionaries(
    {
        "inside": st.booleans(),
        "paused": st.booleans(),
        "shadowed": st.booleans(),
        "conflicted": st.booleans(),
        "states": st.lists(st.sampled_from(SetState), min_size=2, max_size=2),
        "squatted": st.booleans(),
        "edited": st.booleans(),
        "kept": st.booleans(),
    }
)


@settings(deadline=None)
@given(st.lists(situations, min_size=1, max_size=6))
def test_every_history_keeps_the_rules(history: list[dict[str, Any]]) -> None:
    status: Status | None = None
    generation = 1
    for index, situation in enumerate(history):
        generation += situation["edited"]
        verdict = judge(
            INSIDE if situation["inside"] else {"hosts": ["api.example.com", "files.example.com"]},
            generation=generation,
            paused=situation["paused"],
            shadowed=situation["shadowed"],
            conflicted=situation["conflicted"],
            kept=situation["kept"],
        )
        progress: dict[SetKey, SetProgress] = {}
        keys = (*verdict.set_keys, *verdict.kept)
        for key, state in zip(keys, situation["states"], strict=False):
            progress |= {
                key: SetProgress(
                    state,
                    "it failed" if state is SetState.FAILING else "",
                    "EG301" if state is SetState.FAILING else "",
                    (build_key(str(key)),) if situation["squatted"] else (),
                    (build_key(str(key)),) if state is SetState.APPLIED else (),
                )
            }
        now = f"2026-11-21T12:00:{index:02}Z"
        before = copy.deepcopy(status)
        status = compute_status(verdict, progress, status, now)
        assert before is None or status["observedGeneration"] >= before["observedGeneration"]
        assert lint_status(status, generation) == []
        assert compute_status(verdict, progress, status, LATER) == status
        EgressPolicyStatus.model_validate(status)
