"""An object is of the set that would write it exactly there, whatever its labels say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import build_manifest, is_as_desired
from egress_operator.istio.name import build_host_name, build_tenant_name
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import GatewaySet, HostSet, SetKey, TenantSet, is_expected
from egress_operator.plan.option import GatewayObjects
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.source import NamespaceInput, Settings
from rollout.fake_cluster import AP, DR, EF, GW, SE, VS, FakeCluster, build_policy, find_host
from rollout.policy_set import SHARED, PolicySet, build_gateway, build_route

HOST = "api.example.com"
NAME = build_host_name(HOST)
WILDCARD = "*.example.com"
WILD = f"{build_host_name(WILDCARD)}-80-0123456789abcdef"
LABEL = "shared-h0123456789abcdef"
BEHIND = f"{NAME}-443-0123456789abcdef"
OURS = "app.kubernetes.io/managed-by"
HOST_OF = "egress-operator.io/host"
NAMESPACE_OF = "egress-operator.io/namespace"
GATEWAY_OF = "egress-operator.io/gateway"
FOREIGN = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "y"}

Object = dict[str, Any]


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize("namespace", ["egress", "shop"])
def test_every_planned_object_is_read_back_as_of_its_set(*, scoped: bool, namespace: str) -> None:
    place = GatewayObjects.GATEWAY_NAMESPACE if scoped else GatewayObjects.TENANT
    restricted = {"serviceAccounts": ["web"]}
    ports = [{"number": 80, "protocol": "HTTP"}, {"number": 443, "protocol": "TLS"}]
    policies = (
        build_route("a", ports[0], gateway=SHARED, source=restricted),
        build_route("b", ports[1], gateway=SHARED, hosts=["b.example.com"]),
        build_route("c", ports[0], source={"workloads": {"matchLabels": {"app": "x"}}}),
        build_route("d", ports[0], gateway=SHARED, hosts=["*.example.org"]),
        build_route("e", ports[0], gateway=SHARED, hosts=["*.example.net"], source=restricted),
        build_route("f", ports[1], gateway=SHARED, hosts=["*.example.info"]),
        build_route("g", ports[1], gateway=SHARED, hosts=["*.example.biz"], source=restricted),
    )
    gateway = build_gateway(namespace=namespace, wildcards="HTTPAndTLS")
    found = PolicySet(policies, (gateway,), settings=Settings(gateway_objects=place))
    plans = found.plan(FakeCluster())
    objects = [item for plan in plans for group in plan.sets.values() for item in group.objects]
    assert {item.key.kind for item in objects} == {*Kind}
    for item in objects:
        observed = read_observed(build_manifest(item, item.owners))
        assert (observed.set_key, observed.place) == (item.set_key, item.place)


@pytest.mark.parametrize(
    ("group", "key", "place"),
    [
        (HostSet("shop", HOST), ObjectKey(SE, "evil", NAME), ""),
        (HostSet("shop", HOST), ObjectKey(SE, "shop", build_host_name("b.example.com")), ""),
        (HostSet("shop", HOST), ObjectKey(SE, "shop", "x-h0123456789abcdef"), ""),
        (HostSet("shop", HOST), ObjectKey(GW, "shop", NAME), ""),
        (HostSet("shop", HOST), ObjectKey(GW, "shop", f"{BEHIND}-in"), ""),
        (HostSet("shop", HOST), ObjectKey(SE, "shop", f"{BEHIND}-d"), ""),
        (HostSet("shop", HOST), ObjectKey(SE, "shop", f"{BEHIND}-c"), ""),
        (HostSet("shop", WILDCARD), ObjectKey(SE, "shop", f"{WILD}-in"), ""),
        (HostSet("shop", WILDCARD), ObjectKey(GW, "shop", f"{WILD}-d"), ""),
        (HostSet("shop", WILDCARD), ObjectKey(VS, "shop", f"{WILD}-d"), ""),
        (HostSet("shop", WILDCARD), ObjectKey(GW, "shop", f"{WILD}-in-in"), ""),
        (HostSet("shop", WILDCARD), ObjectKey(GW, "istio-egress", f"{WILD}-in"), LABEL),
        (HostSet("shop", HOST), ObjectKey(AP, "shop", BEHIND), ""),
        (HostSet("shop", HOST), ObjectKey(AP, "istio-egress", BEHIND), LABEL),
        (HostSet("shop", HOST), ObjectKey(VS, "istio-egress", BEHIND), LABEL),
        (TenantSet("shop", LABEL), ObjectKey(DR, "evil", LABEL), ""),
        (TenantSet("shop", LABEL), ObjectKey(DR, "shop", "x-h0123456789abcdef"), ""),
        (TenantSet("shop", LABEL), ObjectKey(VS, "shop", LABEL), ""),
        (TenantSet("shop", LABEL), ObjectKey(AP, "istio-egress", LABEL), LABEL),
        (TenantSet("shop", "web"), ObjectKey(DR, "shop", "web"), ""),
        (
            TenantSet("shop", LABEL),
            ObjectKey(AP, "istio-egress", build_tenant_name("evil", LABEL)),
            LABEL,
        ),
        (GatewaySet(LABEL, "istio-egress"), ObjectKey(AP, "istio-egress", NAME), LABEL),
        (HostSet("shop", WILDCARD), ObjectKey(EF, "shop", WILD), ""),
        (HostSet("shop", WILDCARD), ObjectKey(EF, "istio-egress", WILD), LABEL),
        (GatewaySet("a", "istio-egress"), ObjectKey(EF, "istio-egress", LABEL), LABEL),
        (GatewaySet("a", "istio-egress"), ObjectKey(EF, "istio-egress", WILD), LABEL),
        (GatewaySet(LABEL, "istio-egress"), ObjectKey(DR, "istio-egress", LABEL), LABEL),
        (GatewaySet("web", "istio-egress"), ObjectKey(AP, "istio-egress", "web"), "web"),
        (GatewaySet(LABEL, "istio-egress"), ObjectKey(AP, "evil", LABEL), LABEL),
    ],
)
def test_what_a_set_would_not_write_there_is_not_of_it(
    group: SetKey, key: ObjectKey, place: str
) -> None:
    assert not is_expected(group, key, place)


def build_stored(plan: Plan) -> tuple[FakeCluster, Object]:
    """Have a cluster as the plan of one host wants it; its ServiceEntry."""
    cluster = FakeCluster()
    cluster.converge(plan)
    return cluster, cluster.objects[ObjectKey(SE, "shop", NAME)]


def build_plan() -> Plan:
    policy = build_policy("a", {"hosts": [HOST]})
    return plan_namespace(NamespaceInput("shop", (policy,)))


def without_label(metadata: Object) -> None:
    del metadata["labels"][OURS]


def without_labels(metadata: Object) -> None:
    del metadata["labels"]


def without_annotations(metadata: Object) -> None:
    metadata["annotations"] = {}


def of_another_host(metadata: Object) -> None:
    metadata["annotations"][HOST_OF] = "b.example.com"


def with_another_owner(metadata: Object) -> None:
    metadata["ownerReferences"].append(FOREIGN)


def only_labelled(metadata: Object) -> None:
    metadata["ownerReferences"] = [FOREIGN]
    metadata["annotations"] = {"theirs": "kept"}


@pytest.mark.parametrize(
    "change",
    [
        without_label,
        without_labels,
        without_annotations,
        of_another_host,
        with_another_owner,
    ],
)
def test_what_somebody_took_from_a_wanted_object_is_restored(
    change: Callable[[Object], None],
) -> None:
    plan = build_plan()
    cluster, entry = build_stored(plan)
    change(entry["metadata"])
    (desired,) = find_host(plan, HOST).objects
    assert not is_as_desired(read_observed(entry), desired, desired.owners)
    assert not read_observed(entry).ours
    (write,) = cluster.converge(plan)
    assert write.key == desired.key
    assert is_as_desired(read_observed(cluster.objects[write.key]), desired, desired.owners)


def test_an_object_of_another_set_under_our_name_is_squatted() -> None:
    """No two hosts have one name; if two had, the second would not take over the first."""
    plan = build_plan()
    cluster, entry = build_stored(plan)
    other = replace(read_observed(entry), set_key=HostSet("shop", "b.example.com"))
    step = cluster.compute_step(plan, find_host(plan, HOST), [other])
    assert (step.writes, step.squatted) == ((), (other.key,))


def test_annotations_that_mean_nothing_here_do_no_harm() -> None:
    plan = build_plan()
    cluster, entry = build_stored(plan)
    entry["metadata"]["annotations"] |= {NAMESPACE_OF: "pay", GATEWAY_OF: LABEL}
    assert read_observed(entry).set_key == HostSet("shop", HOST)
    assert cluster.converge(plan) == []


@pytest.mark.parametrize("marks", [("labels", "ownerReferences"), ("annotations",)])
def test_what_is_not_wanted_and_not_ours_is_left_alone(marks: tuple[str, ...]) -> None:
    plan = build_plan()
    cluster, entry = build_stored(plan)
    for mark in marks:
        del entry["metadata"][mark]
    live = plan_namespace(NamespaceInput("shop", (build_policy("a", {"hosts": ["b.example"]}),)))
    cluster.converge(live)
    assert ObjectKey(SE, "shop", NAME) in cluster.objects


def test_objects_of_one_namespace_do_not_hold_those_of_another() -> None:
    """A forged AuthorizationPolicy in `evil` says that it is of shop and refers to its tenant."""
    policies = (build_route("a", {"number": 80, "protocol": "HTTP"}, gateway=SHARED),)
    gateways = (build_gateway(),)
    cluster = FakeCluster()
    old = PolicySet(policies, gateways)
    cluster.converge(*old.plan(cluster))
    label = next(str(key) for key in old.plan(cluster)[0].sets if isinstance(key, TenantSet))
    domain = f"{label}.shop.egress.internal"
    cluster.put(
        {
            "kind": "AuthorizationPolicy",
            "metadata": {
                "name": "x-h0123456789abcdef",
                "namespace": "evil",
                "labels": {OURS: "egress-operator"},
                "annotations": {GATEWAY_OF: "y-h0123456789abcdef", NAMESPACE_OF: "shop"},
            },
            "spec": {"rules": [{"when": [{"key": "connection.sni", "values": [domain]}]}]},
        }
    )
    live = PolicySet((build_policy("a", {"hosts": ["b.example"]}, generation=2),), gateways)
    cluster.converge(*live.plan(cluster))
    assert ObjectKey(DR, "shop", label) not in cluster.objects


def test_an_object_that_only_somebody_else_owns_is_theirs_although_it_has_our_label() -> None:
    plan = build_plan()
    cluster, entry = build_stored(plan)
    only_labelled(entry["metadata"])
    seen = read_observed(entry)
    assert not seen.ours
    assert not seen.is_damaged
    assert cluster.converge(plan) == []
