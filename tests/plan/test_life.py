"""What becomes of a policy whose time is over, and how long a plan holds."""

from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any

import pytest

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import HostSet
from egress_operator.plan.cache import PlanCache
from egress_operator.plan.life import NOTICE_S, Span
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.result import ClaimState, build_findings
from egress_operator.plan.source import NamespaceInput, PolicySource, Settings
from egress_operator.plan.standing import HostStanding
from rollout.fake_cluster import build_policy
from rollout.policy_set import SHARED, build_gateway

ENDS = "2026-06-01T00:00:00Z"
END = datetime.fromisoformat(ENDS).timestamp()
YOUNG = "2026-02-01T00:00:00Z"
HOST = HostSet("shop", "api.example.com")
API: dict[str, Any] = {"hosts": ["api.example.com"]}
HTTP: dict[str, Any] = {**API, "ports": [{"number": 80, "protocol": "HTTP"}]}


def build_mortal(
    name: str = "a",
    *destinations: dict[str, Any],
    ends: object = ENDS,
    spec: dict[str, Any] | None = None,
    **more: Any,  # noqa: ANN401 - arguments of build_policy
) -> PolicySource:
    policy = build_policy(name, *(destinations or (API,)), **more)
    return replace(policy, spec={**policy.spec, "expiresAt": ends, **(spec or {})})


def plan(*policies: PolicySource, now: float = END, **more: Any) -> Plan:  # noqa: ANN401 - fields
    return plan_namespace(NamespaceInput("shop", policies, now=now, **more))


def own(name: str) -> Owner:
    return Owner(name, f"{name}-uid")


def test_it_holds_until_the_moment_and_not_at_it() -> None:
    before, after = plan(build_mortal(), now=END - 0.001), plan(build_mortal())
    assert not before.results["a"].is_expired
    assert before.sets[HOST].objects
    assert after.results["a"].is_expired
    assert after.sets[HOST] == ObjectSet(HOST, is_closing=True)
    assert [row.state for row in after.results["a"].claims] == [ClaimState.EXPIRED]
    assert after.results["a"].set_keys == (HOST,)


@pytest.mark.parametrize(
    "more",
    [
        {"paused": True},
        {"spec": {"destinations": "nothing that can be read"}},
        {"spec": {"destinations": [{"hosts": ["orders.pay.svc"]}]}},
        {"spec": {"gatewayRef": {"name": "missing"}}},
        {"spec": {"gatewayRef": {"name": SHARED}}},
    ],
    ids=["paused", "unreadable", "refused", "no gateway", "gateway not open"],
)
def test_no_hold_keeps_anything_of_it(more: dict[str, Any]) -> None:
    standing = (HostStanding(HOST.host, frozenset({own("a")})),)
    found = plan(
        build_mortal(**more), standing=standing, gateways=(build_gateway(),), labels={"egress": ""}
    )
    assert own("a") in found.live
    assert not found.held
    assert found.results["a"].kept == ()
    assert not any(object_set.objects for object_set in found.sets.values())
    assert found.allows == {}


def test_a_younger_policy_gets_what_it_had() -> None:
    old = build_mortal("old", {**HTTP, "http": {"timeout": "3s"}})
    young = build_policy("young", {**HTTP, "http": {"timeout": "5s"}}, created=YOUNG)
    before, after = plan(old, young, now=0.0), plan(old, young)
    assert [row.state for row in before.results["young"].claims] == [ClaimState.CONFLICTED]
    assert [row.state for row in after.results["young"].claims] == [ClaimState.CLAIMED]
    assert after.results["old"].set_keys == ()
    assert {owner for item in after.sets[HOST].objects for owner in item.owners} == {own("young")}


def test_what_it_shared_stays_with_the_others() -> None:
    found = plan(build_mortal(), build_policy("b", API))
    assert not found.sets[HOST].is_closing
    assert {owner for item in found.sets[HOST].objects for owner in item.owners} == {own("b")}


def test_what_it_shared_with_a_policy_on_hold_stays_there() -> None:
    standing = (HostStanding(HOST.host, frozenset({own("a"), own("b")})),)
    found = plan(build_mortal(), build_policy("b", API, paused=True), standing=standing)
    assert found.results["b"].kept == (HOST,)
    assert found.held == {own("b")}


def test_it_makes_room_under_a_limit() -> None:
    policies = build_mortal(), build_policy("b", {"hosts": ["b.example.com"]}, created=YOUNG)
    standing = (HostStanding(HOST.host, frozenset({own("a")})),)
    settings = Settings(max_hosts_per_namespace=1)
    before = plan(*policies, now=0.0, settings=settings, standing=standing)
    after = plan(*policies, settings=settings, standing=standing)
    assert not before.results["b"].accepted
    assert after.results["b"].accepted


def test_it_keeps_no_permission_at_a_gateway() -> None:
    policy = build_mortal(spec={"gatewayRef": {"name": SHARED}})
    around: dict[str, Any] = {"gateways": (build_gateway(),), "labels": {"egress": "yes"}}
    assert plan(policy, now=0.0, **around).allows
    after = plan(policy, **around)
    assert not after.allows
    assert set(after.sets) == {HOST}


@pytest.mark.parametrize("ends", [None, 7, "soon", "", ["2026-01-01T00:00:00Z"]])
def test_what_is_no_moment_ends_nothing_and_is_refused(ends: object) -> None:
    found = plan(build_mortal(ends=ends), now=inf)
    assert not found.results["a"].is_expired
    assert not found.results["a"].accepted
    assert found.held == {own("a")}


def test_a_plan_holds_between_two_moments() -> None:
    policies = build_mortal(), build_mortal("b", ends="2026-06-01T06:00:00Z"), build_policy("c")
    later = END + 6 * 3600
    spans = {
        0.0: Span(until=END - NOTICE_S),
        END - NOTICE_S: Span(END - NOTICE_S, later - NOTICE_S),
        END - 1: Span(later - NOTICE_S, END),
        END: Span(END, later),
        later: Span(later),
    }
    for now, span in spans.items():
        found = plan(*policies, now=now)
        assert found.span == span
        assert [expiry.at for expiry in found.expiries] == [END, later]
    assert plan(build_policy("c", API)).span == Span()


def test_the_memory_changes_nothing_whichever_way_the_time_goes() -> None:
    memo = PlanCache()
    policies = (
        build_mortal("a", {**HTTP, "http": {"timeout": "3s"}}),
        build_mortal("b", {**HTTP, "http": {"timeout": "5s"}}, ends="2026-06-02T00:00:00Z"),
        build_policy("c", HTTP, {"hosts": ["other.example.com"]}, created=YOUNG),
    )
    day = 86_400.0
    for now in (0.0, END, END + day, END - day / 2, END + day, 0.0, END + day / 2, inf):
        inputs = NamespaceInput("shop", policies, now=now)
        found = plan_namespace(inputs, memo)
        assert found == plan_namespace(inputs)
        again = plan_namespace(inputs, memo)
        assert all(again.sets[key] == found.sets[key] for key in found.sets)
        assert all(again.results[name] is found.results[name] for name in found.results)


def test_the_findings_say_when_and_how_to_go_on() -> None:
    (soon,) = build_findings(plan(build_mortal(), now=END - NOTICE_S).results["a"])
    (over,) = build_findings(plan(build_mortal()).results["a"])
    assert build_findings(plan(build_mortal(), now=END - NOTICE_S - 1).results["a"]) == ()
    assert (soon.code, over.code) == ("EG119", "EG118")
    for finding in (soon, over):
        assert finding.path == "spec.expiresAt"
        assert ENDS in finding.message
        assert "set spec.expiresAt to a later time, or remove it" in finding.message


def test_the_whole_set_goes_also_what_is_behind() -> None:
    """A host that is open to some workloads has objects of its own names."""
    policy = build_mortal(spec={"from": {"workloads": {"matchLabels": {"app": "a"}}}})
    kinds = {item.key.kind for item in plan(policy, now=0.0).sets[HOST].objects}
    assert Kind.VIRTUAL_SERVICE in kinds
    assert plan(policy).sets == {HOST: ObjectSet(HOST, is_closing=True)}
