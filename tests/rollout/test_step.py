"""The order of writes, one situation after the other."""

from collections.abc import Mapping
from typing import Any

import pytest

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import ALLOCATE_LABEL, Owner
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource, Settings
from egress_operator.rollout.write import Create, Replace
from rollout.fake_cluster import SE, SETTLE, VS, FakeCluster, build_policy, find_host, name_writes

HOST = "api.example.com"
TLS = {"hosts": [HOST]}
HTTP = {"hosts": [HOST], "ports": [{"number": 80, "protocol": "HTTP"}]}
TIMED = {**HTTP, "http": {"timeout": "1s"}}
SLOWER = {**HTTP, "http": {"timeout": "2s"}}
TIMED_8080 = {
    "hosts": [HOST],
    "ports": [{"number": 8080, "protocol": "HTTP"}],
    "http": {"timeout": "1s"},
}
OTHER = {"hosts": ["other.example.com"]}

TCP = {"hosts": [HOST], "ports": [{"number": 5432, "protocol": "TCP"}]}
FIXED = {**TCP, "addresses": ["203.0.113.7"]}


def build_plan(*policies: PolicySource) -> Plan:
    return plan_namespace(NamespaceInput("shop", policies, Settings(dns_capture=True)))


def build_cluster(plan: Plan) -> FakeCluster:
    """Make a namespace in which `plan` was applied long ago."""
    cluster = FakeCluster()
    for group in plan.sets.values():
        for desired in group.objects:
            cluster.put(build_manifest(desired, desired.owners))
    return cluster


def change(
    old: list[Mapping[str, Any]], new: list[Mapping[str, Any]]
) -> tuple[FakeCluster, list[str], float]:
    """Carry out an edit of one policy; the writes, and the seconds that were waited."""
    cluster = build_cluster(build_plan(build_policy("a", *old)))
    plan = build_plan(build_policy("a", *new, generation=2))
    before = cluster.now
    writes = cluster.converge(plan)
    assert cluster.is_as_planned(plan)
    assert cluster.converge(plan) == []
    return cluster, name_writes(writes), cluster.now - before


def test_new_host_goes_at_once_service_entry_first() -> None:
    cluster, plan = FakeCluster(), build_plan(build_policy("a", TIMED))
    group = find_host(plan, HOST)
    first = cluster.compute_step(plan, group)
    assert name_writes(first.writes) == [f"Create {SE}"]
    cluster.send(first.writes[0])
    second = cluster.compute_step(plan, group)
    assert name_writes(second.writes) == [f"Create {VS}"]
    cluster.send(second.writes[0])
    assert cluster.compute_step(plan, group).wait is None
    assert cluster.is_as_planned(plan)


def test_nothing_is_written_when_all_is_equal() -> None:
    plan = build_plan(build_policy("a", TIMED, OTHER))
    assert build_cluster(plan).converge(plan) == []


@pytest.mark.parametrize(
    ("old", "new", "writes", "waits"),
    [
        ([TIMED], [SLOWER], [f"Replace {VS}"], False),
        ([TIMED], [TIMED, OTHER], [f"Create {SE}"], False),
        ([TLS, OTHER], [TLS], [f"Delete {SE}"], False),
        ([HTTP], [TIMED], [f"Create {VS}"], False),
        ([TIMED], [HTTP], [f"Delete {VS}"], False),
        ([TLS], [TLS, HTTP], [f"Replace {SE}"], False),
        ([TLS, HTTP], [TLS], [f"Replace {SE}"], False),
        ([TLS], [TLS, TIMED], [f"Replace {SE}", f"Create {VS}"], False),
        ([TIMED], [TIMED, TIMED_8080], [f"Replace {SE}", f"Replace {VS}"], False),
        ([TIMED, TIMED_8080], [TIMED], [f"Replace {VS}", f"Replace {SE}"], True),
        ([TIMED, OTHER], [OTHER], [f"Delete {VS}", f"Delete {SE}"], True),
        ([TLS, TIMED], [TLS], [f"Delete {VS}", f"Replace {SE}"], True),
        ([TLS], [TLS, TCP], [f"Replace {SE}"], False),
        ([TLS, TCP], [TLS], [f"Replace {SE}"], False),
        (
            [TIMED],
            [TIMED_8080],
            [f"Replace {SE}", f"Replace {VS}", f"Replace {SE}"],
            True,
        ),
    ],
)
def test_an_edit_takes_these_writes_in_this_order(
    old: list[Mapping[str, Any]],
    new: list[Mapping[str, Any]],
    writes: list[str],
    waits: bool,  # noqa: FBT001 - a column of the table
) -> None:
    _, sent, waited = change(old, new)
    assert sent == writes
    assert (waited >= SETTLE) == waits


def test_an_owner_that_joins_is_on_the_service_entry_first() -> None:
    """Else Kubernetes may collect the ServiceEntry with the other owner, and leave the route."""
    plan = build_plan(build_policy("a", TIMED))
    cluster = build_cluster(plan)
    both = build_plan(build_policy("a", TIMED), build_policy("b", TIMED))
    first = cluster.compute_step(both, find_host(both, HOST))
    assert name_writes(first.writes) == [f"Replace {SE}"]
    cluster.send(first.writes[0])
    second = cluster.compute_step(both, find_host(both, HOST))
    assert name_writes(second.writes) == [f"Replace {VS}"]


def test_a_new_route_waits_for_its_owner_on_the_service_entry() -> None:
    plan = build_plan(build_policy("a", HTTP))
    cluster = build_cluster(plan)
    other = build_plan(build_policy("b", TIMED))
    step = cluster.compute_step(other, find_host(other, HOST))
    assert name_writes(step.writes) == [f"Replace {SE}"]


def test_an_owner_that_leaves_both_objects_leaves_them_together() -> None:
    both = build_plan(build_policy("a", TIMED), build_policy("b", TIMED))
    cluster = build_cluster(both)
    plan = build_plan(build_policy("a", TIMED), build_policy("b", OTHER, generation=2))
    step = cluster.compute_step(plan, find_host(plan, HOST))
    assert name_writes(step.writes) == [f"Replace {SE}", f"Replace {VS}"]


def test_after_a_restart_a_removal_waits_as_if_the_write_was_at_the_start() -> None:
    old, new = build_plan(build_policy("a", TLS, HTTP)), build_plan(build_policy("a", TLS))
    cluster = build_cluster(old)
    cluster.restart()
    step = cluster.compute_step(new, find_host(new, HOST))
    assert step.writes == ()
    assert step.wait == pytest.approx(SETTLE)
    cluster.now += SETTLE
    assert name_writes(cluster.compute_step(new, find_host(new, HOST)).writes) == [f"Replace {SE}"]


@pytest.mark.parametrize("kind", [SE, VS])
def test_drift_of_one_object_is_one_write(kind: Kind) -> None:
    plan = build_plan(build_policy("a", TIMED))
    cluster = build_cluster(plan)
    for key, obj in cluster.objects.items():
        if key.kind is kind:
            obj["spec"]["hosts"] = ["evil.example.com"]
            obj["metadata"]["annotations"]["egress-operator.io/host"] = "evil.example.com"
    assert name_writes(cluster.converge(plan)) == [f"Replace {kind}"]
    assert cluster.is_as_planned(plan)


def test_a_port_added_by_hand_is_one_write() -> None:
    plan = build_plan(build_policy("a", TIMED))
    cluster = build_cluster(plan)
    entry = next(obj for key, obj in cluster.objects.items() if key.kind is SE)
    entry["spec"]["ports"].append({"number": 9999, "protocol": "TCP", "name": "x"})
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}"]
    assert cluster.is_as_planned(plan)


@pytest.mark.parametrize("kind", [SE, VS])
def test_a_deleted_object_is_one_write(kind: Kind) -> None:
    plan = build_plan(build_policy("a", TIMED))
    cluster = build_cluster(plan)
    cluster.objects = {key: obj for key, obj in cluster.objects.items() if key.kind is not kind}
    assert name_writes(cluster.converge(plan)) == [f"Create {kind}"]
    assert cluster.is_as_planned(plan)


def test_a_squatter_is_named_and_never_touched() -> None:
    plan = build_plan(build_policy("a", TIMED))
    cluster = build_cluster(plan)
    key = ObjectKey(SE, "shop", find_host(plan, HOST).name)
    for mark in ("labels", "ownerReferences"):
        del cluster.objects[key]["metadata"][mark]
    route = ObjectKey(VS, "shop", key.name)
    cluster.objects[route]["spec"]["http"] = []
    before = cluster.strip()
    step = cluster.compute_step(plan, find_host(plan, HOST))
    assert step.squatted == (key,)
    assert step.wait is None
    assert step.writes == ()
    assert cluster.strip() == before


def test_a_squatted_virtual_service_leaves_the_service_entry_ours() -> None:
    plan = build_plan(build_policy("a", TIMED))
    cluster = FakeCluster()
    route = find_host(plan, HOST).objects[1]
    cluster.put(build_manifest(route, route.owners))
    for mark in ("labels", "ownerReferences"):
        del cluster.objects[route.key]["metadata"][mark]
    assert name_writes(cluster.converge(plan)) == [f"Create {SE}"]
    assert cluster.compute_step(plan, find_host(plan, HOST)).squatted == (route.key,)


def test_an_object_without_owners_is_adopted_when_wanted() -> None:
    plan = build_plan(build_policy("a", TLS))
    cluster = build_cluster(plan)
    (entry,) = cluster.objects.values()
    del entry["metadata"]["ownerReferences"]
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}"]
    assert cluster.is_as_planned(plan)


@pytest.mark.parametrize("owners", [[], [Owner("gone", "gone-uid")]])
def test_an_object_without_living_owners_is_not_pruned(owners: list[Owner]) -> None:
    old = build_plan(build_policy("a", TIMED))
    cluster = FakeCluster()
    for desired in find_host(old, HOST).objects:
        cluster.put(build_manifest(desired, owners))
    assert cluster.converge(build_plan(build_policy("a", OTHER))) != []
    assert {key.name for key in cluster.objects} > {find_host(old, HOST).name}


@pytest.mark.parametrize("paused", [True, False])
def test_objects_of_a_policy_on_hold_are_neither_changed_nor_pruned(
    paused: bool,  # noqa: FBT001 - a column of the table
) -> None:
    cluster = build_cluster(build_plan(build_policy("a", TIMED)))
    held = build_policy("a", OTHER if paused else {"hosts": ["x.y.svc"]}, paused=paused)
    assert cluster.converge(build_plan(held)) == []


def test_an_owner_on_hold_stays_when_another_policy_takes_over() -> None:
    cluster = build_cluster(build_plan(build_policy("a", TIMED)))
    plan = build_plan(build_policy("a", TIMED, paused=True), build_policy("b", SLOWER))
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}", f"Replace {VS}"]
    for item in cluster.observe():
        assert item.owners == {Owner("a", "a-uid"), Owner("b", "b-uid")}
        assert item.policies == "a,b"


def test_a_route_of_a_policy_on_hold_keeps_its_port() -> None:
    cluster = build_cluster(build_plan(build_policy("a", TIMED)))
    plan = build_plan(build_policy("a", TIMED, paused=True), build_policy("b", TLS))
    cluster.converge(plan)
    assert cluster.find_missing_ports() == []
    (entry,) = (item for item in cluster.observe() if item.key.kind is SE)
    assert {port.number for port in entry.facts.ports} == {80, 443}
    assert cluster.converge(plan) == []


def test_the_winner_goes_and_the_objects_change_in_place() -> None:
    first = build_policy("a", TIMED, created="2026-01-01T00:00:00Z")
    second = build_policy("b", SLOWER, created="2026-02-01T00:00:00Z")
    cluster = FakeCluster()
    cluster.converge(build_plan(first, second))
    uids = {key: obj["metadata"]["uid"] for key, obj in cluster.objects.items()}
    cluster.remove_owners([Owner("a", "a-uid")])
    plan = build_plan(second)
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}", f"Replace {VS}"]
    assert cluster.is_as_planned(plan)
    assert {key: obj["metadata"]["uid"] for key, obj in cluster.objects.items()} == uids


def test_a_copy_under_another_name_is_left_alone() -> None:
    plan = build_plan(build_policy("a", TLS))
    cluster = build_cluster(plan)
    (entry,) = list(cluster.objects.values())
    cluster.put(
        {**entry, "metadata": {**entry["metadata"], "name": "copy-h0123456789abcdef", "uid": "u-2"}}
    )
    assert cluster.converge(plan) == []


def test_a_failed_write_is_simply_asked_for_again() -> None:
    cluster, plan = FakeCluster(), build_plan(build_policy("a", TIMED))
    group = find_host(plan, HOST)
    assert cluster.compute_step(plan, group) == cluster.compute_step(plan, group)
    assert isinstance(cluster.compute_step(plan, group).writes[0], Create)


def test_an_owner_that_is_missing_is_added_before_the_settle_time() -> None:
    """Kubernetes deletes an object whose owners are all gone, so this must not wait."""
    cluster = build_cluster(build_plan(build_policy("a", TLS, HTTP)))
    cluster.restart()
    plan = build_plan(build_policy("b", TLS))
    (write,) = cluster.compute_step(plan, find_host(plan, HOST)).writes
    assert isinstance(write, Replace)
    assert write.owners == (Owner("b", "b-uid"),)
    assert {port.number for port in write.desired.facts.ports} == {80, 443}


def test_an_owner_that_is_too_many_goes_with_the_last_write() -> None:
    both = (build_policy("a", TLS, HTTP), build_policy("b", TLS))
    cluster = build_cluster(build_plan(*both))
    cluster.restart()
    plan = build_plan(both[1])
    assert cluster.compute_step(plan, find_host(plan, HOST)).writes == ()
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}"]
    assert cluster.is_as_planned(plan)


def test_an_object_with_an_owner_on_hold_is_not_pruned() -> None:
    both = (build_policy("a", TIMED), build_policy("b", TIMED))
    cluster = build_cluster(build_plan(*both))
    plan = build_plan(build_policy("a", OTHER), build_policy("b", TIMED, paused=True))
    assert name_writes(cluster.converge(plan)) == [f"Create {SE}"]
    assert len(cluster.objects) == 3


def test_a_service_entry_stays_as_long_as_a_route_that_may_not_be_pruned() -> None:
    old = build_plan(build_policy("a", TIMED))
    cluster = FakeCluster()
    for desired, owner in zip(find_host(old, HOST).objects, ("live", "held"), strict=True):
        cluster.put(build_manifest(desired, [Owner(owner, f"{owner}-uid")]))
    plan = build_plan(build_policy("live", OTHER), build_policy("held", TIMED, paused=True))
    cluster.converge(plan)
    assert {key for key in cluster.objects if key.name == find_host(old, HOST).name} == {
        desired.key for desired in find_host(old, HOST).objects
    }


def test_a_port_that_needs_an_address_comes_with_it() -> None:
    """Without it every connection on that port, to whichever host, would go to this one."""
    cluster, _, _ = change([TLS], [TLS, TCP])
    assert [item.allocate for item in cluster.observe()] == [True]


def test_an_address_is_never_taken_back() -> None:
    """Istiod cannot give another one."""
    cluster, _, _ = change([TLS, TCP], [TLS])
    assert [(len(item.facts.ports), item.allocate) for item in cluster.observe()] == [(1, True)]
    again = build_plan(build_policy("a", TLS, TCP, generation=3))
    assert name_writes(cluster.converge(again)) == [f"Replace {SE}"]
    assert [(len(item.facts.ports), item.allocate) for item in cluster.observe()] == [(2, True)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([FIXED], [TCP], ["Delete", "Create"]),
        ([TCP], [TCP], ["Delete", "Create"]),
        ([FIXED], [FIXED], []),
        ([FIXED], [TLS], ["Replace", "Replace"]),
        ([TLS], [TLS], []),
    ],
    ids=["needed-again", "taken-away", "fixed", "not-needed", "never-needed"],
)
def test_a_host_that_has_lost_its_address_is_made_anew_if_it_needs_one(
    before: list[dict[str, Any]], after: list[dict[str, Any]], expected: list[str]
) -> None:
    """Until it has one, every connection on its TCP port would go to it."""
    cluster = build_cluster(build_plan(build_policy("a", *before)))
    cluster.restart()
    (entry,) = cluster.objects.values()
    entry["status"] = {"addresses": []}
    plan = build_plan(build_policy("a", *after, generation=2))
    found = [name.partition(" ")[0] for name in name_writes(cluster.converge(plan))]
    assert found == expected
    (entry,) = cluster.objects.values()
    assert ("status" not in entry) is (expected == ["Delete", "Create"])


def test_a_host_that_is_made_anew_keeps_its_owner_on_hold() -> None:
    cluster = build_cluster(build_plan(build_policy("a", TCP), build_policy("b", TCP)))
    (entry,) = cluster.objects.values()
    entry["status"] = {"addresses": []}
    plan = build_plan(build_policy("a", TCP), build_policy("b", TCP, paused=True))
    assert name_writes(cluster.converge(plan)) == [f"Delete {SE}", f"Create {SE}"]
    (item,) = cluster.observe()
    assert item.owners == {Owner("a", "a-uid"), Owner("b", "b-uid")}


def test_a_host_that_is_made_anew_is_not_its_former_owner_s() -> None:
    cluster = build_cluster(build_plan(build_policy("a", TCP), build_policy("b", TCP)))
    (entry,) = cluster.objects.values()
    entry["status"] = {"addresses": []}
    plan = build_plan(build_policy("a", TCP), build_policy("b", TCP, paused=True))
    cluster.send(cluster.compute_step(plan, find_host(plan, HOST)).writes[0])
    cluster.converge(build_plan(build_policy("a", TCP), build_policy("b", OTHER, generation=2)))
    found = [item.owners for item in cluster.observe() if item.facts.hosts == (HOST,)]
    assert found == [{Owner("a", "a-uid")}]


def test_a_new_object_under_the_name_begins_without_an_address() -> None:
    cluster, _, _ = change([TLS, TCP], [TLS])
    cluster.objects.clear()
    assert name_writes(cluster.converge(build_plan(build_policy("a", TLS)))) == [f"Create {SE}"]
    assert [item.allocate for item in cluster.observe()] == [False]


@pytest.mark.parametrize("destination", [TLS, TCP])
@pytest.mark.parametrize("value", ["", "maybe", "FALSE"])
def test_drift_of_the_allocation_label_is_one_write(
    destination: Mapping[str, Any], value: str
) -> None:
    plan = build_plan(build_policy("a", destination))
    cluster = build_cluster(plan)
    (entry,) = cluster.objects.values()
    right = entry["metadata"]["labels"].pop(ALLOCATE_LABEL)
    if value:
        entry["metadata"]["labels"][ALLOCATE_LABEL] = value
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}"]
    (entry,) = cluster.objects.values()
    assert entry["metadata"]["labels"][ALLOCATE_LABEL] == right
    assert cluster.is_as_planned(plan)


def test_an_address_that_somebody_asked_for_is_left_alone() -> None:
    plan = build_plan(build_policy("a", TLS))
    cluster = build_cluster(plan)
    (entry,) = cluster.objects.values()
    entry["metadata"]["labels"][ALLOCATE_LABEL] = "true"
    assert cluster.converge(plan) == []


def test_a_kept_port_does_not_wait_for_its_address() -> None:
    cluster = build_cluster(build_plan(build_policy("a", TLS, TCP)))
    cluster.restart()
    (entry,) = cluster.objects.values()
    entry["metadata"]["labels"][ALLOCATE_LABEL] = "false"
    plan = build_plan(build_policy("a", TLS, generation=2))
    (write,) = cluster.compute_step(plan, find_host(plan, HOST)).writes
    assert isinstance(write, Replace)
    assert (len(write.desired.facts.ports), write.desired.allocate) == (2, True)


@pytest.mark.parametrize("annotation", ["egress-operator.io/host", "egress-operator.io/policies"])
def test_drift_of_an_annotation_is_one_write(annotation: str) -> None:
    plan = build_plan(build_policy("a", TLS))
    cluster = build_cluster(plan)
    (entry,) = cluster.objects.values()
    entry["metadata"]["annotations"][annotation] = "other.example.com"
    assert name_writes(cluster.converge(plan)) == [f"Replace {SE}"]
    assert cluster.is_as_planned(plan)
