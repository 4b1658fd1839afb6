"""The admission policies as the chart writes them, without a cluster."""

import re
from typing import Any

import pytest

from egress_operator.runtime.permission import ADMISSION_POLICIES, STRICT_POLICIES
from testbed.chart import NAMESPACE, RELEASE, render_chart

Object = dict[str, Any]

ALWAYS = (
    "gateway-exports.egress-operator.io",
    "managed-objects.egress-operator.io",
    "operator-account.egress-operator.io",
    "reserved-names.egress-operator.io",
)
STRICT = ("gateway-selectors.egress-operator.io", "tenant-exports.egress-operator.io")
PER_GATEWAY = {"gateway-exports.egress-operator.io", "gateway-selectors.egress-operator.io"}
RESERVED = "reserved-names.egress-operator.io"


def _render(
    values: Object | None = None, release: str = RELEASE, namespace: str = NAMESPACE
) -> dict[tuple[str, str], Object]:
    objects = render_chart(values, release=release, namespace=namespace)
    return {
        (item["kind"].removeprefix("ValidatingAdmissionPolicy"), item["metadata"]["name"]): item
        for item in objects
        if item["kind"].startswith("ValidatingAdmissionPolicy")
    }


def _expressions(item: Object, name: str) -> str:
    spec = item["spec"]
    found = [*spec.get("variables", ()), *spec["matchConditions"]]
    (text,) = [entry["expression"] for entry in found if entry["name"] == name]
    return str(text)


@pytest.mark.parametrize(
    ("level", "names"), [("Strict", (*ALWAYS, *STRICT)), ("Compatible", ALWAYS)]
)
def test_names_and_actions_are_those_that_the_operator_looks_for(
    level: str, names: tuple[str, ...]
) -> None:
    assert set(names) <= {*ADMISSION_POLICIES}
    assert ({*names} >= {*STRICT_POLICIES}) == (level == "Strict")
    for release, namespace in ((RELEASE, NAMESPACE), ("other", "elsewhere")):
        found = _render({"admission": {"level": level}}, release, namespace)
        assert sorted(found) == [(kind, name) for kind in ("", "Binding") for name in sorted(names)]
        for (kind, name), item in found.items():
            annotations = dict(item["metadata"]["annotations"])
            assert re.fullmatch("[0-9a-f]{64}", annotations.pop("egress-operator.io/digest"))
            assert annotations == {
                "egress-operator.io/version-of-rules": "3",
                "egress-operator.io/level": level,
            }
            if kind == "Binding":
                assert item["spec"]["policyName"] == name
                assert item["spec"]["validationActions"] == ["Deny"]
                assert "matchResources" not in item["spec"]
            else:
                assert item["spec"]["failurePolicy"] == "Fail"


def test_strict_is_the_default() -> None:
    assert _render() == _render({"admission": {"level": "Strict"}})


def test_they_may_be_left_out() -> None:
    assert _render({"admission": {"enabled": False}}) == {}


def test_those_of_gateways_are_left_out_where_their_kind_may_be_missing() -> None:
    found = {name for _, name in _render({"crds": {"install": False}})}
    assert found == {*ALWAYS, *STRICT} - PER_GATEWAY


def test_shared_gateways_and_platform_namespaces_are_those_of_the_values() -> None:
    values = {
        "admission": {"sharedGateways": ["istio-ingress/public"]},
        "settings": {"platformNamespaces": ["edge"], "istioNamespace": "mesh"},
    }
    found = _render(values)
    exports = found["", "tenant-exports.egress-operator.io"]
    assert 'g in ["istio-ingress/public"]' in _expressions(exports, "foreignGateways")
    for name in STRICT:
        expression = _expressions(found["", name], "not-of-the-platform")
        assert '["mesh","edge"]' in expression


@pytest.mark.parametrize(
    ("values", "users"),
    [
        ({}, ["other:two-egress-operator"]),
        ({"fullnameOverride": "egress"}, ["other:egress"]),
        ({"serviceAccount": {"name": "egress"}}, ["other:egress"]),
        (
            {"admission": {"exemptUsers": ["system:serviceaccount:egress-system:one"]}},
            ["other:two-egress-operator", "egress-system:one"],
        ),
    ],
)
def test_operator_s_own_account_is_exempt(values: Object, users: list[str]) -> None:
    for (kind, name), item in _render(values, "two", "other").items():
        if not kind and name == "operator-account.egress-operator.io":
            expression = _expressions(item, "the-operator")
            assert f"'system:serviceaccount:{users[0]}'" in expression
        elif not kind:
            expression = _expressions(item, "not-the-operator")
            assert re.findall(r'"system:serviceaccount:([^"]+)"', expression) == users


def test_domains_of_the_settings_are_reserved_beside_the_operator_s() -> None:
    values = {"settings": {"syntheticDomains": ["a.corp", "egress.internal"]}}
    reserved = _expressions(_render(values)["", RESERVED], "reserved")
    assert r"(egress\.internal|direct\.internal|a\.corp)" in reserved
    assert reserved.count("variables.lower.contains(") == 3


def test_null_leaves_the_operator_s_domains() -> None:
    assert _render({"settings": {"syntheticDomains": None}}) == _render()


def test_null_is_the_default_everywhere() -> None:
    names = ("level", "validationActions", "strictActions", "sharedGateways", "exemptUsers")
    assert _render({"admission": dict.fromkeys(names)}) == _render()
    assert _render({"settings": {"platformNamespaces": None, "clusterDomain": None}}) == _render()


def test_bindings_may_only_warn_at_first() -> None:
    found = _render({"admission": {"validationActions": ["Warn", "Audit"]}})
    actions = [
        item["spec"]["validationActions"] for (kind, _), item in found.items() if kind == "Binding"
    ]
    assert actions == [["Warn", "Audit"]] * 6


@pytest.mark.parametrize(
    ("admission", "always", "strictly", "level"),
    [
        ({}, ["Deny"], ["Deny"], "Strict"),
        ({"strictActions": ["Warn", "Audit"]}, ["Deny"], ["Warn", "Audit"], "Compatible"),
        ({"strictActions": ["Deny", "Audit"]}, ["Deny"], ["Deny", "Audit"], "Strict"),
        ({"validationActions": ["Warn"]}, ["Warn"], ["Warn"], "Compatible"),
        (
            {"validationActions": ["Warn"], "strictActions": ["Deny"]},
            ["Warn"],
            ["Warn"],
            "Compatible",
        ),
    ],
)
def test_policies_of_strict_may_only_warn_while_the_others_deny(
    admission: Object, always: list[str], strictly: list[str], level: str
) -> None:
    """What the operator reads is the level in force."""
    for (kind, name), item in _render({"admission": admission}).items():
        if kind == "Binding":
            wanted = strictly if name in STRICT_POLICIES else always
            assert item["spec"]["validationActions"] == wanted
        assert item["metadata"]["annotations"]["egress-operator.io/level"] == level
