"""The admission policies on a real API server: who and what passes, and what they cost."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from delivery.admission import (
    EXPORTS,
    MANAGED,
    OUR_NAME,
    RESERVED,
    TENANT_USER,
    Object,
    build_ours,
    build_policies,
    find_passing,
    find_refusal,
    find_refusals,
)
from delivery.attack import BEHIND, ISTIO, PLACES, TENANT, build_object, build_service_entry
from egress_operator.runtime.permission import ADMISSION_POLICIES
from testbed.client import ApiError, Client
from testbed.controlplane import CONTROLLER_MANAGER, ControlPlane
from testbed.deadline import wait_until
from testbed.document import load_documents
from testbed.port import LOOPBACK, find_free_port, is_open
from testbed.process import start_process
from testbed.program import find_program

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"variables\.(\w+)")
ONLY = re.compile(r"^object\.kind != '(\w+)' \|\|")
"""Begins what is asked of one kind alone."""
PLURALS = {
    "ServiceEntry": "serviceentries",
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "Gateway": "gateways",
    "Sidecar": "sidecars",
    "WorkloadEntry": "workloadentries",
    "WorkloadGroup": "workloadgroups",
    "AuthorizationPolicy": "authorizationpolicies",
    "EnvoyFilter": "envoyfilters",
    "Service": "services",
}
GROUPS = {"Service": "", "AuthorizationPolicy": "security.istio.io"}
KINDS = {
    "serviceEntry": {"ServiceEntry"},
    "takenNames": {"ServiceEntry"},
    "virtualService": {"VirtualService"},
    "httpHosts": {"VirtualService"},
    "httpHeaders": {"VirtualService"},
    "boundTo": {"VirtualService"},
    "destinationRule": {"DestinationRule"},
    "secrets": {"DestinationRule"},
    "foreignSecrets": {"DestinationRule"},
    "gateway": {"Gateway"},
    "everything": {"Gateway"},
    "selector": {"Gateway"},
    "allServers": {"Gateway"},
    "boundServers": {"Gateway"},
    "dangerousFields": {"Gateway"},
    "servers": {"Gateway"},
    "plainServers": {"Gateway"},
    "waitingServers": {"Gateway"},
    "ambiguousHosts": {"Gateway"},
    "exportTo": {"ServiceEntry", "VirtualService", "DestinationRule"},
    "staysAtHome": {"ServiceEntry", "VirtualService", "DestinationRule"},
    "foreignPorts": {"ServiceEntry"},
    "foreignEntryHosts": {"ServiceEntry"},
    "ownServiceEntry": {"ServiceEntry"},
    "foreignHosts": {"VirtualService"},
    "addressRoutes": {"VirtualService"},
    "meshRoutes": {"VirtualService"},
    "gateways": {"VirtualService"},
    "foreignGateways": {"VirtualService"},
    "ownGateways": {"VirtualService"},
    "ownVirtualService": {"VirtualService"},
    "ownDestinationRule": {"DestinationRule"},
    "isWay": {"DestinationRule"},
    "isInnerServer": {"Gateway"},
    "isResolver": {"EnvoyFilter"},
    "leadsToInnerServer": {"ServiceEntry"},
    "entryAddresses": {"ServiceEntry"},
    "workloadAddresses": {"WorkloadEntry"},
    "groupAddresses": {"WorkloadGroup"},
    "podAddresses": {"WorkloadEntry"},
    "foreignSockets": {"ServiceEntry"},
    "files": {"DestinationRule"},
    "commands": {"VirtualService"},
    "removedHeaders": {"VirtualService"},
    "unusable": {"VirtualService"},
    "unusableHashes": {"DestinationRule"},
    "unusableFilters": set[str](),
    "isMeshRoute": set[str](),
    "routeCommands": set[str](),
    "sidecar": {"Sidecar"},
    "workloadEntry": {"WorkloadEntry"},
    "workloadGroup": {"WorkloadGroup"},
    "service": {"Service"},
    "listeners": set[str](),
    "route": set[str](),
    "backendTLS": set[str](),
    "backend": set[str](),
    "takenAddresses": set[str](),
}
"""The kinds for which a variable is read; all others are read for every kind."""
Typed = Callable[[Object], list[Object]]
DOMAINS = ("egress.internal", "direct.internal")


# --- who and what may pass


LATER = "www-example-com-h80fc0fb9266db7b8"
COLLECTED_S = 150.0
"""The garbage collector learns of kinds that are new to it every 30 s, if it has the time."""


def test_operator_may_write_reserved_names(operator: Client, managed: Object) -> None:
    assert managed
    objects = [
        build_ours(kind, place(f"{BEHIND}.{TENANT}") | ({} if kind == "Gateway" else exported))
        for (version, kind), places in PLACES.items()
        if version == ISTIO and not kind.startswith("Workload")
        for place in places.values()
        for exported in ({"exportTo": ["."]}, {"exportTo": ["istio-egress"]})
    ]
    assert len(objects) > 40
    assert find_refusals(operator, objects) == []


def _read(path: Path) -> list[Object]:
    items = [item for item in load_documents(path.read_text()) if item]
    for item in items:
        # As somebody would write it by hand: nothing in the metadata says that it is ours.
        item["metadata"] = {
            "name": item["metadata"]["name"],
            "namespace": TENANT_USER.namespace,
        }
    return items


def _golden_objects() -> list[Object]:
    paths = (ROOT / "tests" / "golden").rglob("objects.yaml")
    return [item for path in sorted(paths) for item in _read(path)]


def test_objects_of_policies_pass_but_for_reserved_names(tenant: Client) -> None:
    reserved: list[Object] = []
    ordinary: list[Object] = []
    for item in _golden_objects():
        if item["kind"] in {"AuthorizationPolicy", "EnvoyFilter"}:
            # It stands in a gateway's namespace, where tenants may write nothing.
            continue
        is_reserved = any(f"{domain}'" in str(item["spec"]) for domain in DOMAINS)
        (reserved if is_reserved else ordinary).append(item)
    assert reserved
    assert len(ordinary) >= 50
    assert find_refusals(tenant, ordinary) == []
    assert find_passing(tenant, reserved) == []


@pytest.fixture
def ours(operator: Client) -> Iterator[Object]:
    """Make an object of the operator's."""
    spec = build_service_entry(hosts=[f"{BEHIND}.{TENANT}"], exportTo=["."])
    item = operator.create(build_ours("ServiceEntry", spec))
    yield item
    operator.delete(ISTIO, "ServiceEntry", OUR_NAME, TENANT_USER.namespace, missing_ok=True)


def test_metadata_and_status_of_our_objects_may_change(tenant: Client, ours: Object) -> None:
    metadata = {"labels": {"team": "pay"}, "annotations": {"a": "b"}, "finalizers": ["a.b/c"]}
    assert tenant.merge_patch(ours, {"metadata": metadata})["metadata"]["labels"]["team"] == "pay"
    tenant.merge_patch(ours, {"metadata": {"finalizers": None}})
    status = {"conditions": [{"type": "Reconciled", "status": "True"}]}
    patched = tenant.merge_patch(ours, {"status": status}, subresource="status")
    assert patched["status"] == status


def test_nobody_but_istiod_writes_addresses_into_a_status(
    guarded: ControlPlane, tenant: Client
) -> None:
    spec = build_service_entry(hosts=["hij.pay.svc.cluster.local"], exportTo=["."])
    mine = tenant.create(build_object(ISTIO, "ServiceEntry", spec, "mine"))
    status = {"addresses": [{"value": "198.51.100.10", "host": "hij.pay.svc.cluster.local"}]}
    for client in (tenant, guarded.admin):
        with pytest.raises(ApiError, match=r"status\.addresses is istiod's own"):
            client.merge_patch(mine, {"status": status}, subresource="status")
    tenant.merge_patch(mine, {"status": {"addresses": []}}, subresource="status")
    tenant.delete(ISTIO, "ServiceEntry", "mine", TENANT_USER.namespace)


def test_spec_of_our_objects_may_not_change(tenant: Client, ours: Object) -> None:
    either = f"{RESERVED}|{MANAGED}"
    with pytest.raises(ApiError, match=either):
        tenant.merge_patch(ours, {"spec": {"resolution": "NONE"}})
    with pytest.raises(ApiError, match=either):
        tenant.replace({**ours, "spec": {**ours["spec"], "exportTo": ["pay"]}})
    spec = {**ours["spec"], "exportTo": ["*"]}
    with pytest.raises(ApiError, match=either):
        tenant.apply(build_object(ISTIO, "ServiceEntry", spec, OUR_NAME))
    with pytest.raises(ApiError, match=MANAGED):
        tenant.merge_patch(ours, {"spec": {"hosts": ["api.example.com"]}})


def test_our_objects_may_be_deleted(tenant: Client, ours: Object) -> None:
    tenant.delete(ISTIO, "ServiceEntry", ours["metadata"]["name"], TENANT_USER.namespace)
    tenant.delete_all(ISTIO, "ServiceEntry", TENANT_USER.namespace)


def build_owned(name: str, owner: str) -> Object:
    """Build a ServiceEntry whose owner is the ConfigMap `o` of this uid."""
    item = build_ours("ServiceEntry", build_service_entry(hosts=[TENANT], exportTo=["."]), name)
    item["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": owner}
    ]
    return item


@pytest.mark.timeout(2 * COLLECTED_S + 60)
@pytest.mark.parametrize("propagation", ["Background", "Orphan"])
def test_collector_does_its_work(guarded: ControlPlane, operator: Client, propagation: str) -> None:
    namespace = TENANT_USER.namespace
    owner = guarded.admin.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o", "namespace": namespace}}
    )
    operator.create(build_owned(OUR_NAME, owner["metadata"]["uid"]))
    # What it has not seen yet when the owner goes it does not orphan, but deletes later. So first
    # one that came after it, and whose owner was never there, has to be gone.
    operator.create(build_owned(LATER, "00000000-0000-4000-8000-000000000000"))

    def is_seen() -> bool:
        return guarded.admin.find(ISTIO, "ServiceEntry", LATER, namespace) is None

    wait_until(is_seen, COLLECTED_S, "the collector has not seen the entries")
    guarded.admin.delete("v1", "ConfigMap", "o", namespace, propagation=propagation)

    def is_done() -> bool:
        found = guarded.admin.find(ISTIO, "ServiceEntry", OUR_NAME, namespace)
        if propagation == "Background":
            return found is None
        return found is not None and "ownerReferences" not in found["metadata"]

    wait_until(is_done, COLLECTED_S, "the collector could not do its work")
    operator.delete(ISTIO, "ServiceEntry", OUR_NAME, namespace, missing_ok=True)


def test_namespace_with_our_objects_goes(guarded: ControlPlane, operator: Client) -> None:
    guarded.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}})
    item = build_ours("ServiceEntry", build_service_entry(hosts=[TENANT], exportTo=["."]))
    item["metadata"] |= {"namespace": "gone", "finalizers": ["foregroundDeletion"]}
    operator.create(item)
    guarded.admin.delete("v1", "Namespace", "gone")
    wait_until(lambda: guarded.admin.find("v1", "Namespace", "gone") is None, 60, "it is not gone")


# --- the API server's own limits


LEVELS = [("managed", "tenant"), ("strictly_managed", "strict_tenant")]
"""The fixtures of each level: a managed gateway, and the tenant."""


def _build_large(hosts: list[str], **export: object) -> list[Object]:
    endpoints = [{"address": f"{'c' * 50}.{number}.example.com"} for number in range(4096)]
    ports = [
        {"number": number, "name": f"a{number}", "protocol": "HTTP"} for number in range(1, 101)
    ]
    entry = build_service_entry(hosts=hosts, endpoints=endpoints, ports=ports, **export)
    route = {"destination": {"host": f"{'d' * 40}.example.com"}}
    headers = {"request": {"set": {"host": "a.example.com", "x-a": "b"}}}
    rule = {"route": [route, route], "headers": headers, "rewrite": {"authority": "a.example.com"}}
    service = {"hosts": hosts, "http": [{**rule, "mirror": {"host": "m"}}] * 1000, **export}
    subset = {"trafficPolicy": {"tls": {"mode": "SIMPLE", "sni": "a.example.com"}}}
    subsets = [{"name": f"s{number}", **subset} for number in range(1000)]
    return [
        build_object(ISTIO, "ServiceEntry", entry),
        build_object(ISTIO, "VirtualService", service),
        build_object(ISTIO, "DestinationRule", {"host": hosts[0], "subsets": subsets, **export}),
    ]


@pytest.mark.parametrize(("gateway", "user"), LEVELS)
def test_large_objects_are_within_the_budget(
    gateway: str, user: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(gateway)
    tenant: Client = request.getfixturevalue(user)
    hosts = [f"{'a' * 50}.{'b' * 50}.host-{number}.example.com" for number in range(256)]
    objects = _build_large(hosts, exportTo=["."])
    assert find_refusals(tenant, objects) == []
    for item in objects:
        spoilt = copy.deepcopy(item)
        key = "host" if "host" in spoilt["spec"] else "hosts"
        spoilt["spec"][key] = TENANT if key == "host" else [*hosts[1:], TENANT]
        assert find_passing(tenant, [spoilt]) == []
    own = [f"{'a' * 50}-{number}.pay.svc.cluster.local" for number in range(256)]
    assert find_refusals(tenant, _build_large(own)) == []


@pytest.mark.parametrize(("gateway", "user"), LEVELS)
def test_large_gateways_are_within_the_budget(
    gateway: str, user: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(gateway)
    tenant: Client = request.getfixturevalue(user)
    names = [f"{'a' * 50}.{'b' * 50}.host-{number}.example.com" for number in range(100)]
    servers = [
        {
            "port": {"number": 8443, "name": f"a{number}", "protocol": "HTTPS"},
            "tls": {"mode": "ISTIO_MUTUAL", "cipherSuites": ["a"], "subjectAltNames": names[:50]},
            "hosts": [f"{number}.{name}" for name in names],
        }
        for number in range(40)
    ]
    item = build_object(ISTIO, "Gateway", {"selector": {"app": "web"}, "servers": servers})
    assert find_refusals(tenant, [item]) == []
    item["spec"]["selector"] = {"app": "egress"}
    if user == "tenant":
        assert find_refusals(tenant, [item]) == []
    item["spec"]["servers"][-1]["bind"] = "::"
    assert find_passing(tenant, [item], EXPORTS) == [] or user == "strict_tenant"
    assert "exceed" not in find_refusal(tenant, item)


@pytest.fixture
def typed(guarded: ControlPlane) -> Iterator[Typed]:
    """Start the controller that checks policies against the types of their kinds."""
    flags = [
        f"--kubeconfig={guarded.kubeconfig_for(CONTROLLER_MANAGER)}",
        "--controllers=validatingadmissionpolicy-status-controller",
        f"--secure-port={(port := find_free_port())}",
        f"--bind-address={LOOPBACK}",
        f"--cert-dir={guarded.directory}",
        "--leader-elect=false",
    ]

    def find_warnings(policy: Object) -> list[Object]:
        guarded.admin.apply(policy)
        path = (policy["apiVersion"], policy["kind"], policy["metadata"]["name"])

        def read() -> Object | None:
            found = guarded.admin.get(*path)
            is_seen = found["metadata"]["generation"] == found["status"].get("observedGeneration")
            return found["status"] if is_seen else None

        status = wait_until(read, 30, "the policy is not checked")
        warnings: list[Object] = status.get("typeChecking", {}).get("expressionWarnings", [])
        return warnings

    with start_process(
        "type-checker",
        [find_program("kube-controller-manager"), *flags],
        log=guarded.directory / "type-checker.log",
        cwd=guarded.directory,
        ready=lambda: is_open(port),
    ):
        yield find_warnings


def _build_typed(policy: Object, group: str, kind: str) -> Object:
    """Build the policy for version v1 of one kind, with the expressions that this kind meets.

    The API server's check says nothing of variables, so each becomes a validation as well.
    """
    typed = copy.deepcopy(policy)
    typed["metadata"] = {"name": f"typed-{policy['metadata']['name']}"}
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1alpha3" if kind == "EnvoyFilter" else "v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [PLURALS[kind]],
    }
    spec = typed["spec"]
    spec["matchConstraints"]["resourceRules"] = [rule]
    spec["variables"] = [
        _aim(item, kind) for item in spec.get("variables", ()) if _concerns(item["name"], kind)
    ]
    spec["validations"] = [
        item
        for item in spec["validations"]
        if all(_concerns(name, kind) for name in VARIABLE.findall(item["expression"]))
        and all(name == kind for name in ONLY.findall(item["expression"]))
    ]
    spec["validations"] += [
        {"expression": f"[{variable['expression']}].size() == 1"} for variable in spec["variables"]
    ]
    return typed


def _concerns(variable: str, kind: str) -> bool:
    return kind in KINDS.get(variable, PLURALS.keys())


def _aim(variable: Object, kind: str) -> Object:
    """Replace what tells the kinds apart by the branch of one kind."""
    if variable["name"] == "names":
        return {**variable, "expression": f"variables.{kind[0].lower()}{kind[1:]}"}
    if variable["name"] == "endpoints":
        branch = re.search(rf"'{kind}' \? (variables\.\w+)", variable["expression"])
        return {**variable, "expression": branch[1] if branch else "[]"}
    return variable


@pytest.mark.parametrize("kind", PLURALS)
def test_expressions_fit_the_types_of_each_kind(typed: Typed, kind: str) -> None:
    group = GROUPS.get(kind, ISTIO.partition("/")[0])
    policies = [item for item in build_policies() if "matchConstraints" in item["spec"]]
    for policy in policies:
        rules = policy["spec"]["matchConstraints"]["resourceRules"]
        if any(
            group in rule["apiGroups"] and {PLURALS[kind], "*"} & {*rule["resources"]}
            for rule in rules
        ):
            assert typed(_build_typed(policy, group, kind)) == [], policy["metadata"]["name"]


def test_type_checker_sees_a_wrong_field(typed: Typed) -> None:
    policy, *_ = build_policies()
    variables = policy["spec"]["variables"]
    variables[0]["expression"] = variables[0]["expression"].replace("hosts", "hots")
    (warning,) = typed(_build_typed(policy, ISTIO.partition("/")[0], "ServiceEntry"))
    assert "undefined field 'hots'" in warning["warning"]


def test_policies_as_shipped_raise_no_warning(typed: Typed) -> None:
    policies = [item for item in build_policies() if "matchConstraints" in item["spec"]]
    assert [typed(policy) for policy in policies] == [[]] * len(ADMISSION_POLICIES)
