"""What a policy is told about the gateway that it names."""

from typing import Any

import pytest

from egress_operator.plan.gateway import judge_gateways
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.reference import build_gateway_view
from egress_operator.plan.source import (
    GatewaySource,
    HandWritten,
    NamespaceInput,
    PolicySource,
)
from rollout.policy_set import build_gateway, build_route

HTTP = {"number": 80, "protocol": "HTTP"}
SERVICE_HOST = "egress.istio-egress.svc.cluster.local"
ACCOUNTS = {"serviceAccounts": ["checkout"]}


def build_input(
    policy: PolicySource,
    *gateways: GatewaySource,
    **more: Any,  # noqa: ANN401 - fields of the input
) -> NamespaceInput:
    fields: dict[str, Any] = {"labels": {"egress": "yes"}, **more}
    return NamespaceInput("shop", (policy,), gateways=gateways, **fields)


@pytest.mark.parametrize(
    ("gateways", "more", "code", "message"),
    [
        (
            (),
            {},
            "EG111",
            (
                "there is no EgressGateway shared, and no other one; "
                "ask the platform team to create it"
            ),
        ),
        (
            (build_gateway("other"),),
            {},
            "EG111",
            (
                "there is no EgressGateway shared; write the name of one that is there (other), or "
                "ask the platform team to create it"
            ),
        ),
        (
            (build_gateway(selector={}),),
            {},
            "EG112",
            (
                "EgressGateway shared is not accepted; ask the platform team to fix it: its "
                "status, or egressctl lint with its file, says what is wrong"
            ),
        ),
        (
            (build_gateway(),),
            {"labels": {"egress": "no"}},
            "EG114",
            (
                "EgressGateway shared is not open to this namespace, so nothing gets out: "
                "egress=yes is wanted, and there is egress=no; ask the platform team to select "
                "the namespace in the EgressGateway's spec.namespaces"
            ),
        ),
        (
            (build_gateway(),),
            {"unready": {"shared": "it has no pods"}},
            "EG115",
            "EgressGateway shared cannot carry traffic now: it has no pods",
        ),
    ],
)
def test_what_keeps_a_policy_from_its_gateway_is_said(
    gateways: tuple[GatewaySource, ...], more: dict[str, Any], code: str, message: str
) -> None:
    policy = build_route("a", HTTP, gateway="shared")
    verdict = plan_namespace(build_input(policy, *gateways, **more)).results["a"]
    assert verdict.reference is not None
    assert (verdict.reference.code, verdict.reference.path) == (code, "spec.gatewayRef.name")
    assert verdict.reference.message == message


@pytest.mark.parametrize("authorization", ["DryRun", "None"])
def test_service_accounts_need_a_gateway_that_checks_them(authorization: str) -> None:
    policy = build_route("a", HTTP, gateway="shared", source=ACCOUNTS)
    gateway = build_gateway(authorization=authorization)
    found = plan_namespace(build_input(policy, gateway)).results["a"].reference
    assert found is not None
    assert (found.code, found.path) == ("EG113", "spec.from.serviceAccounts")
    assert found.message == (
        f"EgressGateway shared has authorization {authorization} and does not check service "
        "accounts, so nothing is set up for this policy, and what it set up earlier is open to "
        "every workload of the namespace; ask the platform team for authorization: Managed, or "
        "remove serviceAccounts"
    )


def test_a_gateway_that_can_be_used_is_no_problem() -> None:
    for source in (None, ACCOUNTS):
        policy = build_route("a", HTTP, gateway="shared", source=source)
        found = plan_namespace(build_input(policy, build_gateway())).results["a"]
        assert found.reference is None


def test_a_policy_without_a_gateway_has_no_problem_with_one() -> None:
    assert plan_namespace(build_input(build_route("a", HTTP))).results["a"].reference is None


def test_a_namespace_whose_labels_are_not_known_may_use_every_open_gateway() -> None:
    """Offline the input need not hold the Namespace."""
    policy = build_route("a", HTTP, gateway="shared")
    inputs = build_input(policy, build_gateway(), labels=None)
    assert plan_namespace(inputs).results["a"].reference is None


@pytest.mark.parametrize(
    ("rules", "export_to"),
    [
        ((), (".",)),
        ((HandWritten("DestinationRule", "x", "", (SERVICE_HOST,)),), ()),
        ((HandWritten("DestinationRule", "x", "", (SERVICE_HOST,), ("*",)),), ("*",)),
        ((HandWritten("DestinationRule", "x", "", (SERVICE_HOST,), ("a", "b")),), ("a", "b")),
        (
            (HandWritten("DestinationRule", "x", "", (SERVICE_HOST,), ("*",), is_damaged=True),),
            (".",),
        ),
        ((HandWritten("DestinationRule", "x", "", ("other",), ("a",)),), (".",)),
        ((HandWritten("ServiceEntry", "x", "", (SERVICE_HOST,), ("a",)),), (".",)),
        (
            (
                HandWritten("DestinationRule", "a", "2026-02-01", (SERVICE_HOST,), ("young",)),
                HandWritten("DestinationRule", "b", "2026-01-01", (SERVICE_HOST,), ("old",)),
            ),
            ("old",),
        ),
    ],
)
def test_a_subset_is_shown_to_whom_a_rule_by_hand_is(
    rules: tuple[HandWritten, ...], export_to: tuple[str, ...]
) -> None:
    inputs = build_input(build_route("a", HTTP), build_gateway(), hand_written=rules)
    around = build_gateway_view(inputs, judge_gateways(inputs.gateways, inputs.settings))
    tenant = around.tenants["shared"]
    assert tenant is not None
    assert tenant.export_to == export_to
