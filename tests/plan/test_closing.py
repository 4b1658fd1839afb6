"""Which hosts close only after the gateway denies them."""

from collections.abc import Iterable, Mapping

import pytest

from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import HostSet, SetKey, TenantSet
from egress_operator.plan.closing import find_denied
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.plan import Plan
from egress_operator.plan.source import Settings
from rollout.policy_set import build_gateway

HOST = HostSet("shop", "api.example.com")
OTHER = HostSet("shop", "www.example.com")
PODS = {"istio": "shared"}


def judge(
    authorization: str = "Managed", selector: Mapping[str, str] = PODS
) -> dict[str, GatewayResult]:
    gateway = build_gateway(authorization=authorization, selector=selector)
    return judge_gateways([gateway], Settings())


def find_tenant() -> TenantSet:
    gateway = judge()["shared"].gateway
    assert gateway is not None
    return TenantSet("shop", gateway.label)


TENANT = find_tenant()


def build_plan(closing: Iterable[SetKey], *others: SetKey) -> Plan:
    sets = {key: ObjectSet(key, is_closing=True) for key in closing}
    sets |= {key: ObjectSet(key) for key in others}
    return Plan("shop", sets, {}, frozenset(), frozenset())


def test_hosts_that_close_with_their_tenant_wait() -> None:
    plan = build_plan({TENANT, HOST}, OTHER)
    assert find_denied(plan, {TENANT, HOST, OTHER}, judge()) == {HOST}


def test_only_what_has_changed_waits() -> None:
    plan = build_plan({TENANT, HOST, OTHER})
    assert find_denied(plan, {TENANT, HOST}, judge()) == {HOST}
    assert find_denied(plan, {HOST, OTHER}, judge()) == set()


def test_a_set_that_is_planned_no_more_does_not_wait() -> None:
    assert find_denied(build_plan({TENANT}), {TENANT, HOST}, judge()) == set()


def test_hosts_whose_tenant_keeps_its_permission_close_at_once() -> None:
    assert find_denied(build_plan({HOST}, TENANT), {TENANT, HOST}, judge()) == set()


@pytest.mark.parametrize(
    "gateways",
    [
        pytest.param({}, id="gone"),
        pytest.param(judge("DryRun"), id="dry-run"),
        pytest.param(judge("None"), id="none"),
        pytest.param(judge(selector={}), id="not-accepted"),
        pytest.param(judge(selector={"istio": "elsewhere"}), id="another-place"),
    ],
)
def test_hosts_of_a_gateway_that_denies_nothing_close_at_once(
    gateways: dict[str, GatewayResult],
) -> None:
    assert find_denied(build_plan({TENANT, HOST}), {TENANT, HOST}, gateways) == set()
