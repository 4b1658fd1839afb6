"""Each field of a policy is edited, each field of an object is tampered with; writes are counted.

The objects are changed in place: age is a meaning in Istio.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from egress_operator.istio.object import HOST_ANNOTATION, POLICIES_ANNOTATION
from reconcile.tenant import ENTRY, ROUTE, TenantNamespace
from testbed.client import Client, Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, start_operator

from .convergence import check_convergence
from .evidence import API_VERSIONS, Evidence
from .history import read_key

RULE = ("networking.istio.io/v1", "DestinationRule")
HOST = "api.example.com"
WEB = {"number": 80, "protocol": "HTTP"}
SQL = {"number": 5432, "protocol": "TCP"}
STATUS = "patch egresspolicies/status"
PATCH_ENTRY, PATCH_ROUTE = "patch serviceentries", "patch virtualservices"
PLAIN: Object = {"hosts": [HOST], "ports": [WEB]}
RETRIES: Object = {
    "attempts": 2,
    "perTryTimeout": "1s",
    "conditions": ["connect-failure"],
    "codes": [503],
}
TIMED: Object = {**PLAIN, "http": {"timeout": "3s", "retries": RETRIES}}
BY_ADDRESS: Object = {"hosts": [HOST], "addresses": ["93.184.216.34"], "ports": [SQL]}
ENDPOINT: Object = {"address": "93.184.216.40", "locality": "eu/west"}


def retry(**fields: object) -> Object:
    return {**TIMED, "http": {"timeout": "3s", "retries": {**RETRIES, **fields}}}


def serve(*endpoints: Object, name: str = "replicas", **fields: object) -> Object:
    return {**BY_ADDRESS, "backends": [{"name": name, "endpoints": [*endpoints]}], **fields}


def share(*weights: int, **fields: object) -> Object:
    backends = [
        {"name": f"v{number}", "weight": weight, "endpoints": [{"address": f"93.184.216.{number}"}]}
        for number, weight in enumerate(weights, 40)
    ]
    return {**PLAIN, "backends": backends, **fields}


def order(*numbers: int) -> Object:
    backends = [
        {"name": f"v{number}", "endpoints": [{"address": f"93.184.216.{number}"}]}
        for number in numbers
    ]
    return {**PLAIN, "backends": backends, "failover": True}


def copy(percentage: int) -> Object:
    mirror = {"backend": "v41", "percentage": percentage}
    return share(1, 0, http={"timeout": "3s", "mirror": mirror})


def limit(connections: int) -> Object:
    return {**PLAIN, "traffic": {"connectionPool": {"maxConnections": connections}}}


EDITS: list[tuple[str, Object, Object, list[str]]] = [
    ("name", {**PLAIN, "name": "one"}, {**PLAIN, "name": "two"}, []),
    ("host", PLAIN, {**PLAIN, "hosts": [HOST, "b.example.com"]}, ["create serviceentries"]),
    ("host-removed", {**PLAIN, "hosts": [HOST, "b.example.com"]}, PLAIN, ["delete serviceentries"]),
    ("number", PLAIN, {**PLAIN, "ports": [{**WEB, "number": 8080}]}, [PATCH_ENTRY]),
    ("protocol", PLAIN, {**PLAIN, "ports": [{**WEB, "protocol": "HTTP2"}]}, [PATCH_ENTRY]),
    ("targetPort", PLAIN, {**PLAIN, "ports": [{**WEB, "targetPort": 8080}]}, [PATCH_ENTRY]),
    ("order-of-ports", {**PLAIN, "ports": [WEB, {"number": 443, "protocol": "TLS"}]},
     {**PLAIN, "ports": [{"number": 443, "protocol": "TLS"}, WEB]}, []),
    ("addresses", BY_ADDRESS, {**BY_ADDRESS, "addresses": ["93.184.216.35"]}, [PATCH_ENTRY]),
    ("location", serve(ENDPOINT), serve(ENDPOINT, location="Internal"), [PATCH_ENTRY]),
    ("backends", BY_ADDRESS, serve(ENDPOINT), [PATCH_ENTRY]),
    ("backend-name", serve(ENDPOINT), serve(ENDPOINT, name="others"), []),
    ("endpoint", serve(ENDPOINT), serve(ENDPOINT, {**ENDPOINT, "address": "93.184.216.41"}),
     [PATCH_ENTRY]),
    ("endpoint-elsewhere", serve(ENDPOINT), serve(ENDPOINT, {"address": "93.184.216.41"}),
     ["create destinationrules", PATCH_ENTRY]),
    ("locality", serve(ENDPOINT), serve({**ENDPOINT, "locality": "eu/east"}), [PATCH_ENTRY]),
    ("serviceAccount", serve(ENDPOINT, location="Internal"),
     serve({**ENDPOINT, "serviceAccount": "db"}, location="Internal"), [PATCH_ENTRY]),
    ("weight", share(3, 1), share(1, 3), [PATCH_ROUTE]),
    ("backend-without-weight", share(3, 1), share(3, 0),
     [PATCH_ROUTE, "delete serviceentries", "delete virtualservices"]),
    ("failover", order(40, 41), order(41, 40), [PATCH_ENTRY]),
    ("mirror", copy(10), copy(20), [PATCH_ROUTE]),
    ("http", PLAIN, TIMED, ["create virtualservices"]),
    ("http-removed", TIMED, PLAIN, ["delete virtualservices"]),
    ("timeout", TIMED, {**TIMED, "http": {**TIMED["http"], "timeout": "9s"}}, [PATCH_ROUTE]),
    ("timeout-spelling", TIMED, {**TIMED, "http": {**TIMED["http"], "timeout": "3000ms"}}, []),
    ("attempts", TIMED, retry(attempts=1), [PATCH_ROUTE]),
    ("perTryTimeout", TIMED, retry(perTryTimeout="2s"), [PATCH_ROUTE]),
    ("conditions", TIMED, retry(conditions=["reset"]), [PATCH_ROUTE]),
    ("codes", TIMED, retry(codes=[502, 503]), [PATCH_ROUTE]),
    ("allow", TIMED, {**TIMED, "http": {**TIMED["http"], "allow": [{"methods": ["GET"]}]}},
     [PATCH_ROUTE]),
    ("traffic", PLAIN, limit(5), ["create destinationrules"]),
    ("maxConnections", limit(5), limit(6), ["patch destinationrules"]),
    ("traffic-removed", limit(5), PLAIN, ["delete destinationrules"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with start_operator(control_plane) as running:
        yield running


@pytest.fixture
def tenant(control_plane: ControlPlane, namespace: str, operator: Operator) -> TenantNamespace:
    return TenantNamespace(control_plane, namespace, operator.user)


def find_differences(tenant: TenantNamespace) -> list[str]:
    """Compare everything in the namespace with the plan of its policies."""
    client = tenant.client
    items = [
        {"apiVersion": version, "kind": kind, **item}
        for kind, version in {**API_VERSIONS, RULE[1]: RULE[0]}.items()
        for item in client.list_objects(version, kind, tenant.namespace)
    ]
    evidence = Evidence(objects={read_key(item): item for item in items})
    return list(check_convergence(evidence))


def find_uids(tenant: TenantNamespace) -> dict[tuple[str, str], str]:
    rules = tenant.client.list_objects(*RULE, tenant.namespace)
    items = [*tenant.objects(), *({"kind": RULE[1], **item} for item in rules)]
    return {(item["kind"], item["metadata"]["name"]): item["metadata"]["uid"] for item in items}


@pytest.mark.parametrize(
    ("before", "after", "writes"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS]
)
def test_an_edit_changes_what_it_must_in_place(
    tenant: TenantNamespace, before: Object, after: Object, writes: list[str]
) -> None:
    tenant.apply("edited", before)
    tenant.wait_ready("edited")
    uids = find_uids(tenant)
    mark = tenant.mark()
    tenant.apply("edited", after)
    tenant.wait_ready("edited")
    tenant.wait_writes(mark, [*writes, STATUS])
    assert find_differences(tenant) == []
    now = find_uids(tenant)
    assert all(now[key] == uid for key, uid in uids.items() if key in now)
    # And back: the way there and the way back end in the same objects.
    tenant.apply("edited", before)
    tenant.wait_ready("edited")
    wait_until(lambda: find_uids(tenant).keys() == uids.keys(), 15, "the objects are as before")
    assert find_differences(tenant) == []


def test_a_justification_changes_no_object(tenant: TenantNamespace) -> None:
    tenant.apply("edited", TIMED)
    tenant.wait_ready("edited")
    mark = tenant.mark()
    tenant.client.merge_patch(tenant.policy("edited"), {"spec": {"justification": "audited"}})
    tenant.wait_ready("edited")
    assert tenant.writes(mark) == [STATUS]


def tamper_spec(client: Client, item: Object) -> None:
    client.merge_patch(item, {"spec": {"exportTo": ["*"]}})


def tamper_hosts(client: Client, item: Object) -> None:
    client.merge_patch(item, {"spec": {"hosts": ["evil.example.com"]}})


def tamper_owners(client: Client, item: Object) -> None:
    client.merge_patch(item, {"metadata": {"ownerReferences": None}})


def tamper_annotation(client: Client, item: Object) -> None:
    client.merge_patch(item, {"metadata": {"annotations": {POLICIES_ANNOTATION: None}}})


def add_rule(client: Client, item: Object) -> None:
    """Add a field that we never set."""
    key = "endpoints" if item["kind"] == ENTRY[1] else "tcp"
    value: list[Any] = (
        [{"address": "93.184.216.66"}]
        if key == "endpoints"
        else [{"route": [{"destination": {"host": HOST}}]}]
    )
    client.merge_patch(item, {"spec": {key: value}})


@pytest.mark.parametrize("kind", [ENTRY, ROUTE], ids=["ServiceEntry", "VirtualService"])
@pytest.mark.parametrize(
    "tamper",
    [tamper_spec, tamper_hosts, tamper_owners, tamper_annotation, add_rule],
    ids=lambda function: function.__name__,
)
def test_drift_of_either_kind_takes_one_write(
    tenant: TenantNamespace, kind: tuple[str, str], tamper: Callable[[Client, Object], None]
) -> None:
    tenant.apply("kept", TIMED)
    tenant.wait_ready("kept")
    item = tenant.client.list_objects(*kind, tenant.namespace)[0]
    item |= {"apiVersion": kind[0], "kind": kind[1]}
    mark = tenant.mark()
    tamper(tenant.client, item)
    tenant.wait_writes(mark, [PATCH_ENTRY if kind == ENTRY else PATCH_ROUTE])
    assert find_differences(tenant) == []


@pytest.mark.parametrize("kind", [ENTRY, ROUTE], ids=["ServiceEntry", "VirtualService"])
def test_an_object_without_its_annotation_gets_it_back(
    tenant: TenantNamespace, kind: tuple[str, str]
) -> None:
    tenant.apply("kept", TIMED)
    tenant.wait_ready("kept")
    item = tenant.client.list_objects(*kind, tenant.namespace)[0]
    item |= {"apiVersion": kind[0], "kind": kind[1]}
    mark = tenant.mark()
    tenant.client.merge_patch(item, {"metadata": {"annotations": {HOST_ANNOTATION: None}}})
    plural = {"ServiceEntry": "serviceentries", "VirtualService": "virtualservices"}[kind[1]]
    tenant.wait_writes(mark, [f"patch {plural}"])
    tenant.wait_ready("kept")
    assert find_differences(tenant) == []
