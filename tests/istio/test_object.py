"""Manifests, patches, and what is read back from an object."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from jsonpatch import JsonPatchTestFailed, apply_patch

from egress_operator.istio.facts import Port
from egress_operator.istio.kind import Kind
from egress_operator.istio.manifest import build_json_patch, build_manifest, is_as_desired
from egress_operator.istio.object import Desired, Owner, digest_spec
from egress_operator.istio.observed import MOST_STRAYS, read_observed
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, Settings, build_hand_written
from rollout.fake_cluster import build_policy

HTTP = {
    "hosts": ["api.example.com"],
    "ports": [{"number": 80, "protocol": "HTTP", "targetPort": 8080}],
    "http": {"timeout": "1s"},
}
TCP = {"hosts": ["api.example.com"], "ports": [{"number": 5432, "protocol": "TCP"}]}
OURS = {"app.kubernetes.io/managed-by": "egress-operator"}
ALLOCATE = "networking.istio.io/enable-autoallocate-ip"


def build_desired(*destinations: dict[str, Any]) -> tuple[Desired, ...]:
    policy = build_policy("a", *(destinations or (HTTP,)))
    plan = plan_namespace(NamespaceInput("shop", (policy,), Settings(dns_capture=True)))
    (group,) = plan.sets.values()
    return group.objects


def build_stored(desired: Desired) -> dict[str, Any]:
    stored = build_manifest(desired, desired.owners)
    stored["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return stored


def test_what_is_written_is_read_back_equal() -> None:
    for desired in build_desired():
        observed = read_observed(build_stored(desired))
        assert observed.key == desired.key
        assert observed.set_key == desired.set_key
        assert observed.owners == frozenset(desired.owners)
        assert observed.policies == "a"
        assert observed.spec_digest == desired.spec_digest
        assert observed.facts == desired.facts
        assert observed.allocate == desired.allocate
        assert observed.facts.hosts == ("api.example.com",)


def test_of_many_policies_the_annotation_names_a_few_and_drift_is_seen_all_the_same() -> None:
    """A thousand names of 253 characters are as much as the API server takes of annotations."""
    desired, _ = build_desired()
    owners = [Owner(f"{number:04}{'x' * 249}", f"u-{number}") for number in range(2000)]
    stored = build_manifest(desired, owners)
    stored["metadata"] |= {"uid": "u-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    named = stored["metadata"]["annotations"]["egress-operator.io/policies"]
    assert len(named) < 16 * 1024
    first, *_, last = named.split(",")
    assert (first, last) == (owners[0].name, "and 1950 more")
    observed = read_observed(stored)
    assert is_as_desired(observed, desired, owners)
    assert not is_as_desired(observed, desired, owners[:-1])
    others = [*owners[:-1], Owner("zzz", "u-zzz")]
    assert not is_as_desired(observed, desired, others), "the text is the same, the owners are not"


def test_facts_for_the_order_of_writes() -> None:
    entry, route = build_desired()
    assert entry.facts.ports == (Port(80, "HTTP", "http-80", 8080),)
    assert route.facts.needs == {80}


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_spec({"a": 1, "b": {"c": 2, "d": 3}}) == digest_spec(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert digest_spec({"a": [1, 2]}) != digest_spec({"a": [2, 1]})


def test_manifest_copies_nothing_of_the_policy() -> None:
    for desired in build_desired():
        metadata = build_manifest(desired, desired.owners)["metadata"]
        allocate = {ALLOCATE: "false"} if desired.key.kind is Kind.SERVICE_ENTRY else {}
        assert metadata["labels"] == OURS | allocate
        assert metadata["ownerReferences"] == [
            {
                "apiVersion": "egress-operator.io/v1alpha1",
                "kind": "EgressPolicy",
                "name": "a",
                "uid": "a-uid",
            }
        ]


@pytest.mark.parametrize(
    ("destinations", "allocate"),
    [
        ([HTTP], "false"),
        ([{"hosts": ["api.example.com"]}], "false"),
        ([TCP], "true"),
        ([{"hosts": ["api.example.com"]}, TCP], "true"),
        ([{**TCP, "addresses": ["203.0.113.20"]}], "false"),
        ([{**HTTP, "addresses": ["203.0.113.20"]}], "false"),
        ([{"addresses": ["203.0.113.0/24"], "ports": TCP["ports"]}], "false"),
        (
            [{**HTTP, "backends": [{"name": "v1", "endpoints": [{"address": "203.0.113.10"}]}]}],
            "true",
        ),
    ],
    ids=["http", "tls", "tcp", "tls-tcp", "tcp-address", "http-address", "range", "endpoints"],
)
def test_only_a_host_that_cannot_do_without_gets_an_allocated_address(
    destinations: list[dict[str, Any]], allocate: str
) -> None:
    entry = build_desired(*destinations)[0]
    stored = build_stored(entry)
    assert stored["metadata"]["labels"] == {**OURS, ALLOCATE: allocate}
    assert is_as_desired(read_observed(stored), entry, entry.owners)


@pytest.mark.parametrize("value", [None, "False", "no"])
def test_another_allocation_label_is_drift_and_undone(value: str | None) -> None:
    entry, _ = build_desired()
    good = build_stored(entry)
    bad = copy.deepcopy(good)
    bad["metadata"]["labels"] = {**OURS, "team": "shop"} | ({ALLOCATE: value} if value else {})
    assert not is_as_desired(read_observed(bad), entry, entry.owners)
    fixed = apply_patch(bad, build_json_patch(entry, entry.owners, "u-1"))
    assert fixed["metadata"]["labels"] == {**good["metadata"]["labels"], "team": "shop"}


@pytest.mark.parametrize("value", ["canary", ""])
@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("labels", "istio.io/rev"),
        ("labels", "istio.io/use-waypoint"),
        ("annotations", "internal.istio.io/route-semantics"),
        ("annotations", "networking.istio.io/traffic-distribution"),
    ],
)
def test_what_istio_reads_and_we_do_not_write_is_drift_and_removed(
    member: str, name: str, value: str
) -> None:
    """An istiod of another revision ignores the object; others take it in another way."""
    for desired in build_desired():
        good = build_stored(desired)
        bad = copy.deepcopy(good)
        bad["metadata"][member] |= {name: value, "notistio.io/team": "shop"}
        observed = read_observed(bad)
        assert not is_as_desired(observed, desired, desired.owners)
        patch = build_json_patch(desired, desired.owners, "u-1", strays=observed.strays)
        for there in (bad, good):
            fixed = apply_patch(there, patch)["metadata"][member]
            fixed.pop("notistio.io/team", None)
            assert fixed == good["metadata"][member]


@pytest.mark.parametrize("member", ["labels", "annotations"])
def test_however_much_of_istio_is_added_one_patch_that_is_accepted_removes_it(member: str) -> None:
    """kube-apiserver refuses patches of more than 10,000 operations."""
    desired = build_desired()[0]
    good = build_stored(desired)
    for count in (MOST_STRAYS, MOST_STRAYS + 1, 6_000):
        bad = copy.deepcopy(good)
        bad["metadata"][member] |= {f"istio.io/x{number}": "" for number in range(count)}
        bad["metadata"][member]["team"] = "shop"
        observed = read_observed(bad)
        assert not is_as_desired(observed, desired, desired.owners)
        assert len(observed.strays) <= MOST_STRAYS + 1
        patch = build_json_patch(desired, desired.owners, "u-1", observed.maps, observed.strays)
        assert len(patch) < 10 * MOST_STRAYS
        kept = {"team": "shop"} if count == MOST_STRAYS else {}
        fixed = apply_patch(bad, patch)["metadata"]
        assert fixed == {**good["metadata"], member: good["metadata"][member] | kept}


def test_the_allocation_label_says_nothing_on_a_virtual_service() -> None:
    _, route = build_desired()
    stored = build_stored(route)
    stored["metadata"]["labels"][ALLOCATE] = "true"
    assert is_as_desired(read_observed(stored), route, route.owners)


def test_patch_undoes_every_change_of_ours_and_keeps_the_rest() -> None:
    for desired in build_desired():
        good = build_stored(desired)
        bad = copy.deepcopy(good)
        bad["spec"] = {"hosts": ["evil.example.com"], "extra": True}
        bad["metadata"]["annotations"] = {"egress-operator.io/host": "x", "theirs": "kept"}
        bad["metadata"]["ownerReferences"] = []
        bad["status"] = {"addresses": ["240.240.0.1"]}
        fixed = apply_patch(bad, build_json_patch(desired, desired.owners, "u-1"))
        assert fixed["spec"] == good["spec"]
        assert fixed["metadata"]["ownerReferences"] == good["metadata"]["ownerReferences"]
        assert fixed["metadata"]["annotations"] == {
            **good["metadata"]["annotations"],
            "theirs": "kept",
        }
        assert fixed["status"] == {"addresses": ["240.240.0.1"]}


def test_patch_adds_a_spec_and_owners_that_are_missing() -> None:
    entry, _ = build_desired()
    bare = build_stored(entry)
    del bare["spec"], bare["metadata"]["ownerReferences"]
    fixed = apply_patch(bare, build_json_patch(entry, entry.owners, "u-1"))
    assert fixed == build_stored(entry)


def test_patch_fails_on_another_incarnation() -> None:
    entry, _ = build_desired()
    with pytest.raises(JsonPatchTestFailed):
        apply_patch(build_stored(entry), build_json_patch(entry, entry.owners, "u-2"))


def _without_label(obj: dict[str, Any]) -> None:
    del obj["metadata"]["labels"]


def _without_annotation(obj: dict[str, Any]) -> None:
    del obj["metadata"]["annotations"]


def _other_name(obj: dict[str, Any]) -> None:
    obj["metadata"]["name"] = "mine"


def _other_kind_of_owner(obj: dict[str, Any]) -> None:
    obj["metadata"]["ownerReferences"].append(
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "y"}
    )


def _other_group_of_owner(obj: dict[str, Any]) -> None:
    obj["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1alpha1"


@pytest.mark.parametrize(
    "change",
    [_without_label, _without_annotation, _other_name, _other_kind_of_owner, _other_group_of_owner],
)
def test_objects_of_others_are_not_ours(change: Callable[[dict[str, Any]], None]) -> None:
    stored = build_stored(build_desired()[0])
    change(stored)
    observed = read_observed(stored)
    assert not observed.ours
    assert observed.set_key is None


def test_ownerless_and_newer_versions_are_ours() -> None:
    stored = build_stored(build_desired()[0])
    stored["metadata"]["ownerReferences"][0]["apiVersion"] = "egress-operator.io/v1"
    assert read_observed(stored).owners == {Owner("a", "a-uid")}
    del stored["metadata"]["ownerReferences"]
    assert read_observed(stored).ours
    assert read_observed(stored).owners == frozenset()


def test_hand_written_objects_are_read_too() -> None:
    observed = read_observed(
        {
            "kind": "VirtualService",
            "metadata": {"name": "legacy", "namespace": "shop", "creationTimestamp": "t"},
            "spec": {
                "hosts": ["API.example.com"],
                "http": [{"route": [{"destination": {"host": "API.example.com"}}]}],
                "tls": [{}],
            },
        }
    )
    assert not observed.ours
    assert observed.facts.needs == frozenset()
    assert build_hand_written(observed).hosts == ("api.example.com",)
    assert build_hand_written(observed).kind == Kind.VIRTUAL_SERVICE


def test_an_object_without_spec_is_read() -> None:
    metadata = {"name": "bare", "namespace": "shop"}
    observed = read_observed({"kind": "ServiceEntry", "metadata": metadata})
    assert (observed.facts.hosts, observed.facts.ports) == ((), ())


def test_another_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="Sidecar"):
        read_observed({"kind": "Sidecar", "metadata": {"name": "a", "namespace": "b"}})
