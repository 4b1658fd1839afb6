"""Tenants write objects that look like the operator's, and change those that are."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from testbed.client import ApiError, Client, Object, read_owners
from testbed.controlplane import ControlPlane
from testbed.deadline import DeadlineError, wait_until
from testbed.operator import Operator

from .conftest import SETTLE_S
from .gateway import Gateway, apply_namespace, serving_gateway
from .standing import (
    ACCOUNT,
    AUTHORIZATION,
    ISTIO,
    KINDS,
    LABEL,
    NETWORKING,
    find_denials,
    find_ours,
    find_permissions,
)
from .state import POLICIES, begin, let_in, wait_begun
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

PREFIX = "egress-operator.io/"
HOST, GATEWAY, NAMESPACE, LISTED = (
    f"{PREFIX}{name}" for name in ("host", "gateway", "namespace", "policies")
)
LIMIT_S = SETTLE_S + 5
RESTORED_S = 10.0
MANY = 200
PLACES = ("foreign", "own")
"""Where the forger writes: a namespace that may not use the gateway, and one that may."""
KIND_NAMES = [kind for _, kind in KINDS]


def forge(
    client: Client, kind: str, namespace: str, name: str, annotations: Mapping[str, str]
) -> Object:
    """Write an object with the operator's label and annotations, without owners."""
    host = f"{name}.example.org"
    specs: dict[str, dict[str, Any]] = {
        "ServiceEntry": {
            "hosts": [host],
            "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}],
            "resolution": "DNS",
        },
        "VirtualService": {
            "hosts": [host],
            "http": [{"route": [{"destination": {"host": host}}]}],
        },
        "DestinationRule": {"host": host},
        "Gateway": {
            "selector": {"a": "b"},
            "servers": [
                {
                    "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                    "hosts": [host],
                    "tls": {"mode": "PASSTHROUGH"},
                }
            ],
        },
        "EnvoyFilter": {
            "workloadSelector": {"labels": {"a": "b"}},
            "configPatches": [
                {
                    "applyTo": "CLUSTER",
                    "match": {"context": "GATEWAY"},
                    "patch": {"operation": "MERGE", "value": {"connect_timeout": "1s"}},
                }
            ],
        },
        "AuthorizationPolicy": {
            "selector": {"matchLabels": {"a": "b"}},
            "rules": [{"from": [{"source": {"namespaces": [namespace]}}]}],
        },
    }
    return client.apply(
        {
            "apiVersion": next(version for version, known in KINDS if known == kind),
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {LABEL: ACCOUNT},
                "annotations": dict(annotations),
            },
            "spec": specs[kind],
        }
    )


def read_label(gateway: Gateway) -> str:
    """Read the label under which the gateway's own objects are known, as anybody may."""
    (own,) = [
        item
        for item in find_ours(gateway.client, gateway.namespace, "AuthorizationPolicy")
        if NAMESPACE not in item["metadata"]["annotations"]
    ]
    return str(own["metadata"]["annotations"][GATEWAY])


@pytest.fixture(scope="module")
def targets(
    control_plane: ControlPlane, operator: Operator
) -> Iterator[dict[tuple[str, str], Gateway]]:
    """Forge an object of each kind in each place, each for a gateway of its own; then enforce."""
    del operator
    client = control_plane.admin
    found = {
        (kind, place): Gateway(client, f"forged-{kind.lower()}-{place}")
        for kind in KIND_NAMES
        for place in PLACES
    }
    for gateway in found.values():
        gateway.apply_pods()
        gateway.apply(authorization="DryRun")
        apply_namespace(client, f"{gateway.name}-own", egress=gateway.name)
        apply_namespace(client, f"{gateway.name}-foreign")
    for (kind, place), gateway in found.items():
        gateway.wait_serving()
        label = read_label(gateway)
        namespace = f"{gateway.name}-{place}"
        annotations = {GATEWAY: label, HOST: "example.org", LISTED: "web", NAMESPACE: namespace}
        forge(client, kind, namespace, label, {GATEWAY: label})
        forge(client, kind, namespace, "x-h0000000000000000", {GATEWAY: label, HOST: "example.org"})
        forge(client, kind, namespace, "y-h0000000000000000", annotations)
    for gateway in found.values():
        gateway.apply(authorization="Managed")

    def is_in_force() -> bool:
        return all(find_denials(client, gateway.namespace) for gateway in found.values())

    with suppress(DeadlineError):
        wait_until(is_in_force, LIMIT_S, "not in force")
    yield found
    for gateway in found.values():
        gateway.delete()
        for place in PLACES:
            client.delete("v1", "Namespace", f"{gateway.name}-{place}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_forged_object_does_not_keep_a_gateway_open(
    targets: dict[tuple[str, str], Gateway], kind: str, place: str
) -> None:
    gateway = targets[kind, place]
    require(find_denials(gateway.client, gateway.namespace), "nothing denies")
    require_soon(
        lambda: gateway.condition("Ready").get("status") == "True", LIMIT_S, "it is not Ready"
    )
    require(gateway.status()["hosts"] == 0, "a host is counted that no policy names")
    forged = f"{gateway.name}-{place}"
    permissions = find_permissions(gateway.client, gateway.namespace, forged)
    require(not permissions, f"a permission was made: {permissions}")


@pytest.fixture
def served(
    control_plane: ControlPlane, operator: Operator, namespace: str
) -> Iterator[tuple[Gateway, Tenant]]:
    """Give a gateway that serves a tenant with two hosts."""
    del operator
    with serving_gateway(control_plane.admin, f"gw-{namespace}") as gateway:
        apply_namespace(control_plane.admin, namespace, egress=gateway.name)
        tenant = Tenant(control_plane.admin, namespace)
        begin(tenant, gateway)
        wait_begun(tenant, gateway)
        yield gateway, tenant


def test_a_forged_member_does_not_keep_what_another_namespace_had(
    served: tuple[Gateway, Tenant],
) -> None:
    """It says that it belongs to the tenant, at the tenant's gateway, for one of its hosts."""
    gateway, tenant = served
    client, forger = tenant.client, f"{tenant.namespace}-forger"
    apply_namespace(client, forger)
    label = read_label(gateway)
    claims = {GATEWAY: label, NAMESPACE: tenant.namespace, LISTED: POLICIES[0]}
    for kind in KIND_NAMES:
        forge(client, kind, forger, label, claims)
        forge(client, kind, forger, "x-h0000000000000000", {**claims, HOST: "api.example.com"})
    for policy in POLICIES:
        tenant.delete(policy)
    require_soon(
        lambda: (
            not find_permissions(client, gateway.namespace, tenant.namespace)
            and not find_ours(client, tenant.namespace)
        ),
        40.0,
        "the tenant's objects are still there",
    )
    client.delete("v1", "Namespace", forger)


def test_many_forged_objects_hold_nobody_up(
    control_plane: ControlPlane, served: tuple[Gateway, Tenant], operator: Operator
) -> None:
    """Nothing is written for them, the tenant is served meanwhile, and no work is left."""
    gateway, tenant = served
    client, forger = tenant.client, f"{tenant.namespace}-forger"
    apply_namespace(client, forger)
    mark = control_plane.audit.position()
    claims = {GATEWAY: read_label(gateway), NAMESPACE: tenant.namespace, HOST: "api.example.com"}
    for number in range(MANY):
        forge(client, "ServiceEntry", forger, f"x-h{number:016x}", claims)
    tenant.apply("more", "more.example.com", gateway=gateway.name)
    tenant.wait_condition("more", "Ready", "True")
    client.delete_all(NETWORKING, "ServiceEntry", forger)
    require_soon(
        lambda: operator.metric("egress_operator_queue_depth") == 0, LIMIT_S, "work is left"
    )
    records = control_plane.audit.records(since=mark, user=operator.user, writes=True)
    written = [record for record in records if record.namespace == forger]
    require(not written, f"the operator wrote {written}")
    client.delete("v1", "Namespace", forger)


NO_OWNER: dict[str, Any] = {"ownerReferences": None}


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"labels": {LABEL: None}}, id="label"),
        pytest.param({"labels": {LABEL: "helm"}}, id="label-changed"),
        pytest.param({"annotations": {HOST: None}}, id="host"),
        pytest.param({"annotations": {LISTED: None}}, id="policies"),
        pytest.param(NO_OWNER, id="owners"),
        pytest.param({**NO_OWNER, "labels": None, "annotations": None}, id="everything"),
        pytest.param(ISTIO, id="istio"),
    ],
)
def test_what_is_taken_from_the_objects_of_a_host_is_restored(
    served: tuple[Gateway, Tenant], patch: dict[str, Any]
) -> None:
    _, tenant = served
    items = [
        item
        for item in find_ours(tenant.client, tenant.namespace)
        if HOST in item["metadata"]["annotations"]
    ]
    check_restored(tenant.client, items, patch)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"labels": {LABEL: None}}, id="label"),
        pytest.param({"annotations": {GATEWAY: None}}, id="gateway"),
        pytest.param(NO_OWNER, id="owners"),
        pytest.param(ISTIO, id="istio"),
    ],
)
def test_what_is_taken_from_the_objects_of_a_tenant_is_restored(
    served: tuple[Gateway, Tenant], patch: dict[str, Any]
) -> None:
    """Those that serve all of its hosts, in its own namespace."""
    _, tenant = served
    items = [
        item
        for item in find_ours(tenant.client, tenant.namespace)
        if HOST not in item["metadata"]["annotations"]
    ]
    check_restored(tenant.client, items, patch)


def test_another_live_owner_does_not_disown_an_object(
    served: tuple[Gateway, Tenant],
) -> None:
    """The operator goes on to keep the object, and takes it away in the end."""
    _, tenant = served
    client = tenant.client
    other = client.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "other", "namespace": tenant.namespace},
        }
    )
    items = find_ours(client, tenant.namespace, "ServiceEntry")
    owner = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "other",
        "uid": other["metadata"]["uid"],
    }
    for item in items:
        owners = [*item["metadata"].get("ownerReferences", ()), owner]
        client.merge_patch(item, {"metadata": {"ownerReferences": owners}})

    def is_restored() -> bool:
        found = find_ours(client, tenant.namespace, "ServiceEntry")
        return not any(owner["uid"] in read_owners(item) for item in found)

    require_soon(is_restored, RESTORED_S, "the other owner stays")
    for policy in POLICIES:
        tenant.delete(policy)
    require_soon(
        lambda: not find_ours(client, tenant.namespace), 20.0, "objects with another owner stay"
    )


def check_restored(client: Client, items: list[Object], patch: Object) -> None:
    """Change the metadata of objects and wait until all is as it was."""
    assert items
    for item in items:
        client.merge_patch(item, {"metadata": patch})

    def look() -> bool:
        for item in items:
            metadata = item["metadata"]
            path = (item["apiVersion"], item["kind"], metadata["name"], metadata["namespace"])
            found = (client.find(*path) or {"metadata": {}})["metadata"]
            for key in ("labels", "annotations", "ownerReferences"):
                text = f"{key} of {item['kind']} are {found.get(key)}, not {metadata.get(key)}"
                require(found.get(key) == metadata.get(key), text)
        return True

    require_soon(look, RESTORED_S, "not restored")


@pytest.mark.usefixtures("operator")
def test_a_strangers_permissions_hold_up_nothing_and_are_not_told_at_the_gateway(
    control_plane: ControlPlane, namespace: str
) -> None:
    """AuthorizationPolicies in another namespace that say to be of the gateway, and cannot go."""
    client, stranger = control_plane.admin, f"{namespace}-stranger"
    apply_namespace(client, stranger)
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        let_in(client, namespace, gateway)
        before, reason = gateway.status(), gateway.condition("Isolated")["reason"]
        for number in range(MANY // 4):
            label = f"x-h{number:016x}"
            annotations = {GATEWAY: label, f"{PREFIX}egress-gateway": gateway.name}
            forge(client, "AuthorizationPolicy", stranger, label, annotations)
        kind = {"apiVersion": AUTHORIZATION[0], "kind": AUTHORIZATION[1]}
        held = []
        for number in range(MANY // 4):
            label = f"y-h{number:016x}"
            annotations = {GATEWAY: label, f"{PREFIX}egress-gateway": gateway.name}
            body = forge(client, "AuthorizationPolicy", stranger, label, annotations)
            held.append(body)
            with suppress(ApiError):
                client.merge_patch(
                    {**body, **kind}, {"metadata": {"finalizers": ["example.com/held"]}}
                )
        (denial,) = find_denials(client, gateway.namespace)
        client.merge_patch({**denial, **kind}, {"spec": {"rules": [{}]}})
        require_soon(
            lambda: find_denials(client, gateway.namespace), LIMIT_S, "the denial stays open"
        )
        require_soon(
            lambda: gateway.condition("Isolated").get("reason") == reason,
            LIMIT_S,
            f"Isolated is {reason} no more",
        )
        after = gateway.status()
        for count in ("namespaces", "hosts"):
            require(after[count] == before[count], f"{count}: {before[count]} to {after[count]}")
        apply_namespace(client, namespace)
        require_soon(
            lambda: not find_permissions(client, gateway.namespace, namespace),
            LIMIT_S,
            "the permission stays",
        )
        for body in held:
            with suppress(ApiError):
                client.merge_patch({**body, **kind}, {"metadata": {"finalizers": None}})
    for name in (namespace, stranger):
        client.delete("v1", "Namespace", name)


@pytest.mark.usefixtures("operator")
def test_a_server_without_its_marks_keeps_the_denial(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A tenant on hold takes label and owners off its servers, then the gateway is taken down."""
    client = control_plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        tenant = let_in(client, namespace, gateway)
        for name in POLICIES:
            tenant.pause(name)
            tenant.wait_condition(name, "Paused", "True")
        bare = {"metadata": {"labels": {LABEL: None}, "ownerReferences": None}}
        servers = find_ours(client, namespace, "Gateway")
        for server in servers:
            client.merge_patch(server, bare)
        gateway.apply(namespaces=None)
        require_soon(
            lambda: not find_permissions(client, gateway.namespace, namespace),
            LIMIT_S,
            "the permission stays",
        )
        gateway.delete()
        for _ in range(20):
            left = client.list_objects(NETWORKING, "Gateway", namespace)
            denied = find_denials(client, gateway.namespace)
            require(denied or not left, f"{len(left)} servers and no denial")
            time.sleep(0.2)
    client.delete("v1", "Namespace", namespace)
