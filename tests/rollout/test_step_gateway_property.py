"""From every mixture of old and new the steps lead to what is planned and break nothing.

What must hold between any two writes is checked by `InvariantChecker`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.set_key import Scope, SetKey
from egress_operator.plan.option import GatewayObjects
from egress_operator.plan.source import (
    GatewaySource,
    PolicySource,
    Settings,
)
from rollout.convergence import converge, finish, list_steps
from rollout.example import FEW, MANY
from rollout.fake_cluster import SETTLE, FakeCluster
from rollout.invariant import InvariantChecker
from rollout.policy_set import (
    NAMESPACES,
    OTHER,
    SHARED,
    PolicySet,
    build_gateway,
    build_route,
    expire,
)

if TYPE_CHECKING:
    from egress_operator.istio.object import Owner
    from egress_operator.plan.plan import Plan

pytestmark = pytest.mark.timeout(900)
"""Much to compute: 15 s alone, and many times that where others need the processors."""

Spec = Mapping[str, Any]
PORTS: dict[str, dict[str, Any]] = {
    "http": {"number": 80, "protocol": "HTTP"},
    "timed": {"number": 80, "protocol": "HTTP", "http": {"timeout": "1s"}},
    "secure": {"number": 80, "protocol": "HTTP", "targetPort": 443, "originateTLS": {}},
    "web": {"number": 8080, "protocol": "HTTP"},
    "turned": {"number": 8080, "protocol": "TLS"},
    "ended": {"number": 8080, "protocol": "HTTP", "originateTLS": {}},
    "opaque": {"number": 443, "protocol": "TLS"},
    "raw": {"number": 5432, "protocol": "TCP"},
}
V1, V2 = ({"address": f"203.0.113.{number}"} for number in (1, 2))
SPLIT = [
    {"name": "v1", "weight": 75, "endpoints": [V1]},
    {"name": "v2", "weight": 25, "endpoints": [V2]},
]
PLACES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {"backends": [{"name": "v1", "endpoints": [V1]}]},
    {"backends": SPLIT},
    {"backends": [{**SPLIT[0], "weight": 0}, {**SPLIT[1], "name": "v3"}]},
    {
        "backends": [{"name": "v1", "endpoints": [V1]}, {"name": "v2", "endpoints": [V2]}],
        "failover": True,
    },
)
"""Where the host is."""
SOURCES: tuple[dict[str, Any] | None, ...] = (
    None,
    None,
    {"workloads": {"matchLabels": {"app": "a"}}},
    {"serviceAccounts": ["one"]},
    {"serviceAccounts": ["one", "two"], "workloads": {"matchLabels": {"app": "a"}}},
)
FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"service": {"name": "egress", "port": 8443}},
    {"service": {"name": "second", "port": 443}},
    {"selector": {"istio": "moved"}},
    {"namespace": "egress-moved"},
    {"traffic": {"connectionPool": {"maxConnections": 10}}},
    {"selector": {}},
)


@st.composite
def build_policies(draw: st.DrawFn, generation: int) -> tuple[PolicySource, ...]:
    """Two policies of one tenant for one host, and one of another tenant."""
    found = []
    for name, namespace, created in (
        ("a", "shop", "2026-01-01T00:00:00Z"),
        ("b", "shop", "2026-02-01T00:00:00Z"),
        ("c", "pay", "2026-01-01T00:00:00Z"),
    ):
        state = draw(st.sampled_from(["live"] * 5 + ["paused", "refused", "absent", "expired"]))
        if state == "absent":
            continue
        keys = draw(
            st.lists(
                st.sampled_from(sorted(PORTS)),
                min_size=1,
                max_size=2,
                unique_by=lambda key: PORTS[key]["number"],
            )
        )
        place = draw(st.sampled_from(PLACES))
        ports = [PORTS[key] for key in keys]
        if "backends" in place and draw(st.booleans()) and len(place["backends"]) > 1:
            mirror = {"backend": "v1", "percentage": 10}
            ports = [
                {**port, "http": {**port.get("http", {}), "mirror": mirror}}
                if port["protocol"] == "HTTP"
                else port
                for port in ports
            ]
        hosts = ["x.y.svc"] if state == "refused" else ["api.example.com"]
        policy = build_route(
            name,
            *ports,
            place=place,
            gateway=draw(st.sampled_from(["", SHARED, SHARED, OTHER])),
            source=draw(st.sampled_from(SOURCES)),
            hosts=hosts,
            namespace=namespace,
            created=created,
            paused=state == "paused",
            generation=generation,
        )
        found.append(expire(policy) if state == "expired" else policy)
    return tuple(found)


@st.composite
def build_gateways(draw: st.DrawFn, generation: int) -> tuple[GatewaySource, ...]:
    """Two gateways; either may be absent, and the first may be anything."""
    found = []
    if draw(st.integers(0, 5)):
        place = draw(st.sampled_from(FIELDS))
        authorization = draw(st.sampled_from(["Managed", "Managed", "DryRun", "None"]))
        found.append(build_gateway(SHARED, generation, **place, authorization=authorization))
    if draw(st.integers(0, 5)):
        found.append(build_gateway(OTHER))
    return tuple(found)


@st.composite
def build_policy_sets(draw: st.DrawFn, scoped: bool, generation: int) -> PolicySet:  # noqa: FBT001 - a draw
    """All that users wrote at one time; `scoped` stays as it is in one history."""
    where = GatewayObjects.GATEWAY_NAMESPACE if scoped else GatewayObjects.TENANT
    return PolicySet(
        policies=draw(build_policies(generation)),
        gateways=draw(build_gateways(generation)),
        selected=draw(
            st.sampled_from([frozenset(NAMESPACES)] * 4 + [frozenset({"pay"}), frozenset()])
        ),
        settings=Settings(dns_capture=True, gateway_objects=where),
    )


def run_some(checker: InvariantChecker, policy_set: PolicySet, data: st.DataObject) -> None:
    """Carry out some writes, in any order, with crashes and time in between."""
    cluster = checker.cluster
    checker.begin(policy_set)
    for _ in range(data.draw(st.integers(0, 6))):
        writes = [write for step in list_steps(checker) for write in step.writes]
        for write in data.draw(st.permutations(writes)):
            if data.draw(st.integers(0, 9)) > 0:
                checker.send(write)
        if data.draw(st.integers(0, 5)) == 0:
            cluster.restart()
        checker.pass_time(data.draw(st.sampled_from([0.0, 0.1, 1.0, SETTLE])))


@FEW
@given(st.data())
def test_any_history_converges_and_breaks_nothing(data: st.DataObject) -> None:
    check_history(data)


@pytest.mark.long("campaign")
@pytest.mark.timeout(400)
@MANY
@given(st.data())
def test_any_of_many_histories_converges_and_breaks_nothing(data: st.DataObject) -> None:
    check_history(data)


def separate_edits(old: Mapping[str, Spec], after: PolicySet, *, settled: bool) -> PolicySet:
    """Change the authorization of a gateway only where it stays, and after all else has settled.

    The API server refuses both in one edit; the docs ask to wait in between. `old`: what was last
    said of each gateway, also of one that is deleted: policies on hold may stay at its place.
    """

    def keep(source: GatewaySource) -> GatewaySource:
        spec = old.get(source.name)
        if spec is None:
            return source
        stays = all(
            spec[name] == source.spec[name] for name in ("namespace", "selector", "service")
        )
        if settled and stays:
            return source
        return replace(source, spec={**source.spec, "authorization": spec["authorization"]})

    return replace(after, gateways=tuple(map(keep, after.gateways)))


def check_history(data: st.DataObject) -> None:
    """Edit, crash, delete and let time pass in any order; then all is as planned."""
    checker = InvariantChecker(FakeCluster())
    scoped = data.draw(st.booleans())
    known: set[Owner] = set()
    said: dict[str, Spec] = {}
    policy_set, settled = PolicySet(), True
    for generation in range(1, data.draw(st.integers(2, 4)) + 1):
        policy_set = separate_edits(
            said, data.draw(build_policy_sets(scoped, generation)), settled=settled
        )
        said |= {source.name: source.spec for source in policy_set.gateways}
        if data.draw(st.booleans()):
            checker.cluster.remove_owners(known - policy_set.list_owners())
            known = set()
        known |= policy_set.list_owners()
        settled = data.draw(st.booleans())
        if settled:
            converge(checker, policy_set)
            checker.cluster.now += 10 * SETTLE
        else:
            run_some(checker, policy_set, data)
    checker.cluster.remove_owners(known - policy_set.list_owners())
    finish(checker, policy_set)


@FEW
@given(st.data())
def test_any_mixture_of_objects_converges(data: st.DataObject) -> None:
    check_mixture(data)


@pytest.mark.long("campaign")
@pytest.mark.timeout(400)
@MANY
@given(st.data())
def test_any_of_many_mixtures_of_objects_converges(data: st.DataObject) -> None:
    check_mixture(data)


def check_mixture(data: st.DataObject) -> None:
    """Start with some objects of several states; converge, and then nothing is left to do."""
    cluster = FakeCluster()
    scoped = data.draw(st.booleans())
    owners: set[Owner] = set()
    for generation in (1, 2):
        policy_set = data.draw(build_policy_sets(scoped, generation))
        owners |= policy_set.list_owners()
        for plan in policy_set.plan(FakeCluster()):
            for group in plan.sets.values():
                for desired in group.objects:
                    if data.draw(st.booleans()):
                        cluster.put(build_manifest(desired, desired.owners))
    cluster.restart()
    policy_set = data.draw(build_policy_sets(scoped, 3))
    cluster.remove_owners(owners - policy_set.list_owners())
    finish(InvariantChecker(cluster), policy_set)


def list_specs(plans: "list[Plan]", scope: Scope) -> dict[SetKey, list[tuple[Any, ...]]]:
    """Return everything that a scope wants, specs too, which take no part in equality."""
    (plan,) = [plan for plan in plans if plan.scope == scope]
    return {
        key: [(item, dict(item.spec)) for item in group.objects] for key, group in plan.sets.items()
    }


@FEW
@given(st.data(), st.randoms())
def test_neither_order_nor_what_others_want_matters(
    data: st.DataObject,
    random: Any,  # noqa: ANN401 - random.Random of hypothesis
) -> None:
    policy_set = data.draw(build_policy_sets(data.draw(st.booleans()), 1))
    policies, gateways = list(policy_set.policies), list(policy_set.gateways)
    random.shuffle(policies)
    random.shuffle(gateways)
    cluster = FakeCluster()
    before = policy_set.plan(cluster)
    shuffled = replace(policy_set, policies=tuple(policies), gateways=tuple(gateways)).plan(cluster)
    for scope in (*NAMESPACES, None):
        assert list_specs(shuffled, scope) == list_specs(before, scope)
    others = (
        *(item for item in policy_set.policies if item.namespace == "shop"),
        build_route("z", PORTS["http"], gateway=SHARED, namespace="pay"),
    )
    alone = replace(policy_set, policies=others).plan(cluster)
    assert list_specs(alone, "shop") == list_specs(before, "shop")
    (mine, theirs) = (list_specs(plans, None) for plans in (alone, before))
    for key in mine.keys() | theirs.keys():
        shop = [spec for spec in theirs[key] if "pay" not in str(spec)]
        assert [spec for spec in mine[key] if "pay" not in str(spec)] == shop
