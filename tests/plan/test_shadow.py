"""Objects by hand beside ours: the index finds what comparing each name with each host finds."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.diagnostic import MOST_NAMED
from egress_operator.istio.observed import read_observed
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.piece import finish
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.result import PolicyResult
from egress_operator.plan.shadow import NO_SHADOWS, find_shadows
from egress_operator.plan.source import HandWritten, NamespaceInput, build_hand_written
from plan.rival import POOL, RIVALS, SUBSETS, Rival, build_rule
from rollout.fake_cluster import build_policy, find_host

UNTIMED = settings(deadline=None, max_examples=300)
NOTHING = CompiledHost(None)
TRAFFIC = ("trafficPolicy",)
RULE = "DestinationRule"

labels = st.text("ab-", min_size=1, max_size=2)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
stars = st.one_of(hosts.map("*.{}".format), hosts.map("*{}".format), st.just("*"))
items = st.builds(
    HandWritten,
    kind=st.sampled_from(["VirtualService", "ServiceEntry", RULE]),
    name=st.sampled_from(["v", "w", "x", "y"]),
    created=st.just(""),
    hosts=st.lists(st.one_of(hosts, stars), max_size=4).map(tuple),
    parts=st.sampled_from([(), TRAFFIC]),
)


def matches(item: HandWritten, name: str, host: str) -> bool:
    """Tell by the plain rule whether a name of an object is also that of a host."""
    if not name.startswith("*"):
        return name == host
    return item.kind != "ServiceEntry" and host.endswith(name[1:])


def is_taken(item: HandWritten, name: str, host: str, ours: set[str]) -> bool:
    """Tell by the plain rule whether an object takes a name from a wildcard of ours."""
    over = [other for other in ours if other.startswith("*.") and name.endswith(other[1:])]
    is_narrowest = bool(over) and host == max(over, key=len)
    return item.kind != RULE and name not in ours and is_narrowest


def is_told(item: HandWritten, name: str, host: str, among: list[HandWritten]) -> bool:
    """Tell by the plain rule whether an object is named; of wildcards of rules the longest."""
    if not matches(item, name, host):
        return False
    if item.kind != RULE or name == host:
        return True
    names = {
        other
        for rule in among
        if rule.kind == RULE
        for other in rule.hosts
        if matches(rule, other, host)
    }
    return bool(item.parts) and host not in names and name == max(names, key=len)


@UNTIMED
@given(
    st.lists(items, max_size=8, unique_by=lambda item: (item.kind, item.name)),
    st.sets(st.one_of(hosts, stars), max_size=8),
)
def test_the_index_finds_what_the_plain_rule_finds(
    hand_written: list[HandWritten], ours: set[str]
) -> None:
    found = finish(find_shadows("shop", hand_written, dict.fromkeys(ours, NOTHING), {}))
    expected = {
        host: {
            (item.kind, item.name, name)
            for item in hand_written
            for name in item.hosts
            if is_told(item, name, host, hand_written)
        }
        for host in ours
    }
    taken = {
        host: {
            (item.kind, item.name, name)
            for item in hand_written
            for name in item.hosts
            if is_taken(item, name, host, ours)
        }
        for host in ours
    }
    assert not found.overriding
    assert not found.rivals
    assert found.beside.keys() == {host for host in ours if expected[host] or taken[host]}
    for host, sentences in found.beside.items():
        starts = [
            (kind, name, f"also names {host if by == host else f'{host} (by {by})'}: ")
            for kind, name, by in expected[host]
        ]
        starts += [
            (kind, name, f"names {by}, which is below {host}: ") for kind, name, by in taken[host]
        ]
        first = sorted(start[:2] for start in starts)[:MOST_NAMED]
        told = [
            (kind, name)
            for kind, name, words in starts
            for sentence in sentences
            if sentence.startswith(f"{kind} {name}, written by hand, {words}")
        ]
        rest = len(starts) - len(first)
        more = [f"more objects that are written by hand and concern {host}: {rest}"] if rest else []
        assert sorted(told) == first
        assert list(sentences[len(first) :]) == more
        assert list(sentences) == sorted(set(sentences))


def test_an_object_with_the_name_of_one_of_ours_is_no_shadow() -> None:
    policy = build_policy("p", {"hosts": ["a.example.com"]})
    plan = plan_namespace(NamespaceInput(policy.namespace, (policy,)))
    group = find_host(plan, "a.example.com")
    entry = group.objects[0].key
    squatter = HandWritten(entry.kind, entry.name, "", ("a.example.com",))
    hosts = {"a.example.com": CompiledHost(group)}
    assert finish(find_shadows("shop", [squatter], hosts, {})) == NO_SHADOWS


def read(name: str, host: str, spec: dict[str, Any], created: str) -> HandWritten:
    rule = build_rule(name, host, spec)
    metadata = rule["metadata"] | {"creationTimestamp": created}
    return build_hand_written(read_observed({**rule, "metadata": metadata}))


def judge(host: str, *rules: HandWritten, **destination: object) -> PolicyResult:
    """Plan a policy for the host whose DestinationRule, if it has one, came at noon."""
    policy = build_policy("p", {"hosts": [host], **destination})
    inputs = NamespaceInput("shop", (replace(policy, namespace="shop"),))
    name = find_host(plan_namespace(inputs), host).name
    ages = {name: "2026-01-01T12:00:00Z"}
    return plan_namespace(replace(inputs, hand_written=rules, rule_ages=ages)).results["p"]


MORNING, EVENING = "2026-01-01T06:00:00Z", "2026-01-01T18:00:00Z"


@pytest.mark.parametrize("rival", RIVALS, ids=[rival.name for rival in RIVALS])
def test_a_rule_that_counts_in_place_of_ours_is_an_error(rival: Rival) -> None:
    created = MORNING if rival.is_older else EVENING
    rule = read(rival.name, rival.host, rival.spec, created)
    seen = rival.spec.get("exportTo") != ["pay"]
    policy = build_policy("p", {"hosts": [rival.host], "originateTLS": {}})
    inputs = NamespaceInput("shop", (replace(policy, namespace="shop"),), hand_written=(rule,))
    name = find_host(plan_namespace(inputs), rival.host).name
    plan = plan_namespace(replace(inputs, rule_ages={name: "2026-01-01T12:00:00Z"}))
    result = plan.results["p"]
    assert bool(plan.rivals) is seen
    assert bool(result.overridden) is rival.counts
    if rival.counts:
        (sentence,) = result.overridden
        start = f"DestinationRule {rival.name}, written by hand, counts for {rival.host} in place"
        assert sentence.startswith(start)
        age = "older" if rival.is_older else "younger"
        why = "it has a workloadSelector" if "workloadSelector" in rival.spec else f"it is {age}"
        assert (
            f"the operator's own because {why}: originateTLS, traffic and failover have no effect"
            in sentence
        )
    assert bool(result.shadowed) is (seen and not rival.counts)
    assert all("it has no effect beside the operator's own" in line for line in result.shadowed)


def test_a_rule_in_a_file_may_be_older_or_younger() -> None:
    for spec, age in (({"exportTo": ["."], **POOL}, "older"), (POOL, "younger")):
        rule = read("x", "a.example.com", spec, "")
        (sentence,) = judge("a.example.com", rule, originateTLS={}).overridden
        assert f"the operator's own if it is {age}: " in sentence
    wider = read("x", "a.example.com", {"exportTo": [".", "pay"], **POOL}, "")
    result = judge("a.example.com", wider, originateTLS={})
    assert (result.overridden, len(result.shadowed)) == ((), 1)


def test_of_three_rules_the_last_that_stands_alone_counts() -> None:
    rules = [
        read("a", "a.example.com", {"exportTo": ["."], **POOL}, MORNING),
        read("b", "a.example.com", {"exportTo": ["*"], **POOL}, MORNING),
    ]
    # Ours is merged into the first one, and stands beside the second one all the same.
    assert judge("a.example.com", *rules, originateTLS={}).overridden == ()
    last = read("c", "a.example.com", SUBSETS, EVENING)
    (sentence,) = judge("a.example.com", *rules, last, originateTLS={}).overridden
    assert sentence.startswith("DestinationRule c, ")


def test_a_rule_for_a_host_without_one_of_ours_is_followed() -> None:
    rule = read("x", "a.example.com", POOL, MORNING)
    (sentence,) = judge("a.example.com", rule).shadowed
    assert sentence == (
        "DestinationRule x, written by hand, also names a.example.com: Istio applies its "
        "trafficPolicy to calls of this host, so remove one"
    )
    (sentence,) = judge("a.example.com", read("x", "a.example.com", SUBSETS, MORNING)).shadowed
    assert sentence.endswith("it has no effect beside this policy, so remove it")


def test_a_rule_by_wildcard_matters_only_for_hosts_without_one_of_ours() -> None:
    rule = read("wild", "*.example.com", POOL, MORNING)
    (sentence,) = judge("a.example.com", rule).shadowed
    assert "also names a.example.com (by *.example.com): Istio applies its" in sentence
    assert judge("a.example.com", rule, originateTLS={}).shadowed == ()


WORKLOADS = {"workloads": {"matchLabels": {"app": "checkout"}}}
PLAIN = {"hosts": ["api.example.com"], "ports": [{"number": 80, "protocol": "HTTP"}]}


def build_restricted(**more: object) -> NamespaceInput:
    """Build a policy whose calls go on under a private name."""
    policy = build_policy("web", {**PLAIN, **more})
    return NamespaceInput("shop", (replace(policy, spec={**policy.spec, "from": WORKLOADS}),))


def find_private_name(inputs: NamespaceInput) -> str:
    found = find_host(plan_namespace(inputs), "api.example.com")
    (name,) = (
        item.facts.hosts[0]
        for item in found.objects
        if item.key.kind == "ServiceEntry" and item.facts.hosts[0] != "api.example.com"
    )
    return name


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("has_rule", [True, False])
def test_a_rule_for_a_private_name_is_told(*, is_exact: bool, has_rule: bool) -> None:
    inputs = build_restricted(**({"originateTLS": {}} if has_rule else {}))
    if has_rule:
        inputs.policies[0].spec["destinations"][0]["ports"][0]["targetPort"] = 443
    name = find_private_name(inputs)
    rule = HandWritten(
        RULE, "mine", "2020-01-01T00:00:00Z", (name if is_exact else "*.internal",), (".",), TRAFFIC
    )
    result = plan_namespace(replace(inputs, hand_written=(rule,))).results["web"]
    if has_rule:
        assert bool(result.overridden) is is_exact
        assert result.shadowed == ()
        if is_exact:
            assert f"counts for {name} behind api.example.com in place" in result.overridden[0]
    else:
        what = f"{name} behind api.example.com" if is_exact else "api.example.com (by *.internal)"
        (sentence,) = result.shadowed
        assert sentence == (
            f"DestinationRule mine, written by hand, also names {what}: Istio applies its "
            "trafficPolicy to calls of this host, so remove one"
        )


@pytest.mark.parametrize("kind", ["VirtualService", "ServiceEntry"])
def test_an_object_for_a_private_name_is_told_and_one_by_wildcard_is_not(kind: str) -> None:
    inputs = build_restricted()
    item = HandWritten(kind, "mine", "2020-01-01T00:00:00Z", (find_private_name(inputs),))
    told = plan_namespace(replace(inputs, hand_written=(item,))).results["web"].shadowed
    assert len(told) == 1
    item = replace(item, hosts=("*.internal",))
    assert plan_namespace(replace(inputs, hand_written=(item,))).results["web"].shadowed == ()


def test_without_a_private_name_nothing_is_told() -> None:
    rule = HandWritten(RULE, "mine", "", ("*.internal",), (".",), TRAFFIC)
    inputs = NamespaceInput("shop", (build_policy("web", PLAIN),), hand_written=(rule,))
    assert plan_namespace(inputs).results["web"].shadowed == ()
