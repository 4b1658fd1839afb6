"""Permissions that stay without a policy that asks for them: as they were, or not at all."""

from collections.abc import Mapping
from typing import Any

import pytest

from egress_operator.istio.authorization_policy import (
    ANYBODY,
    build_restricted_access_spec,
    build_tenant_access_spec,
    read_facts,
)
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.name import (
    build_behind_name,
    build_host_name,
    build_restricted_domain,
    build_tenant_domain,
)
from egress_operator.istio.object import Desired, Observed
from egress_operator.istio.observed import read_observed
from egress_operator.plan.gateway import judge_gateways
from egress_operator.plan.permission import Standing, plan_gateways
from egress_operator.plan.source import Settings
from rollout.policy_set import PLACES, SHARED, build_gateway

GATEWAY = judge_gateways([build_gateway()], Settings())[SHARED]
assert GATEWAY.gateway is not None
LABEL, SELECTOR = GATEWAY.gateway.label, GATEWAY.gateway.intent.selector
NAME = build_behind_name(
    build_host_name("cards.example.com"), 443, "shop", LABEL, "restricted-opaque"
)
HOST = f"{NAME}.{build_restricted_domain(LABEL, 'shop')}"
KEY = ObjectKey(Kind.AUTHORIZATION_POLICY, PLACES[SHARED], NAME)
SPEC = build_restricted_access_spec(SELECTOR, "shop", HOST, ("checkout",))
(RULE,) = SPEC["rules"]
PRINCIPALS: list[str] = RULE["from"][0]["source"]["principals"]


def change(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - a spec
    return {**SPEC, **more}


def use(*sources: Mapping[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - a rule
    return change(rules=[{**RULE, "from": [{"source": source} for source in sources], **more}])


OTHER_NAME = [{"key": "connection.sni", "values": ["api.pay.egress.internal"]}]
EDITED = {
    "everybody": change(rules=[{}]),
    "one-more-rule": change(rules=[RULE, {}]),
    "no-source": change(rules=[{"when": RULE["when"]}]),
    "no-name": change(rules=[{"from": RULE["from"]}]),
    "name-of-another": change(rules=[{**RULE, "when": OTHER_NAME}]),
    "no-names": change(rules=[{**RULE, "when": [{"key": "connection.sni", "values": []}]}]),
    "not-names": change(rules=[{**RULE, "when": [{"key": "connection.sni", "notValues": ["a"]}]}]),
    "other-key": change(rules=[{**RULE, "when": [{"key": "source.ip", "values": [HOST]}]}]),
    "stranger": use({"principals": PRINCIPALS}, {"namespaces": ["stranger"]}),
    "stranger-among": use({"principals": [*PRINCIPALS, "*/ns/stranger/sa/a"]}),
    "any-account": use({"principals": ["*"]}),
    "nobody": use({"principals": []}),
    "not-principals": use({"notPrincipals": PRINCIPALS}),
    "by-address": use({"ipBlocks": ["10.0.0.0/8"]}),
    "deny": change(action="DENY"),
    "by-path": use({"principals": PRINCIPALS}, to=[{"operation": {"paths": ["/"]}}]),
}


@pytest.mark.parametrize("edit", EDITED)
def test_a_rule_of_another_form_may_let_in_anybody(edit: str) -> None:
    assert ANYBODY in read_facts(KEY, EDITED[edit]).refs


def test_what_is_built_lets_in_its_tenant() -> None:
    domain = build_tenant_domain(LABEL, "shop")
    for spec in (SPEC, build_tenant_access_spec(SELECTOR, "shop", domain)):
        assert read_facts(KEY, spec).refs == {"shop"}
    assert read_facts(KEY, change(rules=[])).refs == frozenset()


def build_allow(spec: Mapping[str, Any]) -> Desired:
    return build_desired(KEY, GATEWAY.set_key, (), spec, dry_run=False, place=LABEL, tenant="shop")


def observe(spec: Mapping[str, Any]) -> Observed:
    return read_observed(build_manifest(build_allow(spec), ()))


def build_standing(*policies: Observed) -> Standing:
    """Make what stands at the gateway: a server for the host, and these policies."""
    return Standing(policies, frozenset({("shop", LABEL)}), servers=frozenset({("shop", NAME)}))


@pytest.mark.parametrize("edit", [*EDITED, "selector"])
def test_what_is_kept_goes_when_it_was_edited_while_nobody_looked(edit: str) -> None:
    """The policy is on hold, and the operator has just started."""
    elsewhere = change(selector={"matchLabels": {"istio": "another"}})
    for spec, stays in ((SPEC, True), (EDITED.get(edit, elsewhere), False)):
        standing = {GATEWAY.set_key: build_standing(observe(spec))}
        plan = plan_gateways({SHARED: GATEWAY}, {}, standing, lambda *_: True)
        access = plan.sets[GATEWAY.set_key].access
        assert access is not None
        assert (access.kept == {KEY}) is stays


@pytest.mark.parametrize("there", [(), (observe(EDITED["everybody"]),)], ids=["gone", "edited"])
def test_what_is_kept_is_wanted_as_it_was(there: tuple[Observed, ...]) -> None:
    wanted = {LABEL: [build_allow(SPEC)]}
    standing = {GATEWAY.set_key: build_standing(observe(SPEC))}
    before = plan_gateways({SHARED: GATEWAY}, wanted, standing, lambda *_: True)
    standing = {GATEWAY.set_key: build_standing(*there)}
    plan = plan_gateways({SHARED: GATEWAY}, {}, standing, lambda *_: True, before=before)
    access = plan.sets[GATEWAY.set_key].access
    assert access is not None
    assert build_allow(SPEC) in access.allows
    later = plan_gateways({SHARED: GATEWAY}, {}, {}, lambda *_: True, before=plan)
    access = later.sets[GATEWAY.set_key].access
    assert access is not None
    assert not access.allows
    closed = plan_gateways({SHARED: GATEWAY}, {}, standing, lambda *_: False, before=plan)
    access = closed.sets[GATEWAY.set_key].access
    assert access is not None
    assert not access.allows
