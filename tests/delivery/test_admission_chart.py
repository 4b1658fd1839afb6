"""The admission policies as the chart writes them, without a cluster."""

import re
from typing import Any

import pytest

from testbed.chart import NAMESPACE, RELEASE, render_chart

Object = dict[str, Any]

NAMES = ("gateway-exports.egress-operator.io", "reserved-names.egress-operator.io")


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
    found = [*spec["variables"], *spec["matchConditions"]]
    (text,) = [entry["expression"] for entry in found if entry["name"] == name]
    return str(text)


def test_names_and_actions_are_those_that_the_operator_looks_for() -> None:
    for release, namespace in ((RELEASE, NAMESPACE), ("other", "elsewhere")):
        found = _render({}, release, namespace)
        assert sorted(found) == [(kind, name) for kind in ("", "Binding") for name in NAMES]
        for (kind, name), item in found.items():
            assert item["metadata"]["annotations"] == {"egress-operator.io/version-of-rules": "1"}
            if kind == "Binding":
                assert item["spec"]["policyName"] == name
                assert item["spec"]["validationActions"] == ["Deny"]
                assert "matchResources" not in item["spec"]
            else:
                assert item["spec"]["failurePolicy"] == "Fail"


def test_they_may_be_left_out() -> None:
    assert _render({"admission": {"enabled": False}}) == {}


def test_one_is_left_out_where_its_kind_may_be_missing() -> None:
    assert {name for _, name in _render({"crds": {"install": False}})} == {NAMES[1]}


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
    for (kind, _), item in _render(values, "two", "other").items():
        if not kind:
            expression = _expressions(item, "not-the-operator")
            assert re.findall(r'"system:serviceaccount:([^"]+)"', expression) == users


def test_domains_of_the_settings_are_reserved_beside_the_operator_s() -> None:
    values = {"settings": {"syntheticDomains": ["a.corp", "egress.internal"]}}
    reserved = _expressions(_render(values)["", NAMES[1]], "reserved")
    assert r"(egress\.internal|direct\.internal|a\.corp)" in reserved
    assert reserved.count("variables.lower.contains(") == 3


def test_null_leaves_the_operator_s_domains() -> None:
    assert _render({"settings": {"syntheticDomains": None}}) == _render()
