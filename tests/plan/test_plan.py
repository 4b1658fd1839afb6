"""Plans: what does not matter, what is remembered, what is said."""

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.object import Owner
from egress_operator.plan.plan import ClaimState, Plan, PlanCache, plan_in_pieces, plan_namespace
from egress_operator.plan.result import build_findings
from egress_operator.plan.source import HandWritten, NamespaceInput, PolicySource, Settings
from rollout.fake_cluster import build_policy, find_host

UNTIMED = settings(deadline=None, max_examples=60)
HOSTS = ("a.example.com", "b.example.com", "c.pay")
ADDRESSES = ("203.0.113.1", "203.0.113.2")

ports = st.sampled_from(
    [
        {"number": 443, "protocol": "TLS"},
        {"number": 443, "protocol": "HTTPS", "targetPort": 8443},
        {"number": 8080, "protocol": "HTTP"},
        {"number": 5432, "protocol": "TCP"},
    ]
)
named = st.fixed_dictionaries(
    {"hosts": st.lists(st.sampled_from(HOSTS), min_size=1, max_size=1)},
    optional={
        "ports": st.lists(ports, min_size=1, max_size=1),
        "addresses": st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=2, unique=True),
        "http": st.sampled_from([{"timeout": "1s"}, {"retries": {"attempts": 1}}]),
    },
)
ranges = st.fixed_dictionaries(
    {
        "addresses": st.lists(
            st.sampled_from([*ADDRESSES, "203.0.113.0/28"]), min_size=1, max_size=2, unique=True
        ),
        "ports": st.just([{"number": 5432, "protocol": "TCP"}]),
    }
)
destinations = st.lists(st.one_of(named, ranges), min_size=1, max_size=3)


@st.composite
def policy_lists(draw: st.DrawFn, prefix: str = "p") -> tuple[PolicySource, ...]:
    """Up to five policies; many of them are refused, in conflict, or paused."""
    return tuple(
        build_policy(
            f"{prefix}{index}",
            *draw(destinations),
            created=draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"])),
            paused=draw(st.integers(0, 5)) == 0,
            generation=draw(st.integers(1, 3)),
        )
        for index in range(draw(st.integers(0, 5)))
    )


def plan(*policies: PolicySource, **fields: Any) -> Plan:  # noqa: ANN401 - fields of the input
    return plan_namespace(NamespaceInput("shop", policies, **fields))


def see(found: Plan) -> object:
    """Everything that a plan says, specs too, which take no part in its equality."""
    specs = {
        key: [(dict(item.spec), item) for item in group.objects]
        for key, group in found.sets.items()
    }
    return specs, found.results, found.held, found.live


@UNTIMED
@given(policy_lists(), st.randoms())
def test_the_order_of_policies_does_not_matter(
    policies: tuple[PolicySource, ...],
    random: Any,  # noqa: ANN401 - random.Random of hypothesis
) -> None:
    shuffled = list(policies)
    random.shuffle(shuffled)
    assert see(plan(*shuffled)) == see(plan(*policies))


@UNTIMED
@given(policy_lists(), policy_lists(prefix="q"))
def test_policies_for_other_hosts_change_nothing(
    policies: tuple[PolicySource, ...], others: tuple[PolicySource, ...]
) -> None:
    unrelated = [
        build_policy(
            other.name, {"hosts": [f"{other.name}.other.example.com"]}, created=other.created
        )
        for other in others
    ]
    alone, together = plan(*policies), plan(*policies, *unrelated)
    assert {key: together.sets[key] for key in alone.sets} == alone.sets
    assert {name: together.results[name] for name in alone.results} == alone.results


@UNTIMED
@given(st.lists(st.tuples(policy_lists(), st.booleans()), min_size=2, max_size=4))
def test_a_memo_never_changes_a_plan(
    history: list[tuple[tuple[PolicySource, ...], bool]],
) -> None:
    memo = PlanCache()
    for round_, (policies, captured) in enumerate(history):
        fresh = tuple(
            replace(policy, generation=policy.generation + 10 * round_) for policy in policies
        )
        inputs = NamespaceInput("shop", fresh, Settings(dns_capture=captured))
        # A plan that is broken off changes nothing either.
        for _ in islice(plan_in_pieces(inputs, memo), round_ * 3):
            pass
        assert see(plan_namespace(inputs, memo)) == see(plan_namespace(inputs))
        for _ in plan_in_pieces(inputs, memo):
            pass
        assert see(plan_namespace(inputs, memo)) == see(plan_namespace(inputs))


@UNTIMED
@given(policy_lists())
def test_every_object_has_an_owner_that_claims_it(policies: tuple[PolicySource, ...]) -> None:
    found = plan(*policies)
    names = [item.key for group in found.sets.values() for item in group.objects]
    assert len(names) == len(set(names))
    for key, group in found.sets.items():
        assert group.key == key
        assert any(key in verdict.set_keys for verdict in found.results.values())
        for item in group.objects:
            assert item.owners
            assert set(item.owners) <= found.live
            assert item.spec["exportTo"] == ["."]
            assert item.spec["hosts"] == [str(key)]


@UNTIMED
@given(policy_lists())
def test_every_claim_has_one_fate(policies: tuple[PolicySource, ...]) -> None:
    found = plan(*policies)
    assert set(found.results) == {policy.name for policy in policies}
    for verdict in found.results.values():
        live = verdict.accepted and not verdict.paused
        assert (Owner(verdict.policy, verdict.uid) in found.live) == live
        for row in verdict.claims:
            expected = (
                {ClaimState.CLAIMED, ClaimState.CONFLICTED}
                if live
                else {ClaimState.PAUSED if verdict.paused else ClaimState.REFUSED}
            )
            assert row.state in expected
            assert bool(row.message) == bool(row.code) == (row.state is ClaimState.CONFLICTED)
            assert bool(row.set_key) == (row.state is ClaimState.CLAIMED)
        assert set(verdict.set_keys) <= set(found.sets)


def test_unchanged_values_are_the_identical_ones() -> None:
    memo = PlanCache()
    first = build_policy("a", {"hosts": ["a.example.com"]})
    second = build_policy("b", {"hosts": ["b.example.com"]})
    third = build_policy("c", {"hosts": ["c.example.com"], "addresses": ["203.0.113.1"]})
    before = plan_namespace(NamespaceInput("shop", (first, second, third)), memo)
    edited = replace(second, generation=2, spec={"destinations": [{"hosts": ["d.example.com"]}]})
    copy = replace(first, spec={"destinations": "not looked at: the same generation"})
    after = plan_namespace(NamespaceInput("shop", (copy, edited, third)), memo)
    assert {str(key) for key in after.sets} == {"a.example.com", "c.example.com", "d.example.com"}
    for host in ("a.example.com", "c.example.com"):
        assert find_host(after, host) is find_host(before, host)
    assert after.results["a"] is before.results["a"]
    assert after.results["c"] is before.results["c"]
    assert after.results["b"] != before.results["b"]


def test_a_memo_keeps_namespaces_apart() -> None:
    memo = PlanCache()
    shop = build_policy("a", {"hosts": ["a.example.com"]})
    pay = build_policy("a", {"hosts": ["b.example.com"]}, namespace="pay")
    plan_namespace(NamespaceInput("shop", (shop,)), memo)
    found = plan_namespace(NamespaceInput("pay", (pay,)), memo)
    assert {str(key) for key in found.sets} == {"b.example.com"}
    assert find_host(found, "b.example.com").objects[0].key.namespace == "pay"
    assert plan_namespace(NamespaceInput("pay", ()), memo).sets == {}
    assert {str(key) for key in plan_namespace(NamespaceInput("shop", (shop,)), memo).sets} == {
        "a.example.com"
    }


def test_settings_that_change_are_seen() -> None:
    memo = PlanCache()
    policy = build_policy(
        "a", {"hosts": ["a.example.com"], "ports": [{"number": 5432, "protocol": "TCP"}]}
    )
    inputs = NamespaceInput("shop", (policy,))
    assert not plan_namespace(inputs, memo).results["a"].accepted
    captured = replace(inputs, settings=Settings(dns_capture=True))
    assert plan_namespace(captured, memo).results["a"].accepted


def test_a_new_incarnation_is_read_anew() -> None:
    memo = PlanCache()
    policy = build_policy("a", {"hosts": ["a.example.com"]})
    plan_namespace(NamespaceInput("shop", (policy,)), memo)
    again = replace(policy, uid="other", spec={"destinations": [{"hosts": ["b.example.com"]}]})
    found = plan_namespace(NamespaceInput("shop", (again,)), memo)
    assert {str(key) for key in found.sets} == {"b.example.com"}
    assert found.live == {Owner("a", "other")}


def test_a_setting_that_is_no_range_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        plan(settings=Settings(allowed_cidrs=("nonsense",)))


def test_findings_are_sorted_errors_first() -> None:
    old = build_policy("a", {"hosts": ["a.example.com"], "addresses": ["203.0.113.1"]})
    young = build_policy(
        "b",
        {"hosts": ["a.example.com", "b.example.com"]},
        created="2026-02-01T00:00:00Z",
    )
    hand_written = HandWritten("ServiceEntry", "legacy", "", ("b.example.com",))
    found = plan(old, young, hand_written=(hand_written,)).results["b"]
    assert [item.code for item in build_findings(found)] == ["EG101", "EG105"]
    assert found.accepted


def test_many_addresses_are_compared_without_comparing_all_pairs() -> None:
    """Not timed: a thousand hosts with an address each would need half a million comparisons."""
    policies = [
        build_policy(
            f"p{index}",
            *(
                {
                    "hosts": [f"h{index}-{number}.example.com"],
                    "addresses": [f"203.{index}.{number}.1"],
                    "ports": [{"number": 5432, "protocol": "TCP"}],
                }
                for number in range(16)
            ),
        )
        for index in range(20)
    ]
    found = plan(*policies)
    assert len(found.sets) == 320
    assert all(
        row.state is ClaimState.CLAIMED
        for verdict in found.results.values()
        for row in verdict.claims
    )
