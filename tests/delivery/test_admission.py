"""The admission policies on a real API server: who and what passes, and what they cost."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from delivery.admission import (
    EXPORTED,
    RESERVED,
    TENANT_USER,
    Object,
    build_policies,
    find_passing,
    find_refusals,
)
from delivery.attack import BEHIND, ISTIO, PLACES, TENANT, build_object, build_service_entry
from testbed.client import ApiError, Client
from testbed.controlplane import CONTROLLER_MANAGER, ControlPlane
from testbed.deadline import wait_until
from testbed.document import load_documents
from testbed.port import LOOPBACK, find_free_port, is_open
from testbed.process import start_process
from testbed.program import find_program

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"variables\.(\w+)")
PLURALS = {
    "ServiceEntry": "serviceentries",
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
    "Gateway": "gateways",
    "Sidecar": "sidecars",
    "WorkloadEntry": "workloadentries",
    "WorkloadGroup": "workloadgroups",
    "Service": "services",
}
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
    "servers": {"Gateway"},
    "plainServers": {"Gateway"},
    "waitingServers": {"Gateway"},
    "ambiguousHosts": {"Gateway"},
    "exportTo": {"ServiceEntry", "VirtualService", "DestinationRule"},
    "sidecar": {"Sidecar"},
    "workloadEntry": {"WorkloadEntry"},
    "workloadGroup": {"WorkloadGroup"},
    "service": {"Service"},
    "listeners": set[str](),
    "route": set[str](),
}
"""The kinds for which a variable is read; all others are read for every kind."""
Typed = Callable[[Object], list[Object]]
DOMAINS = ("egress.internal", "direct.internal")


# --- who and what may pass


COLLECTED_S = 150.0
"""The garbage collector learns of kinds that are new to it every 30 s, if it has the time."""


def test_operator_may_write_all_of_it(operator: Client, managed: Object) -> None:
    assert managed
    objects = [
        build_object(version, kind, place(f"{BEHIND}.{TENANT}"))
        for (version, kind), places in PLACES.items()
        for place in places.values()
    ]
    assert find_refusals(operator, [*objects, EXPORTED]) == []


def _read(path: Path) -> list[Object]:
    items = [item for item in load_documents(path.read_text()) if item]
    for item in items:
        item["metadata"].pop("ownerReferences", None)
        item["metadata"]["namespace"] = TENANT_USER.namespace
    return items


def _golden_objects() -> list[Object]:
    paths = (ROOT / "tests" / "golden").rglob("objects.yaml")
    return [item for path in sorted(paths) for item in _read(path)]


def test_ordinary_objects_pass_with_and_without_a_gateway(
    guarded: ControlPlane, tenant: Client, request: pytest.FixtureRequest
) -> None:
    ordinary = _read(Path(__file__).with_name("ordinary.yaml"))
    assert len(ordinary) >= 24
    exported = copy.deepcopy(EXPORTED)
    exported["spec"]["exportTo"] = ["istio-egress", "shop"]
    assert find_refusals(tenant, [*ordinary, exported]) == []
    request.getfixturevalue("managed")
    assert find_refusals(tenant, ordinary) == []
    assert find_refusals(guarded.admin, ordinary) == []


def test_objects_of_policies_pass_but_for_reserved_names(tenant: Client) -> None:
    reserved: list[Object] = []
    ordinary: list[Object] = []
    for item in _golden_objects():
        if item["kind"] == "AuthorizationPolicy":
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
    spec = build_service_entry(hosts=[f"{BEHIND}.{TENANT}"])
    item = operator.create(build_object(ISTIO, "ServiceEntry", spec, "ours"))
    yield item
    operator.delete(ISTIO, "ServiceEntry", "ours", TENANT_USER.namespace, missing_ok=True)


def test_metadata_and_status_of_our_objects_may_change(tenant: Client, ours: Object) -> None:
    metadata = {"labels": {"team": "pay"}, "annotations": {"a": "b"}, "finalizers": ["a.b/c"]}
    assert tenant.merge_patch(ours, {"metadata": metadata})["metadata"]["labels"]["team"] == "pay"
    tenant.merge_patch(ours, {"metadata": {"finalizers": None}})
    status = {"addresses": [{"value": "240.240.0.1", "host": TENANT}]}
    patched = tenant.merge_patch(ours, {"status": status}, subresource="status")
    assert patched["status"] == status


def test_spec_of_our_objects_may_not_change(tenant: Client, ours: Object) -> None:
    with pytest.raises(ApiError, match=RESERVED):
        tenant.merge_patch(ours, {"spec": {"resolution": "NONE"}})
    with pytest.raises(ApiError, match=RESERVED):
        tenant.replace({**ours, "spec": {**ours["spec"], "exportTo": ["."]}})
    with pytest.raises(ApiError, match=RESERVED):
        tenant.apply(build_object(ISTIO, "ServiceEntry", {**ours["spec"], "exportTo": ["*"]}))


def test_our_objects_may_be_deleted(tenant: Client, ours: Object) -> None:
    tenant.delete(ISTIO, "ServiceEntry", ours["metadata"]["name"], TENANT_USER.namespace)
    tenant.delete_all(ISTIO, "ServiceEntry", TENANT_USER.namespace)


def build_owned(name: str, owner: str) -> Object:
    """Build a ServiceEntry whose owner is the ConfigMap `o` of this uid."""
    item = build_object(ISTIO, "ServiceEntry", build_service_entry(hosts=[TENANT]), name)
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
    operator.create(build_owned("owned", owner["metadata"]["uid"]))
    # What it has not seen yet when the owner goes it does not orphan, but deletes later. So first
    # one that came after it, and whose owner was never there, has to be gone.
    operator.create(build_owned("later", "00000000-0000-4000-8000-000000000000"))

    def is_seen() -> bool:
        return guarded.admin.find(ISTIO, "ServiceEntry", "later", namespace) is None

    wait_until(is_seen, COLLECTED_S, "the collector has not seen the entries")
    guarded.admin.delete("v1", "ConfigMap", "o", namespace, propagation=propagation)

    def is_done() -> bool:
        found = guarded.admin.find(ISTIO, "ServiceEntry", "owned", namespace)
        if propagation == "Background":
            return found is None
        return found is not None and "ownerReferences" not in found["metadata"]

    wait_until(is_done, COLLECTED_S, "the collector could not do its work")
    operator.delete(ISTIO, "ServiceEntry", "owned", namespace, missing_ok=True)


def test_namespace_with_our_objects_goes(guarded: ControlPlane, operator: Client) -> None:
    guarded.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}})
    item = build_object(ISTIO, "ServiceEntry", build_service_entry(hosts=[TENANT]))
    item["metadata"]["namespace"] = "gone"
    operator.create(item)
    guarded.admin.delete("v1", "Namespace", "gone")
    wait_until(lambda: guarded.admin.find("v1", "Namespace", "gone") is None, 60, "it is not gone")


# --- the API server's own limits


def test_large_objects_are_within_the_budget(tenant: Client, managed: Object) -> None:
    assert managed
    hosts = [f"{'a' * 50}.{'b' * 50}.host-{number}.example.com" for number in range(256)]
    endpoints = [{"address": f"{'c' * 50}.{number}.example.com"} for number in range(4096)]
    entry = build_service_entry(hosts=hosts, endpoints=endpoints)
    route = {"destination": {"host": f"{'d' * 40}.example.com"}}
    headers = {"request": {"set": {"host": "a.example.com", "x-a": "b"}}}
    rule = {"route": [route, route], "headers": headers, "rewrite": {"authority": "a.example.com"}}
    service = {"hosts": hosts, "http": [{**rule, "mirror": {"host": "m"}}] * 1000}
    subset = {"trafficPolicy": {"tls": {"mode": "SIMPLE", "sni": "a.example.com"}}}
    subsets = [{"name": f"s{number}", **subset} for number in range(1000)]
    objects = [
        build_object(ISTIO, "ServiceEntry", entry),
        build_object(ISTIO, "VirtualService", service),
        build_object(ISTIO, "DestinationRule", {"host": "a.example.com", "subsets": subsets}),
    ]
    assert find_refusals(tenant, objects) == []
    for item in objects:
        spoilt = copy.deepcopy(item)
        key = "host" if "host" in spoilt["spec"] else "hosts"
        spoilt["spec"][key] = TENANT if key == "host" else [*hosts[1:], TENANT]
        assert find_passing(tenant, [spoilt]) == []


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
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [PLURALS[kind]],
    }
    spec = typed["spec"]
    spec["matchConstraints"]["resourceRules"] = [rule]
    spec["variables"] = [
        _aim(item, kind) for item in spec["variables"] if _concerns(item["name"], kind)
    ]
    spec["validations"] = [
        item
        for item in spec["validations"]
        if all(_concerns(name, kind) for name in VARIABLE.findall(item["expression"]))
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
    return variable


@pytest.mark.parametrize("kind", PLURALS)
def test_expressions_fit_the_types_of_each_kind(typed: Typed, kind: str) -> None:
    group = "" if kind == "Service" else ISTIO.partition("/")[0]
    policies = [item for item in build_policies() if "matchConstraints" in item["spec"]]
    for policy in policies:
        rules = policy["spec"]["matchConstraints"]["resourceRules"]
        if any(PLURALS[kind] in rule["resources"] for rule in rules):
            assert typed(_build_typed(policy, group, kind)) == [], policy["metadata"]["name"]


def test_type_checker_sees_a_wrong_field(typed: Typed) -> None:
    policy, *_ = build_policies()
    variables = policy["spec"]["variables"]
    variables[0]["expression"] = variables[0]["expression"].replace("hosts", "hots")
    (warning,) = typed(_build_typed(policy, ISTIO.partition("/")[0], "ServiceEntry"))
    assert "undefined field 'hots'" in warning["warning"]


def test_policies_as_shipped_raise_no_warning(typed: Typed) -> None:
    policies = [item for item in build_policies() if "matchConstraints" in item["spec"]]
    assert [typed(policy) for policy in policies] == [[], []]
