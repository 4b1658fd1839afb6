"""What a policy needs of Istio, where the setting `istio-version` names an older one."""

from dataclasses import replace
from typing import Any

import pytest

from api.cure import count_ways_out
from egress_operator.diagnostic import Diagnostic, find_rule
from egress_operator.plan.cache import PlanCache
from egress_operator.plan.option import check_version
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, Settings
from egress_operator.plan.version import ADDRESS_NOT_CHECKED, ISTIO_TOO_OLD, parse_minor
from rollout.fake_cluster import build_policy
from rollout.policy_set import build_gateway

OLD, NEW = "1.29", "1.30"
WILDCARD, NAME = ["*.example.com"], ["api.example.com"]
NAMES = [
    {"name": "a", "endpoints": [{"address": "a.example.com"}]},
    {"name": "b", "endpoints": [{"address": "203.0.113.1"}]},
]
ADDRESSES = [NAMES[1], {"name": "c", "endpoints": [{"address": "203.0.113.2"}]}]
HTTP = [{"number": 80, "protocol": "HTTP"}]
TIMEOUT = {"http": {"timeout": "3s"}}
POOL = {"traffic": {"connectionPool": {"maxPendingRequests": 9}}}
WORKLOADS = {"from": {"workloads": {"matchLabels": {"app": "a"}}}}
THROUGH = {"gatewayRef": {"name": "shared"}}


def lint(spec: dict[str, Any], version: str) -> tuple[Diagnostic, ...]:
    """Return what is reported of a policy."""
    policy = replace(build_policy("web"), spec=spec)
    inputs = NamespaceInput(
        "shop",
        (policy,),
        gateways=(build_gateway(wildcards="HTTP"),),
        labels={"egress": "yes"},
        settings=Settings(istio_version=version),
    )
    return plan_namespace(inputs).results["web"].diagnostics


def build(destination: dict[str, Any], **spec: object) -> dict[str, Any]:
    return {"destinations": [destination], **spec}


WITH_HTTP: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"ports": HTTP}, {}, True),
    ({"originateTLS": {}}, {}, True),
    ({"ports": HTTP, **TIMEOUT}, {}, False),
    ({"ports": HTTP, **POOL}, {}, False),
    ({"ports": HTTP}, WORKLOADS, False),
    ({"originateTLS": {}}, THROUGH, False),
]


@pytest.mark.parametrize(("destination", "spec", "may_be_tls"), WITH_HTTP)
def test_a_wildcard_that_an_older_istio_cannot_resolve_is_refused_with_a_fix(
    destination: dict[str, Any], spec: dict[str, Any], *, may_be_tls: bool
) -> None:
    (found,) = lint(build({"hosts": WILDCARD, **destination}, **spec), OLD)
    assert found.code == ISTIO_TOO_OLD
    assert "; name each host; " in found.message
    assert lint(build({"hosts": NAME, **destination}, **spec), OLD) == ()
    assert lint(build({"hosts": WILDCARD, **destination}, **spec), NEW) == ()
    assert ("; or leave ports and originateTLS out" in found.message) == may_be_tls
    (cured,) = lint(build({"hosts": WILDCARD}), OLD)
    assert cured.code == ADDRESS_NOT_CHECKED


def test_failover_of_names_is_refused_with_a_fix() -> None:
    (found,) = lint(build({"hosts": NAME, "failover": True, "backends": NAMES}), OLD)
    assert found.code == ISTIO_TOO_OLD
    assert lint(build({"hosts": NAME, "failover": True, "backends": NAMES}), NEW) == ()
    assert lint(build({"hosts": NAME, "failover": True, "backends": ADDRESSES}), OLD) == ()
    shares = [{**item, "weight": 1} for item in NAMES]
    assert lint(build({"hosts": NAME, "backends": shares}), OLD) == ()


def test_the_last_way_out_is_the_setting() -> None:
    fix = find_rule(ISTIO_TOO_OLD).fix
    assert count_ways_out(fix) == 2
    assert fix.endswith("(where it is, call egressctl with --istio-version)")


@pytest.mark.parametrize(("text", "minor"), [("1.22", 22), ("1.30", 30), ("1.99", 99)])
def test_a_minor_version_is_read(text: str, minor: int) -> None:
    assert check_version(text) is None
    assert parse_minor(text) == minor


@pytest.mark.parametrize(
    "text", ["", "1", "1.", "1.3", "1.21", "1.30.1", "v1.30", "2.0", "1.030", "latest"]
)
def test_another_text_is_refused(text: str) -> None:
    """Also 1.3, as which YAML reads a bare 1.30."""
    wrong = check_version(text)
    assert wrong is not None
    assert wrong.startswith("is not a minor version of Istio from 1.22 on; write it as 1.31")


def test_another_version_compiles_again_what_is_unchanged() -> None:
    memo = PlanCache()
    found = []
    for version in (OLD, NEW, OLD):
        inputs = NamespaceInput(
            "shop",
            (build_policy("web", {"hosts": WILDCARD}),),
            settings=Settings(istio_version=version),
        )
        (own,) = plan_namespace(inputs, memo).sets.values()
        found += [item.spec["resolution"] for item in own.objects]
    assert found == ["NONE", "DYNAMIC_DNS", "NONE"]
