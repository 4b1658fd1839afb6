"""Objects whose policy was deleted without them, or that a restore brought back without owners."""

from reconcile.tenant import HTTP, TenantNamespace, hosts
from testbed.client import read_owners
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import start_operator

from .collector import wait_for_collector
from .evidence import API_VERSIONS
from .history import POLICY

TIMED = hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"})


def find_owners(tenant: TenantNamespace) -> set[str]:
    return {owner for item in tenant.objects() for owner in read_owners(item)}


def find_uids(tenant: TenantNamespace) -> list[str]:
    return sorted(item["metadata"]["uid"] for item in tenant.objects())


def test_an_orphaning_deletion_leaves_the_objects(
    control_plane: ControlPlane, namespace: str
) -> None:
    """`kubectl delete --cascade=orphan`: the operator sees the lost owner first."""
    with start_operator(control_plane) as operator:
        tenant = TenantNamespace(control_plane, namespace, operator.user)
        names = [f"kept-{number}" for number in range(8)]
        for name in names:
            tenant.apply(name, hosts(f"{name}.example.com"))
        for name in names:
            tenant.wait_ready(name)
        wait_for_collector(tenant)
        uids = find_uids(tenant)
        for name in names:
            tenant.client.delete(
                API_VERSIONS[POLICY], POLICY, name, namespace, propagation="Orphan"
            )
        wait_until(
            lambda: not tenant.client.list_objects(API_VERSIONS[POLICY], POLICY, namespace),
            60,
            "policies are there",
        )
        wait_until(lambda: find_owners(tenant) == set(), 30, "objects have owners")
        assert find_uids(tenant) == uids


def test_objects_without_owners_are_adopted_in_place(
    control_plane: ControlPlane, namespace: str
) -> None:
    """`kubectl delete --cascade=orphan` while the operator is away."""
    with start_operator(control_plane) as operator:
        tenant = TenantNamespace(control_plane, namespace, operator.user)
        tenant.apply("kept", TIMED)
        tenant.wait_ready("kept")
        wait_for_collector(tenant)
    uids = find_uids(tenant)
    tenant.client.delete(API_VERSIONS[POLICY], POLICY, "kept", namespace, propagation="Orphan")
    wait_until(
        lambda: tenant.client.find(API_VERSIONS[POLICY], POLICY, "kept", namespace) is None,
        60,
        "the policy is there",
    )
    assert find_uids(tenant) == uids
    assert find_owners(tenant) == set()
    with start_operator(control_plane):
        mark = tenant.mark()
        again = tenant.apply("kept", TIMED)
        tenant.wait_ready("kept")
        assert tenant.writes(mark) == [
            "patch egresspolicies/status",
            "patch serviceentries",
            "patch virtualservices",
        ]
        assert find_uids(tenant) == uids
        assert find_owners(tenant) == {again["metadata"]["uid"]}


def test_a_policy_whose_deletion_waits_counts_as_gone(
    control_plane: ControlPlane, namespace: str
) -> None:
    """Somebody's finalizer holds it up: its hosts are free, its own objects stay until it goes."""
    with start_operator(control_plane) as operator:
        tenant = TenantNamespace(control_plane, namespace, operator.user)
        tenant.apply("older", TIMED, hosts("own.example.com"))
        tenant.wait_ready("older")
        younger = tenant.apply("younger", {**TIMED, "http": {"timeout": "9s"}})
        tenant.wait_ready("younger", ("False", "Conflicted"))
        older = tenant.client.merge_patch(
            tenant.policy("older"), {"metadata": {"finalizers": ["example.com/hold"]}}
        )
        tenant.delete("older")
        tenant.wait_ready("younger")
        entry = tenant.get_entry("api.example.com")
        owners = [owner["uid"] for owner in entry["metadata"]["ownerReferences"]]
        assert owners == [younger["metadata"]["uid"]]
        tenant.wait_hosts("api.example.com", "own.example.com")
        tenant.client.merge_patch(older, {"metadata": {"finalizers": None}})
        tenant.wait_hosts("api.example.com", timeout_s=45)
