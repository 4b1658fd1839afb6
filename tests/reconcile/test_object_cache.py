"""What the memory makes of objects that carry our marks where we would not write them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import build_host_name, build_tenant_name
from egress_operator.istio.object import Observed
from egress_operator.istio.set_key import GatewaySet, HostSet, Scope, TenantSet
from egress_operator.plan.source import Settings
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.kinds import build_stores
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.sync import WriteTimes
from rollout.policy_set import build_gateway

HOST = "api.example.com"
LABEL = "shared-h0123456789abcdef"
ACCESS = ("security.istio.io/v1", Kind.AUTHORIZATION_POLICY)
SERVER = ("networking.istio.io/v1", Kind.GATEWAY)
ENTRY = ("networking.istio.io/v1", Kind.SERVICE_ENTRY)
SHARED_SET = GatewaySet("shared", "istio-egress")
OURS = {"app.kubernetes.io/managed-by": "egress-operator"}
OWNER = {
    "apiVersion": "egress-operator.io/v1alpha1",
    "kind": "EgressGateway",
    "name": "shared",
    "uid": "shared-uid",
}

Object = dict[str, Any]


@pytest.fixture
def cluster() -> Cluster:
    """Give a memory that knows one gateway."""

    def ignore(*_: object) -> None:
        return

    memory = Cluster(
        (EVERYWHERE,),
        build_stores((EVERYWHERE,), ignore),
        on_object=ignore,
        on_namespace=ignore,
        settings=Settings(synthetic_domains=("egress.lab.example",)),
    )
    ((_, gateways),) = memory.gateways.build_sinks(lambda _: None)
    gateways.upsert(
        {
            "metadata": {
                "name": "shared",
                "uid": "shared-uid",
                "resourceVersion": "1",
                "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": build_gateway().spec,
        }
    )
    memory.judge_gateways()
    return memory


def find_label(cluster: Cluster) -> str:
    gateway = cluster.judge_gateways()["shared"].gateway
    assert gateway is not None
    return gateway.label


def build_access(namespace: str, label: str) -> Object:
    """Build the AuthorizationPolicy that lets `shop` in, in some namespace."""
    return build_object(ACCESS, namespace, label, {"egress-operator.io/egress-gateway": "shared"})


def build_object(
    kind: tuple[str, Kind],
    namespace: str,
    label: str,
    annotations: Mapping[str, str] = MappingProxyType({}),
    *,
    owned: bool = False,
) -> Object:
    """Build what serves `shop` in the namespace of a gateway, or says so."""
    return {
        "apiVersion": kind[0],
        "kind": str(kind[1]),
        "metadata": {
            "name": build_tenant_name("shop", label),
            "namespace": namespace,
            "uid": f"{namespace}-{label}",
            "resourceVersion": "1",
            "labels": OURS,
            "annotations": {
                "egress-operator.io/gateway": label,
                "egress-operator.io/namespace": "shop",
                **annotations,
            },
            "ownerReferences": [OWNER] if owned else [],
        },
        "spec": {},
    }


def list_ours(cluster: Cluster, scope: Scope) -> list[Observed]:
    return [item for item in cluster.objects.select(scope) if item.ours]


def test_what_stands_at_the_gateway_is_of_it(cluster: Cluster) -> None:
    label = find_label(cluster)
    cluster.objects.store(build_access("istio-egress", label))
    assert [item.set_key for item in list_ours(cluster, None)] == [
        GatewaySet("shared", "istio-egress")
    ]
    assert cluster.objects.count()[Kind.AUTHORIZATION_POLICY] == 1


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("kind", [ACCESS, SERVER])
def test_what_says_to_stand_at_a_gateway_and_does_not_is_somebody_elses(
    cluster: Cluster, kind: tuple[str, Kind], *, owned: bool
) -> None:
    label = find_label(cluster)
    annotations = {"egress-operator.io/egress-gateway": "shared"}
    cluster.objects.store(build_object(kind, "evil", label, annotations, owned=owned))
    objects = cluster.objects
    assert list_ours(cluster, "shop") == list_ours(cluster, None) == []
    assert list(objects.select_policies(["istio-egress"])) == []
    assert list(objects.select_set(TenantSet("shop", label))) == []
    assert objects.find_scopes() == set()
    assert objects.count()[kind[1]] == 0
    (seen,) = objects.select("evil")
    assert (seen.set_key, seen.is_damaged) == (None, False)


@pytest.mark.parametrize("owned", [False, True])
def test_nothing_in_another_namespace_is_believed_of_a_gateway_that_is_not_known(
    cluster: Cluster, *, owned: bool
) -> None:
    """Everybody can read the uid of an EgressGateway, and name it as an owner."""
    cluster.objects.store(build_object(SERVER, "evil", LABEL, owned=owned))
    cluster.objects.store(build_object(ACCESS, "evil", LABEL))
    assert list_ours(cluster, "shop") == []


def test_an_authorization_policy_of_a_gateway_that_is_not_known_is_its_own(
    cluster: Cluster,
) -> None:
    """Nobody owns it, and its EgressGateway may be gone: it is there to be deleted."""
    cluster.objects.store(build_access("istio-egress", LABEL))
    assert [item.set_key for item in list_ours(cluster, None)] == [
        GatewaySet("shared", "istio-egress")
    ]


def build_entry(version: str, marks: Mapping[str, object]) -> Object:
    return {
        "apiVersion": ENTRY[0],
        "kind": str(ENTRY[1]),
        "metadata": {
            "name": build_host_name(HOST),
            "namespace": "shop",
            "uid": "entry-uid",
            "resourceVersion": version,
            **marks,
        },
        "spec": {"hosts": [HOST]},
    }


def test_an_object_that_lost_every_mark_is_known_by_its_uid(cluster: Cluster) -> None:
    marks = {"labels": OURS, "annotations": {"egress-operator.io/host": HOST}}
    key = ObjectKey(Kind.SERVICE_ENTRY, "shop", build_host_name(HOST))
    cluster.objects.store(build_entry("1", marks))
    for version in ("2", "3"):
        cluster.objects.store(build_entry(version, {}))
        seen = cluster.objects.get(key)
        assert seen is not None
        assert (seen.set_key, seen.is_damaged) == (None, True)
    other = build_entry("4", {})
    other["metadata"]["uid"] = "other-uid"
    cluster.objects.store(other)
    seen = cluster.objects.get(key)
    assert seen is not None
    assert not seen.is_damaged
    assert HostSet("shop", HOST) not in {item.set_key for item in list_ours(cluster, "shop")}


def test_strays_are_kept_only_of_what_may_have_to_be_repaired(cluster: Cluster) -> None:
    stray = {"istio.io/rev": "canary"}
    marks = {"labels": OURS | stray, "annotations": {"egress-operator.io/host": HOST}}
    key = ObjectKey(Kind.SERVICE_ENTRY, "shop", build_host_name(HOST))
    expected = frozenset({("labels", "istio.io/rev")})
    for version, found in (("1", marks), ("2", {"labels": stray})):
        cluster.objects.store(build_entry(version, found))
        seen = cluster.objects.get(key)
        assert seen is not None
        assert seen.strays == expected
    other = build_entry("3", {"labels": stray})
    other["metadata"]["uid"] = "other-uid"
    cluster.objects.store(other)
    seen = cluster.objects.get(key)
    assert seen is not None
    assert not seen.strays


def test_times_of_writes_are_kept_while_they_count() -> None:
    times = WriteTimes(settle=2.0)
    for number in range(3000):
        times.note(ObjectKey(Kind.GATEWAY, "shop", f"x{number}"), number / 100)
    assert len(times.times) <= 201
    times.note(ObjectKey(Kind.GATEWAY, "shop", "x2999"), 100.0)
    for _ in range(100):
        times.note(ObjectKey(Kind.GATEWAY, "shop", "x2999"), 100.0)
    assert list(times.times) == [ObjectKey(Kind.GATEWAY, "shop", "x2999")]


SELECTOR = {"istio": "shared"}
PODS = "the pods of EgressGateway shared"


@pytest.mark.parametrize("owned", [False, True])
def test_a_server_that_says_to_be_of_a_gateway_may_take_its_calls(
    cluster: Cluster, *, owned: bool
) -> None:
    label = find_label(cluster)
    bound = {"bind": "0.0.0.0", "port": {"number": 443, "protocol": "TLS"}, "hosts": ["a.b"]}  # noqa: S104 - as a tenant would write it
    item = build_object(SERVER, "evil", label, owned=owned)
    cluster.objects.store(item | {"spec": {"selector": SELECTOR, "servers": [bound]}})
    name = build_tenant_name("shop", label)
    assert cluster.find_foreign("shared") == (
        f"Gateway evil/{name} may select {PODS} and has bind",
    )


def test_servers_are_judged_while_the_service_of_the_gateway_is_not_known(
    cluster: Cluster,
) -> None:
    """Its port may lead to any port of the pods."""
    for number in (80, 443, 9443):
        server = {"port": {"number": number, "protocol": "TLS"}, "hosts": ["a.b"]}
        item = build_object(SERVER, "evil", LABEL)
        item["metadata"] |= {"name": f"on-{number}", "labels": {}}
        cluster.objects.store(item | {"spec": {"selector": SELECTOR, "servers": [server]}})
    assert cluster.find_foreign("shared") == tuple(
        f"Gateway evil/on-{number} may select {PODS} and listens on port {number}"
        for number in (443, 9443)
    )


def test_objects_with_names_under_the_domains_of_the_settings_are_named(cluster: Cluster) -> None:
    for host in ("a.egress.lab.example", "a.lab.example"):
        item = build_entry("1", {"name": host})
        cluster.objects.store(item | {"spec": {"hosts": [host]}})
    assert cluster.find_foreign("shared") == (
        "ServiceEntry shop/a.egress.lab.example uses a.egress.lab.example",
    )
