"""The commands of docs/operate/admission.md that look for something, as they stand there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.admission import TENANT_EXPORTS, TIMEOUT_S, Object, build_ours, find_refusal
from delivery.attack import ISTIO, build_object, build_service_entry
from testbed.client import Client
from testbed.controlplane import ADMIN, ControlPlane
from testbed.deadline import wait_until

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "admission.md").read_text()
RBAC = "rbac.authorization.k8s.io"
BINDING = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", TENANT_EXPORTS)
PROBE = build_object(ISTIO, "ServiceEntry", build_service_entry(), "probe")
HOME = build_object(ISTIO, "ServiceEntry", build_service_entry(exportTo=["."]), "at-home")
PUBLIC = build_object(ISTIO, "ServiceEntry", build_service_entry(), "public")
ROUTE = build_object(
    ISTIO,
    "VirtualService",
    {
        "hosts": ["pay.example.com"],
        "gateways": ["istio-ingress/public"],
        "http": [{"route": [{"destination": {"host": "web"}}]}],
    },
    "shop",
)


def read_command(first: str) -> str:
    """Return the indented block of the page that begins so."""
    (block,) = re.findall(rf"(?m)^    {re.escape(first)}.*\n(?:    .*\n)*", PAGE)
    return re.sub(r"(?m)^    ", "", block)


def run(plane: ControlPlane, command: str) -> str:
    """Run a command of the page as the cluster's admin."""
    missing = [name for name in ("kubectl", "jq") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on PATH: {', '.join(missing)}")
    environment = {**os.environ, "KUBECONFIG": str(plane.kubeconfig_for(ADMIN))}
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def standing(strict: ControlPlane, strict_tenant: Client) -> Iterator[None]:
    """Write what Strict refuses while it only warns; the test begins with warnings."""
    binding = strict.admin.get(*BINDING)
    strict.admin.merge_patch(binding, {"spec": {"validationActions": ["Warn", "Audit"]}})
    wait_until(lambda: not find_refusal(strict_tenant, PROBE), TIMEOUT_S, "it warns only")
    items = [PUBLIC, ROUTE, HOME]
    for item in items:
        strict_tenant.create(item)
    yield
    _deny(strict, strict_tenant)
    for item in items:
        strict.admin.delete(
            item["apiVersion"],
            item["kind"],
            item["metadata"]["name"],
            item["metadata"]["namespace"],
        )


def _deny(plane: ControlPlane, tenant: Client) -> None:
    binding = plane.admin.get(*BINDING)
    plane.admin.merge_patch(binding, {"spec": {"validationActions": ["Deny"]}})
    wait_until(lambda: find_refusal(tenant, PROBE), TIMEOUT_S, "it denies again")


@pytest.mark.usefixtures("standing")
def test_search_finds_what_stands_while_policies_warn_and_when_they_deny(
    strict: ControlPlane, strict_tenant: Client, strict_operator: Client
) -> None:
    ours: Object = build_ours("ServiceEntry", build_service_entry(exportTo=["."]))
    strict_operator.create(ours)
    try:
        command = read_command("kubectl get serviceentries")
        warned = run(strict, command).splitlines()
        _deny(strict, strict_tenant)
        denied = run(strict, command).splitlines()
    finally:
        strict_operator.delete(ours["apiVersion"], ours["kind"], ours["metadata"]["name"], "pay")
    for lines, start in ((warned, "Warning: "), (denied, "Error from server (Forbidden): ")):
        public, route = sorted(lines, key=lambda line: "VirtualService" in line)
        assert public.startswith(start)
        assert route.startswith(start)
        assert "ServiceEntry pay/public: hosts names api.example.com" in public
        assert "VirtualService pay/shop: gateways names istio-ingress/public" in route


def test_search_finds_nothing_where_nothing_stands(strict: ControlPlane) -> None:
    assert run(strict, read_command("kubectl get serviceentries")) == ""


def _build_role(kind: str, resources: list[str], verbs: list[str]) -> Object:
    rule = {"apiGroups": ["networking.istio.io"], "resources": resources, "verbs": verbs}
    metadata = {"name": "mesh-writer"} | ({} if kind == "ClusterRole" else {"namespace": "pay"})
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": [rule]}


def _bind(role: str, name: str, subject: Object, namespace: str = "") -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": RBAC, "kind": role, "name": "mesh-writer"},
        "subjects": [subject],
    }


def test_page_tells_who_may_write_istio_objects(strict: ControlPlane) -> None:
    group = {"kind": "Group", "name": "shop-developers", "apiGroup": RBAC}
    user = {"kind": "User", "name": "jane", "apiGroup": RBAC}
    account = {"kind": "ServiceAccount", "name": "deployer", "namespace": "shop"}
    items = [
        _build_role("ClusterRole", ["*"], ["get", "patch"]),
        _build_role("Role", ["virtualservices"], ["create"]),
        _bind("ClusterRole", "everywhere", group),
        _bind("ClusterRole", "in-shop", account, "shop"),
        _bind("Role", "in-pay", user, "pay"),
        # A role of that name is in the namespace pay alone.
        _bind("Role", "dangling", user, "shop"),
    ]
    reading = _build_role("ClusterRole", ["*"], ["get", "list", "watch"])
    reading["metadata"]["name"] = "mesh-reader"
    status = _build_role("ClusterRole", ["serviceentries/status"], ["patch"])
    status["metadata"]["name"] = "mesh-status"
    for item in (reading, status):
        items.append(item)
        binding = _bind("ClusterRole", f"by-{item['metadata']['name']}", user)
        binding["roleRef"]["name"] = item["metadata"]["name"]
        items.append(binding)
    for item in items:
        strict.admin.create(item)
    try:
        lines = run(strict, read_command("kubectl get clusterroles,roles")).splitlines()
    finally:
        for item in items:
            strict.admin.delete(
                item["apiVersion"],
                item["kind"],
                item["metadata"]["name"],
                item["metadata"].get("namespace", ""),
            )
    assert [line for line in lines if "mesh-" in line] == [
        "all namespaces: Group shop-developers, by ClusterRole mesh-writer",
        "pay: User jane, by Role pay/mesh-writer",
        "shop: ServiceAccount shop/deployer, by ClusterRole mesh-writer",
    ]
    rest = {line.partition(", by ")[0] for line in lines if "mesh-" not in line}
    assert "all namespaces: Group system:masters" in rest
    unexpected = [
        line
        for line in rest
        if not re.fullmatch(
            r"all namespaces: (Group system:masters"
            r"|ServiceAccount (kube-system/[a-z-]+|pay/developer|egress-system/egress-operator))",
            line,
        )
    ]
    assert unexpected == []


def test_right_of_a_group_is_seen_with_the_group_alone(strict: ControlPlane) -> None:
    role = _build_role("ClusterRole", ["*"], ["create"])
    binding = _bind("ClusterRole", "in-shop", {"kind": "Group", "name": "shop-developers"}, "shop")
    binding["subjects"][0]["apiGroup"] = RBAC
    for item in (role, binding):
        strict.admin.create(item)
    command = read_command("for kind in serviceentries")
    try:
        answers = run(strict, command).split()
        alone = run(strict, command.replace(" --as-group shop-developers", "")).split()
    finally:
        strict.admin.delete(f"{RBAC}/v1", "RoleBinding", "in-shop", "shop")
        strict.admin.delete(f"{RBAC}/v1", "ClusterRole", "mesh-writer")
    assert answers == ["yes", "yes", "yes", "yes", "no"]
    assert alone == ["no"] * 5
