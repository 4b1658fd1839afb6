"""EnvoyFilters: what is built is known again, and nothing else is taken for it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from egress_operator.istio.envoy_filter import (
    ANYBODY,
    LookupFamily,
    build_resolver_spec,
    read_facts,
    read_names,
)
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.name import (
    build_behind_name,
    build_gateway_label,
    build_host_name,
    build_restricted_domain,
    build_tenant_domain,
)
from egress_operator.istio.object import Desired
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import GatewaySet
from egress_operator.plan.permission import Standing, build_standing

LABEL = build_gateway_label("shared", "istio-egress")
SELECTOR = (("istio", "egressgateway"),)
PLACE = ("configPatches", 0)
CONFIG = (*PLACE, "patch", "value", "typed_config")
NAME = build_behind_name(build_host_name("*.example.com"), 443, "shop", LABEL, "opaque")
KEY = ObjectKey(Kind.ENVOY_FILTER, "istio-egress", NAME)
GATEWAY = GatewaySet("shared", "istio-egress")


def build(domain: str = "", family: LookupFamily = LookupFamily.V4_ONLY) -> dict[str, Any]:
    host = f"*.{NAME}.{domain or build_tenant_domain(LABEL, 'shop')}"
    return build_resolver_spec(SELECTOR, f"unix://@{NAME}", host, family)


def build_wanted(tenant: str = "shop") -> Desired:
    return build_desired(
        KEY, GATEWAY, (), build(), place=LABEL, tenant=tenant, host="*.example.com"
    )


@pytest.mark.parametrize("family", LookupFamily)
@pytest.mark.parametrize("build_domain", [build_tenant_domain, build_restricted_domain])
@pytest.mark.parametrize("namespace", ["shop", "restricted", "egress"])
def test_its_patch_tells_whose_it_is(
    family: LookupFamily,
    build_domain: Callable[[str, str], str],
    namespace: str,
) -> None:
    spec = build(build_domain(LABEL, namespace), family)
    assert read_names(spec) == (LABEL, namespace)
    facts = read_facts(KEY, spec)
    assert facts.refs == {namespace}
    assert facts.selector == SELECTOR


EDITS: dict[str, tuple[tuple[str | int, ...], object]] = {
    "another port": ((*CONFIG, "port_value"), 22),
    "another family": ((*CONFIG, "dns_cache_config", "dns_lookup_family"), "AUTO"),
    "another cache": ((*CONFIG, "dns_cache_config", "name"), "*.example.com_dfp_dns_cache"),
    "a setting": ((*CONFIG, "save_upstream_address"), True),
    "every listener": ((*PLACE, "match"), {"context": "GATEWAY"}),
    "a cluster": ((*PLACE, "applyTo"), "CLUSTER"),
    "no patch": ((*PLACE, "patch"), None),
    "a text": ((*PLACE, "patch", "value"), "text"),
    "two patches": (("configPatches",), 2 * build()["configPatches"]),
    "a priority": (("priority",), 5),
    "targets": (("targetRefs",), [{"kind": "Gateway", "name": "a"}]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_one_of_another_form_is_nobodys(edit: str) -> None:
    path, value = EDITS[edit]
    place: Any = (spec := copy.deepcopy(build()))
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert read_names(spec) == ("", "")
    assert read_facts(KEY, spec).refs == {ANYBODY}


def test_one_without_patches_does_nothing() -> None:
    assert read_facts(KEY, {}).refs == frozenset()
    assert read_names({}) == ("", "")


def test_it_is_of_its_gateway_also_without_label_and_annotations() -> None:
    body = build_manifest(build_wanted(), ())
    observed = read_observed(body)
    assert (observed.set_key, observed.place, observed.tenant) == (GATEWAY, LABEL, "shop")
    assert not observed.is_damaged
    body["metadata"]["labels"] = {}
    body["metadata"]["annotations"] = {"egress-operator.io/egress-gateway": "shared"}
    damaged = read_observed(body)
    assert (damaged.set_key, damaged.place, damaged.tenant) == (GATEWAY, LABEL, "shop")
    assert damaged.is_damaged


@pytest.mark.parametrize("tenant", ["", "pay"])
def test_one_under_the_name_of_another_tenant_is_not_of_the_gateway(tenant: str) -> None:
    body = build_manifest(build_wanted(tenant), ())
    if not tenant:
        body["metadata"]["annotations"].pop("egress-operator.io/namespace", None)
    body["spec"] = build(build_tenant_domain(LABEL, "pay"))
    assert read_observed(body).set_key is None


def test_it_is_kept_while_its_server_stands() -> None:
    observed = read_observed(build_manifest(build_wanted(), ()))
    standing = Standing((observed,), servers=frozenset({("shop", NAME)}))
    assert standing.serves(observed, LABEL)
    assert not build_standing([observed], []).serves(observed, LABEL)
