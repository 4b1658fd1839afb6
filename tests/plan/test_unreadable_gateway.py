"""Permissions at an EgressGateway of which this operator cannot read everything."""

from typing import Any

import pytest

from egress_operator.istio.set_key import GatewaySet
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.permission import plan_gateways
from egress_operator.plan.source import GatewaySource, Settings
from plan.test_kept_permission import KEY, SPEC, build_standing, observe
from rollout.policy_set import PLACES, SHARED, build_gateway

SELECTED = {"egress": "shared"}
NEWER = {"authorization": "Audit"}
"""A value of a later version."""
ODD: tuple[Any, ...] = (
    5,
    "text",
    [],
    {"matchLabels": 5},
    {"matchFields": {}},
    {"matchExpressions": []},
)


def judge(spec: object) -> GatewayResult:
    source = GatewaySource(SHARED, "g", 1, "", spec)
    return judge_gateways([source], Settings())[SHARED]


def find_withdrawn(result: GatewayResult, labels: dict[str, str]) -> bool:
    """Whether the permission of a namespace with these labels goes; nothing is written for it."""
    key = GatewaySet(SHARED, PLACES[SHARED])
    standing = {key: build_standing(observe(SPEC))}
    plan = plan_gateways({SHARED: result}, {}, standing, lambda found, _: found.is_open_to(labels))
    access = plan.sets[key].access
    assert access is not None
    assert (access.baseline, access.allows) == (None, ())
    assert access.kept | access.withdrawn == {KEY}
    return KEY in access.withdrawn


def build_spec(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a spec
    return {**build_gateway().spec, **more}


def test_a_namespace_that_is_not_selected_loses_its_permission() -> None:
    result = judge(build_spec(**NEWER, namespaces={"matchLabels": SELECTED}))
    assert result.gateway is None
    assert not find_withdrawn(result, SELECTED)
    assert find_withdrawn(result, {})
    assert not find_withdrawn(judge(build_spec(**NEWER, namespaces={})), {})


def test_without_namespaces_nobody_is_selected() -> None:
    spec = build_spec(**NEWER)
    assert find_withdrawn(judge({**spec, "namespaces": None}), SELECTED)
    spec.pop("namespaces")
    assert find_withdrawn(judge(spec), SELECTED)


@pytest.mark.parametrize("namespaces", ODD)
def test_namespaces_that_cannot_be_read_withdraw_nothing(namespaces: object) -> None:
    assert not find_withdrawn(judge(build_spec(namespaces=namespaces)), {})


@pytest.mark.parametrize("spec", [None, 5, "text", []])
def test_a_spec_that_is_none_withdraws_nothing(spec: object) -> None:
    assert not find_withdrawn(judge(spec), {})
