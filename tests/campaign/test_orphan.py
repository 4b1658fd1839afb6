"""Objects whose policy was deleted without them, or that a restore brought back without owners."""

from reconcile.world import HTTP, World, hosts
from testbed.client import read_owners
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import start_operator

from .collector import wait_for_collector
from .evidence import API_VERSIONS
from .history import POLICY

TIMED = hosts("api.example.com", ports=[HTTP], http={"timeout": "3s"})


def find_owners(world: World) -> set[str]:
    return {owner for item in world.objects() for owner in read_owners(item)}


def find_uids(world: World) -> list[str]:
    return sorted(item["metadata"]["uid"] for item in world.objects())


def test_an_orphaning_deletion_leaves_the_objects(
    control_plane: ControlPlane, namespace: str
) -> None:
    """`kubectl delete --cascade=orphan`: the operator sees the lost owner first."""
    with start_operator(control_plane) as operator:
        world = World(control_plane, namespace, operator.user)
        names = [f"kept-{number}" for number in range(8)]
        for name in names:
            world.apply(name, hosts(f"{name}.example.com"))
        for name in names:
            world.wait_ready(name)
        wait_for_collector(world)
        uids = find_uids(world)
        for name in names:
            world.client.delete(API_VERSIONS[POLICY], POLICY, name, namespace, propagation="Orphan")
        wait_until(
            lambda: not world.client.list_objects(API_VERSIONS[POLICY], POLICY, namespace),
            60,
            "policies are there",
        )
        wait_until(lambda: find_owners(world) == set(), 30, "objects have owners")
        assert find_uids(world) == uids


def test_objects_without_owners_are_adopted_in_place(
    control_plane: ControlPlane, namespace: str
) -> None:
    """`kubectl delete --cascade=orphan` while the operator is away."""
    with start_operator(control_plane) as operator:
        world = World(control_plane, namespace, operator.user)
        world.apply("kept", TIMED)
        world.wait_ready("kept")
        wait_for_collector(world)
    uids = find_uids(world)
    world.client.delete(API_VERSIONS[POLICY], POLICY, "kept", namespace, propagation="Orphan")
    wait_until(
        lambda: world.client.find(API_VERSIONS[POLICY], POLICY, "kept", namespace) is None,
        60,
        "the policy is there",
    )
    assert find_uids(world) == uids
    assert find_owners(world) == set()
    with start_operator(control_plane):
        mark = world.mark()
        again = world.apply("kept", TIMED)
        world.wait_ready("kept")
        assert world.writes(mark) == [
            "patch egresspolicies/status",
            "patch serviceentries",
            "patch virtualservices",
        ]
        assert find_uids(world) == uids
        assert find_owners(world) == {again["metadata"]["uid"]}


def test_a_policy_whose_deletion_waits_counts_as_gone(
    control_plane: ControlPlane, namespace: str
) -> None:
    """Somebody's finalizer holds it up: its hosts are free, its own objects stay until it goes."""
    with start_operator(control_plane) as operator:
        world = World(control_plane, namespace, operator.user)
        world.apply("older", TIMED, hosts("own.example.com"))
        world.wait_ready("older")
        younger = world.apply("younger", {**TIMED, "http": {"timeout": "9s"}})
        world.wait_ready("younger", ("False", "Conflicted"))
        older = world.client.merge_patch(
            world.policy("older"), {"metadata": {"finalizers": ["example.com/hold"]}}
        )
        world.delete("older")
        world.wait_ready("younger")
        entry = world.get_entry("api.example.com")
        owners = [owner["uid"] for owner in entry["metadata"]["ownerReferences"]]
        assert owners == [younger["metadata"]["uid"]]
        world.wait_hosts("api.example.com", "own.example.com")
        world.client.merge_patch(older, {"metadata": {"finalizers": None}})
        world.wait_hosts("api.example.com", timeout_s=45)
