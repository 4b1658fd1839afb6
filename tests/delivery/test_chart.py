"""The chart: what Helm makes of its values, without a cluster."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from egress_operator.plan.option import check_cidr
from egress_operator.runtime.permission import PERMISSIONS, Reach
from egress_operator.runtime.settings import OPTIONS, build_settings
from testbed.chart import (
    CHART,
    ChartError,
    lint_chart,
    operator_access,
    operator_roles,
    render_chart,
    render_notes,
)
from testbed.document import load_document
from tools.chart_settings import OUTSIDE
from tools.crd import LOWEST_KUBERNETES

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
VALUES = (CHART / "values.yaml").read_text()
INSTALL = (ROOT / "docs" / "operate" / "install.md").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
CASES = {path.name: load_document(path.read_text()) for path in sorted(CHART.glob("ci/*.yaml"))}
ALL_CASES = {"default": {}, **CASES}


def _one(objects: list[Object], kind: str) -> Object:
    (found,) = [item for item in objects if item["kind"] == kind]
    return found


def _pod(values: Object | None = None) -> Object:
    pod: Object = _one(render_chart(values), "Deployment")["spec"]["template"]["spec"]
    return pod


def _environment(values: Object | None = None) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in _pod(values)["containers"][0]["env"]}


def _grants(roles: list[Object]) -> set[tuple[str, str, str, str, tuple[str, ...]]]:
    """(namespace, group, resource, verb, names), one for each right."""
    return {
        (
            role["metadata"].get("namespace", ""),
            group,
            resource,
            verb,
            tuple(rule.get("resourceNames", ())),
        )
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


# --- values


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_lint_is_clean(values: Object) -> None:
    assert lint_chart(values) == []


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_every_object_has_a_place_and_labels(values: Object) -> None:
    clustered = {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for item in render_chart(values):
        metadata = item["metadata"]
        assert ("namespace" in metadata) == (item["kind"] not in clustered), item["kind"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "egress-operator"


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"imagePullSecret": []}, "imagePullSecret"),
        ({"image": {"tags": "1"}}, "tags"),
        ({"settings": {"inflight": 2}}, "inflight"),
        ({"settings": {"settle": 301}}, "/settings/settle"),
        ({"settings": {"allowedCidrs": ["10.0.0.1"]}}, "/settings/allowedCidrs/0"),
        ({"admission": {"exempt": []}}, "exempt"),
        ({"admission": {"exemptUsers": ["a'] || ['b"]}}, "/admission/exemptUsers/0"),
        ({"admission": {"level": "strict"}}, "/admission/level"),
        ({"admission": {"sharedGateways": ["public"]}}, "/admission/sharedGateways/0"),
        ({"rbac": {"aggregateToEdit": "true"}}, "/rbac/aggregateToEdit"),
        ({"image": {"digest": "sha256:12"}}, "/image/digest"),
        ({"serviceMonitor": {"enable": True}}, "enable"),
        ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts"),
    ],
)
def test_mistake_is_refused_and_named(values: Object, where: str) -> None:
    with pytest.raises(ChartError, match=re.escape(where)):
        render_chart(values)


def test_two_replicas_are_refused_with_the_fix() -> None:
    with pytest.raises(
        ChartError, match=r"replicaCount: 2: .*leader election.*; set replicaCount: 1"
    ):
        render_chart({"replicaCount": 2})


def test_dns_capture_must_be_set_when_the_mesh_config_may_not_be_read() -> None:
    with pytest.raises(ChartError, match=r"set settings\.dnsCapture to"):
        render_chart({"rbac": {"readMeshConfig": False}})
    render_chart({"rbac": {"readMeshConfig": False}, "settings": {"dnsCapture": "off"}})


def test_replicas_may_be_none() -> None:
    assert _one(render_chart({"replicaCount": 0}), "Deployment")["spec"]["replicas"] == 0


def test_every_own_object_of_the_schema_is_closed() -> None:
    def walk(node: Object, path: str) -> None:
        properties = node.get("properties", {})
        # `global` belongs to the parent chart as well.
        if properties and path != ".global":
            assert node.get("additionalProperties") is False, path
        for key, inner in properties.items():
            walk(inner, f"{path}.{key}")

    walk(SCHEMA, "")


def test_schema_and_values_have_the_same_keys() -> None:
    def walk(node: Object, values: Object, path: str) -> None:
        assert set(node["properties"]) == set(values), path
        for key, inner in node["properties"].items():
            if "properties" in inner:
                walk(inner, values[key], f"{path}.{key}")

    walk(SCHEMA, load_document(VALUES), "")


def test_every_value_has_a_comment() -> None:
    page = (ROOT / "docs" / "reference" / "chart.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count(" | ") == 3]
    assert len(rows) >= 55
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


# --- settings


def test_settings_are_the_options_of_the_operator() -> None:
    expected = {option.env for option in OPTIONS if option.name not in OUTSIDE}
    assert set(_environment()) == expected


def test_default_values_are_the_defaults_of_the_operator() -> None:
    assert build_settings(_environment()) == build_settings({})


def test_values_reach_the_operator() -> None:
    settings = build_settings(
        _environment(
            {
                "logLevel": "debug",
                "logFormat": "text",
                "settings": {
                    "namespaces": ["shop", "pay"],
                    "settle": 0.5,
                    "inFlight": 8,
                    "workers": 1000,
                    "resync": 86400,
                    "clusterDomain": "corp.example",
                    "syntheticDomains": ["a.internal"],
                    "allowedCidrs": ["10.0.0.0/8", "fd00::/8"],
                    "clusterCidrs": ["10.96.0.0/12"],
                    "dnsCapture": True,
                    "istioNamespace": "mesh",
                    "meshConfigMap": "istio-canary",
                    "bind": "::",
                },
            }
        )
    )
    assert settings.namespaces == ("shop", "pay")
    assert (settings.settle, settings.in_flight, settings.workers) == (0.5, 8, 1000)
    assert settings.resync == 86400
    assert (settings.cluster_domain, settings.synthetic_domains) == (
        "corp.example",
        ("a.internal",),
    )
    assert settings.allowed_cidrs == ("10.0.0.0/8", "fd00::/8")
    assert settings.cluster_cidrs == ("10.96.0.0/12",)
    assert (settings.dns_capture, settings.bind) == ("on", "::")
    assert (settings.istio_namespace, settings.mesh_config_map) == ("mesh", "istio-canary")
    assert (settings.log_level, settings.log_format) == ("debug", "text")


def test_null_leaves_a_setting_to_the_operator() -> None:
    assert "EGRESS_RESYNC" not in _environment({"settings": {"resync": None}})


def test_limits_of_the_schema_are_those_of_the_operator() -> None:
    properties = SCHEMA["properties"]["settings"]["properties"]
    for option in OPTIONS:
        head, *tail = option.name.split("-")
        node = properties.get(head + "".join(word.capitalize() for word in tail))
        if node is None:
            continue
        assert node.get("minimum") == option.minimum, option.name
        assert node.get("maximum") == option.maximum, option.name
        words = {word for word in node.get("enum", ()) if isinstance(word, str)}
        assert words == set(option.choices), option.name


# --- pod


def test_pod_is_confined() -> None:
    pod = _pod()
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert [volume for volume in pod["volumes"] if "emptyDir" not in volume] == []
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert "memory" in container["resources"]["limits"]


def test_token_is_mounted_by_the_pod_alone() -> None:
    assert _pod()["automountServiceAccountToken"] is True
    account = _one(render_chart(), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False


def test_user_of_the_pod_is_the_user_of_the_image() -> None:
    context = _pod()["securityContext"]
    user = f"{context['runAsUser']}:{context['runAsGroup']}"
    assert f"\nUSER {user}\n" in (ROOT / "Dockerfile").read_text()


def test_old_pod_ends_before_the_new_one_starts() -> None:
    spec = _one(render_chart(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_probes_ask_where_the_operator_answers() -> None:
    (container,) = _pod()["containers"]
    settings = build_settings({})
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": settings.health_port, "metrics": settings.metrics_port}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_service_leads_to_the_metrics_of_the_pod() -> None:
    objects = render_chart(CASES["monitoring-values.yaml"])
    labels = _one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = _one(objects, "Service")
    monitor = _one(objects, "ServiceMonitor")
    assert service["spec"]["selector"].items() <= labels.items()
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == "metrics"
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [port["name"]]
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_monitor_and_network_policy_are_off_by_default() -> None:
    kinds = {item["kind"] for item in render_chart()}
    assert not kinds & {"ServiceMonitor", "NetworkPolicy"}


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "egress-operator:0.1.0"),
        ({"image": {"registry": "r.example", "tag": "7"}}, "r.example/egress-operator:7"),
        ({"global": {"imageRegistry": "g.example"}}, "g.example/egress-operator:0.1.0"),
        (
            {"image": {"digest": "sha256:" + "a" * 64, "tag": "7", "repository": "x/y"}},
            "x/y@sha256:" + "a" * 64,
        ),
    ],
)
def test_image_is_put_together(values: Object, image: str) -> None:
    assert _pod(values)["containers"][0]["image"] == image


def test_labels_of_users_never_replace_those_that_select_the_pod() -> None:
    values = {"podLabels": {"app.kubernetes.io/name": "other", "team": "platform"}}
    spec = _one(render_chart(values), "Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert labels["team"] == "platform"


# --- rights


def test_operator_holds_exactly_what_its_code_asks_for() -> None:
    expected = {
        (
            build_settings({}).istio_namespace if permission.reach is Reach.MESH else "",
            permission.group,
            permission.resource,
            verb,
            permission.resource_names,
        )
        for permission in PERMISSIONS
        for verb in permission.verbs
    }
    assert _grants(operator_roles()) == expected


def test_named_namespaces_get_roles_instead_of_cluster_wide_rights() -> None:
    values = {"settings": {"namespaces": ["pay", "shop"]}}
    grants = _grants(operator_roles(values))
    namespaced = {p.resource for p in PERMISSIONS if p.reach is Reach.SERVED}
    assert {g[2] for g in grants if g[0] == "shop"} == namespaced
    assert {g[1:] for g in grants if g[0] == "shop"} == {g[1:] for g in grants if g[0] == "pay"}
    assert {g[2] for g in grants if g[0] == ""} == {
        p.resource for p in PERMISSIONS if p.reach is Reach.CLUSTER
    }


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_no_role_holds_what_would_be_dangerous(values: Object) -> None:
    roles = [item for item in render_chart(values) if item["kind"] in {"Role", "ClusterRole"}]
    for _, group, resource, verb, _ in _grants(roles):
        assert "*" not in {group, resource, verb}
        assert resource not in {"secrets", "pods", "serviceaccounts", "roles", "clusterroles"}
        assert verb not in {"escalate", "impersonate", "bind"}


def test_nobody_but_the_operator_may_write_status() -> None:
    theirs = [role for role in operator_roles() if role["kind"] == "ClusterRole"]
    for item in render_chart():
        if item["kind"] == "ClusterRole" and item not in theirs:
            assert {resource for rule in item["rules"] for resource in rule["resources"]} == {
                "egressgateways",
                "egresspolicies",
            }


@pytest.mark.parametrize(
    ("rbac", "words"),
    [
        ({}, {"view", "admin"}),
        ({"aggregateToEdit": True}, {"view", "edit", "admin"}),
        ({"aggregateToView": False, "aggregateToAdmin": False}, set()),
    ],
)
def test_common_roles_include_policies_when_asked(rbac: Object, words: set[str]) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found = {
        label.removeprefix(prefix)
        for item in render_chart({"rbac": rbac})
        for label in item["metadata"]["labels"]
        if label.startswith(prefix)
    }
    assert found == words


def test_access_is_account_roles_and_bindings_that_fit() -> None:
    objects = operator_access()
    account = _one(objects, "ServiceAccount")["metadata"]
    bindings = [item for item in objects if item["kind"].endswith("Binding")]
    assert len(bindings) == len(operator_roles()) == 2
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_releases_in_two_namespaces_do_not_share_cluster_roles() -> None:
    def names(namespace: str) -> set[str]:
        objects = render_chart(namespace=namespace)
        return {o["metadata"]["name"] for o in objects if o["kind"].startswith("ClusterRole")}

    assert not names("egress-system") & names("other")


# --- CRDs and words


def test_crds_of_the_chart_are_those_of_crds() -> None:
    sources = [load_document(path.read_text()) for path in sorted(ROOT.glob("crds/*.yaml"))]
    found = [o for o in render_chart() if o["kind"] == "CustomResourceDefinition"]
    assert sources
    assert [o["metadata"]["name"] for o in found] == [o["metadata"]["name"] for o in sources]
    for item, source in zip(found, sources, strict=True):
        assert item["spec"] == source["spec"]
        annotations = item["metadata"]["annotations"]
        assert annotations.pop("helm.sh/resource-policy") == "keep"
        assert annotations == source["metadata"].get("annotations", {})


def test_crds_may_be_left_out_given_up_and_annotated() -> None:
    assert not [
        o
        for o in render_chart({"crds": {"install": False}})
        if o["kind"] == "CustomResourceDefinition"
    ]
    values = CASES["open-edit-values.yaml"]
    for item in render_chart(values):
        if item["kind"] == "CustomResourceDefinition":
            annotations = item["metadata"]["annotations"]
            assert "helm.sh/resource-policy" not in annotations
            assert annotations.items() >= values["crds"]["annotations"].items()


@pytest.mark.parametrize("values", ALL_CASES.values(), ids=ALL_CASES.keys())
def test_notes_are_short_and_name_the_release(values: Object) -> None:
    notes = render_notes(values)
    assert len(notes.strip().splitlines()) <= 15
    assert "egress-system" in notes


def test_notes_warn_of_what_was_chosen() -> None:
    assert "image.registry is empty" in render_notes()
    assert "Warning" not in render_notes(CASES["digest-values.yaml"])
    assert "every EgressPolicy" in render_notes(CASES["open-edit-values.yaml"])
    assert "crds.install is false" in render_notes(CASES["bring-your-own-values.yaml"])


def test_notes_claim_only_what_is_in_force() -> None:
    refused = "admission policies refuse what crosses the border"
    assert refused in render_notes()
    cases: dict[str, tuple[Object, str]] = {
        "--set 'admission.validationActions={Deny}'\n": (
            {"validationActions": ["Warn", "Audit"], "strictActions": ["Deny"]},
            "Warning: admission.validationActions is [Warn, Audit]: the admission policies refuse",
        ),
        "--set 'admission.strictActions={Deny}'\n": (
            {"strictActions": ["Warn"]},
            "Warning: admission.strictActions is [Warn]: the level in force is Compatible",
        ),
    }
    for command, (admission, warning) in cases.items():
        notes = render_notes({"admission": admission})
        assert warning in notes
        assert f"--reset-then-reuse-values {command}" in notes
        assert refused not in notes


CIDRS = {
    "10.96.0.0/12": "",
    "0.0.0.0/0": "",
    "255.255.255.255/32": "",
    "fd00:20::/64": "",
    "::/0": "",
    "::1/128": "",
    "2001:db8:1:2:3:4:5:6/128": "",
    "FD00::/8": "",
    "10.96.0.1/12": "has host bits; write 10.96.0.0/12",
    "192.168.77.129/25": "has host bits; write 192.168.77.128/25",
    "200.1.2.3/0": "has host bits; write 0.0.0.0/0",
    "fd00:20::1/64": "has host bits; write fd00:20::/64",
    "fd00:1:2:3:4:5:6:7/61": "has host bits; write fd00:1:2::/61",
    "fd00:0:0:8::/50": "has host bits; write fd00::/50",
    "::1/64": "has host bits; write ::/64",
    "10.20.0.0/33": "has more than 32 bits; for this address alone, write 10.20.0.0/32",
    "fd00::/129": "has more than 128 bits; for this address alone, write fd00::/128",
    "10.20.0/16": "is not a CIDR; write it as",
    "10.20.0.256/16": "is not a CIDR; write it as",
    "010.20.0.0/16": "is not a CIDR; write it as",
    "fd00:::/16": "is not a CIDR; write it as",
    "fd00::1::/16": "is not a CIDR; write it as",
    "fd00:1/16": "is not a CIDR; write it as",
    "1:2:3:4:5:6:7:8::/128": "is not a CIDR; write it as",
    "fd00:12345::/64": "is not a CIDR; write it as",
}
"""Ranges, and what is wrong with them."""


@pytest.mark.parametrize("name", ["clusterCidrs", "allowedCidrs"])
def test_ranges_that_the_operator_refuses_are_refused_in_its_words(name: str) -> None:
    right = [text for text, problem in CIDRS.items() if not problem]
    render_chart({"settings": {name: right}})
    assert [check_cidr(text) for text in right] == [None] * len(right)
    for text, problem in CIDRS.items():
        if problem:
            with pytest.raises(ChartError) as caught:
                render_chart({"settings": {name: ["10.0.0.0/8", text]}})
            assert f"settings.{name}: {text} {problem}" in str(caught.value)
            assert (check_cidr(text) or "").startswith(problem)


@pytest.mark.parametrize("name", ["validationActions", "strictActions"])
def test_actions_that_the_api_server_refuses_are_refused(name: str) -> None:
    for actions in (["Deny", "Warn"], ["Warn", "Audit", "Deny"]):
        with pytest.raises(ChartError, match=r"takes Deny or Warn, not both.*; write \[.*Deny\]"):
            render_chart({"admission": {name: actions}})
    for wrong in (["Deny", "Deny"], [], ["Refuse"]):
        with pytest.raises(ChartError, match=name):
            render_chart({"admission": {name: wrong}})
    for actions in (["Deny"], ["Deny", "Audit"], ["Warn", "Audit"], ["Audit"]):
        render_chart({"admission": {name: actions}})


def test_version_is_the_project_s() -> None:
    chart = load_document((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]
    assert chart["description"] == project["description"]
    assert chart["kubeVersion"] == f">={LOWEST_KUBERNETES}.0-0"
    assert f"Kubernetes {LOWEST_KUBERNETES} or later" in INSTALL


def test_annotations_for_the_hub_name_our_crds() -> None:
    chart = load_document((CHART / "Chart.yaml").read_text())
    listed = {
        (entry["name"], entry["kind"], entry["version"])
        for entry in load_document(chart["annotations"]["artifacthub.io/crds"])
    }
    crds = [load_document(path.read_text()) for path in sorted(ROOT.glob("crds/*.yaml"))]
    assert listed == {
        (crd["metadata"]["name"], crd["spec"]["names"]["kind"], version["name"])
        for crd in crds
        for version in crd["spec"]["versions"]
    }
