"""The chart on a real API server: applied, installed, upgraded and uninstalled by a real Helm."""

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_operator.runtime.permission import PERMISSIONS, Reach
from testbed.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    ChartError,
    change_release,
    operator_access,
    render_chart,
)
from testbed.client import TOO_MANY_REQUESTS, ApiError, Client
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import install_crds, load_our_crds, remove_crds, wait_removed
from testbed.deadline import wait_until
from testbed.document import load_document, load_documents

pytestmark = pytest.mark.cluster

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
CASES = {path.name: load_document(path.read_text()) for path in sorted(CHART.glob("ci/*.yaml"))}
ALL_CASES = {"default": {}, **CASES}
CRD = "apiextensions.k8s.io/v1"
CRD_NAME = "egresspolicies.egress-operator.io"
POLICY = "egress-operator.io/v1alpha1"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    with start_control_plane(ControlPlaneOption()) as plane:
        for name in ("istio-system", "istio-control", "shop"):
            plane.admin.apply(_namespace(name))
        plane.admin.apply(_namespace(NAMESPACE, RESTRICTED))
        yield plane


@pytest.fixture
def client(plane: ControlPlane) -> Client:
    """Give a client for what leaves nothing behind."""
    return plane.admin


@pytest.fixture
def installer(plane: ControlPlane) -> Iterator[Client]:
    """Give a client for what installs; releases and definitions are removed afterwards."""
    yield plane.admin
    _uninstall(plane)
    remove_crds(plane.admin, load_our_crds())


def _namespace(name: str, labels: Object | None = None) -> Object:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _policy(name: str) -> Object:
    return {
        "apiVersion": POLICY,
        "kind": "EgressPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"destinations": [{"hosts": ["api.example.com"]}]},
    }


def _uninstall(plane: ControlPlane) -> None:
    secrets = plane.admin.list_objects("v1", "Secret", NAMESPACE)
    if any(secret["metadata"]["labels"].get("name") == RELEASE for secret in secrets):
        change_release("uninstall", plane.admin_kubeconfig)


def _pod(values: Object) -> Object:
    (deployment,) = [item for item in render_chart(values) if item["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "operator", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _may(client: Client, group: str, resource: str, verb: str, namespace: str, name: str) -> bool:
    resource, _, subresource = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{NAMESPACE}:{RELEASE}",
            "resourceAttributes": {
                "group": group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "namespace": namespace,
                "name": name,
            },
        },
    }
    answer = client.request(
        "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review
    )
    allowed: bool = answer["status"]["allowed"]
    return allowed


def _lists_nothing(client: Client) -> bool:
    try:
        return client.list_objects(POLICY, "EgressPolicy") == []
    except ApiError as error:
        # A new kind is announced a moment before its storage is ready.
        if error.code != TOO_MANY_REQUESTS:
            raise
        return False


# --- applied


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_every_object_is_accepted(client: Client, values: Object) -> None:
    for item in render_chart(values):
        # Its definition belongs to the Prometheus operator.
        if item["kind"] != "ServiceMonitor":
            client.apply(item, dry_run=True)


def test_install_yaml_is_accepted_as_it_stands(installer: Client) -> None:
    items = load_documents((ROOT / "deploy" / "install.yaml").read_text())
    for item in items:
        installer.apply(item)
    assert installer.get("apps/v1", "Deployment", RELEASE, NAMESPACE)["spec"]["replicas"] == 1
    for item in items:
        if item["kind"] not in {"Namespace", "CustomResourceDefinition"}:
            metadata = item["metadata"]
            installer.delete(
                item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace")
            )


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_pod_passes_the_restricted_level(client: Client, values: Object) -> None:
    client.create(_pod(values), dry_run=True)


def test_weaker_pod_is_refused_there(client: Client) -> None:
    pod = copy.deepcopy(_pod({}))
    del pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"]
    with pytest.raises(ApiError, match=r"violates PodSecurity.*allowPrivilegeEscalation"):
        client.create(pod, dry_run=True)


# --- rights


@pytest.fixture
def access(client: Client) -> Iterator[None]:
    objects = operator_access()
    for item in objects:
        client.apply(item)
    yield
    for item in objects:
        metadata = item["metadata"]
        client.delete(item["apiVersion"], item["kind"], metadata["name"], metadata.get("namespace"))


@pytest.mark.usefixtures("access")
def test_account_may_do_what_the_code_asks_for(client: Client) -> None:
    for permission in PERMISSIONS:
        namespace = "istio-system" if permission.reach is Reach.MESH else ""
        for verb in permission.verbs:
            for name in permission.resource_names or ("",):
                assert _may(client, permission.group, permission.resource, verb, namespace, name)


FORBIDDEN = (
    ("egress-operator.io", "egresspolicies", "update", "shop", "x"),
    ("egress-operator.io", "egresspolicies", "patch", "shop", "x"),
    ("egress-operator.io", "egresspolicies", "delete", "shop", "x"),
    ("networking.istio.io", "serviceentries", "update", "shop", "x"),
    ("networking.istio.io", "serviceentries", "deletecollection", "shop", ""),
    ("networking.istio.io", "sidecars", "create", "shop", ""),
    ("networking.istio.io", "envoyfilters", "update", "shop", "x"),
    ("extensions.istio.io", "wasmplugins", "create", "shop", ""),
    ("", "secrets", "get", NAMESPACE, "x"),
    ("", "secrets", "list", "", ""),
    ("", "configmaps", "get", "istio-system", "istio-ca-root-cert"),
    ("", "configmaps", "get", "shop", "istio"),
    ("", "configmaps", "list", "istio-system", ""),
    ("", "pods", "list", "shop", ""),
    ("", "namespaces", "create", "", ""),
    ("apiextensions.k8s.io", "customresourcedefinitions", "update", "", CRD_NAME),
    ("rbac.authorization.k8s.io", "clusterroles", "bind", "", "x"),
    ("", "serviceaccounts", "impersonate", NAMESPACE, "x"),
)
"""Group, resource, verb, namespace and name."""


@pytest.mark.usefixtures("access")
def test_account_may_not(client: Client) -> None:
    assert [row for row in FORBIDDEN if _may(client, *row)] == []


@pytest.mark.usefixtures("access")
def test_token_of_the_account_works(plane: ControlPlane, installer: Client) -> None:
    install_crds(installer, load_our_crds())
    path = f"{installer.path('v1', 'ServiceAccount', RELEASE, NAMESPACE)}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = installer.request("POST", path, body=request)["status"]["token"]
    operator = Client(plane.url, plane.ca_file, token)
    wait_until(lambda: _lists_nothing(operator), 30, "the new kind is not served")
    with pytest.raises(ApiError, match="cannot list resource"):
        operator.list_objects("v1", "Secret", NAMESPACE)


# --- installed


def test_release_comes_changes_and_goes_but_policies_stay(
    plane: ControlPlane, installer: Client
) -> None:
    change_release("install", plane.admin_kubeconfig)
    installer.create(_policy("payments"))
    change_release("upgrade", plane.admin_kubeconfig, {"logLevel": "debug"})
    deployment = installer.get("apps/v1", "Deployment", RELEASE, NAMESPACE)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "EGRESS_LOG_LEVEL", "value": "debug"} in container["env"]

    change_release("uninstall", plane.admin_kubeconfig)
    assert installer.find("apps/v1", "Deployment", RELEASE, NAMESPACE) is None
    for item in operator_access():
        metadata = item["metadata"]
        kind, namespace = item["kind"], metadata.get("namespace")
        assert installer.find(item["apiVersion"], kind, metadata["name"], namespace) is None
    assert installer.get(POLICY, "EgressPolicy", "payments", "shop")["spec"]

    change_release("install", plane.admin_kubeconfig)
    assert installer.get(POLICY, "EgressPolicy", "payments", "shop")["spec"]


def test_upgrade_brings_new_definitions(
    plane: ControlPlane, installer: Client, tmp_path: Path
) -> None:
    older = tmp_path / CHART.name
    shutil.copytree(CHART, older)
    for path in (older / "files" / "crds").glob("*.yaml"):
        crd = load_document(path.read_text())
        for version in crd["spec"]["versions"]:
            version.pop("additionalPrinterColumns", None)
        path.write_text(yaml.safe_dump(crd))
    change_release("install", plane.admin_kubeconfig, chart=older)
    columns = "additionalPrinterColumns"
    assert (
        columns
        not in installer.get(CRD, "CustomResourceDefinition", CRD_NAME)["spec"]["versions"][0]
    )
    change_release("upgrade", plane.admin_kubeconfig)
    assert installer.get(CRD, "CustomResourceDefinition", CRD_NAME)["spec"]["versions"][0][columns]


def test_definitions_go_when_they_are_not_to_be_kept(
    plane: ControlPlane, installer: Client
) -> None:
    change_release("install", plane.admin_kubeconfig, {"crds": {"keep": False}})
    assert installer.get(CRD, "CustomResourceDefinition", CRD_NAME)
    change_release("uninstall", plane.admin_kubeconfig)
    wait_removed(installer, [CRD_NAME])


def test_helm_takes_nothing_that_it_did_not_make(plane: ControlPlane, installer: Client) -> None:
    install_crds(installer, load_our_crds())
    with pytest.raises(ChartError, match=r"egress(gateways|policies)\.egress-operator\.io"):
        change_release("install", plane.admin_kubeconfig)
    assert installer.find("apps/v1", "Deployment", RELEASE, NAMESPACE) is None
