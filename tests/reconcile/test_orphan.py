"""What counts as left by the garbage collector, judged by a real API server, look by look."""

import uuid
from collections.abc import AsyncIterator

import pytest

from egress_operator.engine.credential import load_credentials
from egress_operator.engine.transport import Transport
from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import Owner
from egress_operator.istio.set_key import HostSet
from egress_operator.plan.source import Settings
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.kinds import build_stores
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.orphan import OrphanCollector
from testbed.client import Object
from testbed.controlplane import ControlPlane

from .tenant import HTTP, POLICY, build_policy, hosts

HOST = "api.example.com"


@pytest.fixture
async def transport(control_plane: ControlPlane) -> AsyncIterator[Transport]:
    """Make a transport with all rights."""
    credentials = await load_credentials(str(control_plane.admin_kubeconfig))
    async with Transport(credentials, field_manager="test", user_agent="test") as transport:
        yield transport


def build_cluster(scope: str) -> Cluster:
    """Make a memory that knows nothing yet, of a namespace or of all."""

    def ignore(*_: object) -> None:
        pass

    return Cluster(
        (scope,),
        build_stores((scope,), ignore),
        on_object=ignore,
        on_namespace=ignore,
        settings=Settings(),
    )


@pytest.fixture
def cluster() -> Cluster:
    return build_cluster(EVERYWHERE)


@pytest.fixture
def orphans(transport: Transport, cluster: Cluster) -> OrphanCollector:
    return OrphanCollector(transport, cluster)


@pytest.fixture
def policy(control_plane: ControlPlane, namespace: str) -> Object:
    """Make a policy that no operator sees."""
    return control_plane.admin.create(build_policy(namespace, "web", hosts(HOST, ports=[HTTP])))


def show_policy(cluster: Cluster, policy: Object) -> None:
    """Have the memory hold a policy."""
    for _, sink in cluster.policies.build_sinks(lambda _: None):
        sink.upsert(policy)


def remember_entry(cluster: Cluster, namespace: str, *owners: Owner) -> HostSet:
    """Have the memory hold a ServiceEntry of ours with these owners; its group."""
    references = [
        {"apiVersion": POLICY[0], "kind": owner.kind, "name": owner.name, "uid": owner.uid}
        for owner in owners
    ]
    cluster.objects.store(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {
                "name": build_host_name(HOST),
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "resourceVersion": "1",
                "labels": {"app.kubernetes.io/managed-by": "egress-operator"},
                "annotations": {"egress-operator.io/host": HOST},
                "ownerReferences": references,
            },
            "spec": {"hosts": [HOST]},
        }
    )
    return HostSet(namespace, HOST)


def read_owner(policy: Object) -> Owner:
    return Owner(policy["metadata"]["name"], policy["metadata"]["uid"])


async def test_an_owner_of_another_uid_is_gone(
    orphans: OrphanCollector, cluster: Cluster, policy: Object, namespace: str
) -> None:
    former = Owner("web", str(uuid.uuid4()))
    group = remember_entry(cluster, namespace, former)
    show_policy(cluster, policy)
    # The first look gives the garbage collector its time.
    assert (await orphans.look(), cluster.gone) == (set(), frozenset())
    assert await orphans.look() == {group}
    assert cluster.gone == {former}
    # Also when what follows fails for a while.
    assert await orphans.look() == {group}
    assert cluster.gone == {former}


async def test_an_owner_that_only_the_api_server_knows_is_not_gone(
    orphans: OrphanCollector, cluster: Cluster, policy: Object, namespace: str
) -> None:
    """A watch that delivers nothing must not delete anything."""
    remember_entry(cluster, namespace, read_owner(policy))
    for _ in range(3):
        assert (await orphans.look(), cluster.gone) == (set(), frozenset())


async def test_an_owner_whose_deletion_waits_is_not_gone(
    orphans: OrphanCollector,
    cluster: Cluster,
    policy: Object,
    namespace: str,
    control_plane: ControlPlane,
) -> None:
    """As in an orphaning deletion: its objects are to stay."""
    admin = control_plane.admin
    held = admin.merge_patch(policy, {"metadata": {"finalizers": ["example.com/hold"]}})
    admin.delete(*POLICY, "web", namespace)
    remember_entry(cluster, namespace, read_owner(policy))
    try:
        for _ in range(3):
            assert (await orphans.look(), cluster.gone) == (set(), frozenset())
    finally:
        admin.merge_patch(held, {"metadata": {"finalizers": None}})
    await orphans.look()
    assert cluster.gone == {read_owner(policy)}


async def test_an_object_with_an_owner_left_stays(
    orphans: OrphanCollector, cluster: Cluster, policy: Object, namespace: str
) -> None:
    show_policy(cluster, policy)
    former = Owner("other", str(uuid.uuid4()))
    remember_entry(cluster, namespace, former, read_owner(policy))
    for _ in range(3):
        assert (await orphans.look(), cluster.gone) == (set(), frozenset())


async def test_an_object_without_owners_counts_from_the_second_look(
    orphans: OrphanCollector, cluster: Cluster, namespace: str
) -> None:
    group = remember_entry(cluster, namespace)
    assert (await orphans.look(), cluster.orphans) == (set(), frozenset())
    assert await orphans.look() == {group}
    assert [key.name for key in cluster.orphans] == [build_host_name(HOST)]


@pytest.mark.parametrize("sees_gateways", [True, False])
async def test_gateways_count_only_where_they_are_watched(
    transport: Transport, namespace: str, *, sees_gateways: bool
) -> None:
    cluster = build_cluster(EVERYWHERE if sees_gateways else namespace)
    orphans = OrphanCollector(transport, cluster)
    former = Owner("shared", str(uuid.uuid4()), "EgressGateway")
    remember_entry(cluster, namespace, former)
    await orphans.look()
    await orphans.look()
    assert cluster.gone == (frozenset({former}) if sees_gateways else frozenset())
