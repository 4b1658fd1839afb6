"""Reserved names on a real API server: refused to tenants wherever they stand, however spelt."""

import re

import pytest

from delivery.admission import RESERVED, Object, find_passing, find_refusal, find_refusals
from delivery.attack import (
    BEHIND,
    EXACT,
    ISTIO,
    NEAR,
    PLACES,
    PREFIXED,
    SPELLINGS,
    TENANT,
    WILDCARD,
    build_object,
    build_service_entry,
)
from testbed.client import Client

SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?")


@pytest.mark.parametrize(
    ("version", "kind"), PLACES.keys(), ids=lambda value: value.partition(".")[0]
)
def test_reserved_name_is_refused_in_every_spelling(
    tenant: Client, version: str, kind: str
) -> None:
    first, *others = PLACES[version, kind].values()
    attempts = [build_object(version, kind, first(name)) for name in SPELLINGS]
    attempts += [
        build_object(version, kind, place(name)) for place in others for name in SPELLINGS[::7]
    ]
    assert find_passing(tenant, attempts) == []


@pytest.mark.parametrize(
    ("version", "kind"), PLACES.keys(), ids=lambda value: value.partition(".")[0]
)
def test_similar_name_is_nobody_s(tenant: Client, version: str, kind: str) -> None:
    first, *others = PLACES[version, kind].values()
    objects = [build_object(version, kind, first(name)) for name in NEAR]
    objects += [build_object(version, kind, place(name)) for place in others for name in NEAR[:2]]
    assert find_refusals(tenant, objects) == []


def test_namespace_before_a_host_hides_nothing(tenant: Client) -> None:
    place = PLACES[ISTIO, "Gateway"]["hosts"]
    assert (
        find_passing(tenant, [build_object(ISTIO, "Gateway", place(name)) for name in PREFIXED])
        == []
    )


def test_sidecar_may_import_by_wildcard_alone(tenant: Client) -> None:
    def build(spec: Object) -> Object:
        return build_object(ISTIO, "Sidecar", spec)

    imports = [build({"egress": [{"hosts": ["./*", f"shop/{name}"]}]}) for name in EXACT]
    proxies = [
        build({"outboundTrafficPolicy": {"egressProxy": {"host": name, "port": {"number": 80}}}})
        for name in SPELLINGS
    ]
    assert find_passing(tenant, imports + proxies) == []
    wide = [build({"egress": [{"hosts": [f"*/{name}"]}]}) for name in WILDCARD]
    assert find_refusals(tenant, wide) == []


def test_alias_of_a_reserved_name_is_refused(tenant: Client) -> None:
    def build(name: str) -> Object:
        return build_object("v1", "Service", {"type": "ExternalName", "externalName": name})

    names = [name for name in EXACT if SUBDOMAIN.fullmatch(name)]
    assert len(names) >= 10
    assert find_passing(tenant, [build(name) for name in names]) == []
    assert find_refusals(tenant, [build(name) for name in NEAR if SUBDOMAIN.fullmatch(name)]) == []


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_served_version_is_judged(tenant: Client, version: str) -> None:
    for (group, kind), places in PLACES.items():
        if group == ISTIO:
            place = next(iter(places.values()))
            attempt = build_object(f"networking.istio.io/{version}", kind, place(TENANT))
            assert f"'{RESERVED}'" in find_refusal(tenant, attempt), kind


def test_words_name_the_culprit_and_the_fix(tenant: Client) -> None:
    hosts = ["api.example.com", f"A.{TENANT}.", TENANT]
    attempt = build_object(ISTIO, "ServiceEntry", build_service_entry(hosts=hosts))
    assert find_refusal(tenant, attempt).partition(" denied request: ")[2] == (
        f"ServiceEntry pay/attempt: A.{TENANT}. is reserved: names under egress.internal and"
        " direct.internal, and wildcards over them, are egress-operator's own;"
        " write an EgressPolicy instead"
    )


@pytest.mark.parametrize(
    "name",
    [
        "shared-h5d0e771a0b1c2d3e",
        "pay/shared-h5d0e771a0b1c2d3e",
        "./shared-h5d0e771a0b1c2d3e",
        "shop/shared-h5d0e771a0b1c2d3e",
        "istio-egress/shared-h5d0e771a0b1c2d3e",
        "shared-h5d0e771a0b1c2d3e.pay",
        "shared-h5d0e771a0b1c2d3e.pay.svc.cluster.local",
        BEHIND,
        f"pay/{BEHIND}",
        f"pay/{BEHIND}-in",
    ],
)
def test_nobody_adds_routes_to_a_gateway_of_the_operator(tenant: Client, name: str) -> None:
    route = {"destination": {"host": "vault.kube-system.svc.cluster.local"}}
    spec = {"hosts": ["*"], "gateways": ["mine", name], "http": [{"route": [route]}]}
    words = find_refusal(tenant, build_object(ISTIO, "VirtualService", spec))
    assert f"'{RESERVED}'" in words
    assert f"the Gateway {name} is egress-operator's own" in words


@pytest.mark.parametrize(
    "name", ["mesh", "shared", "web-h5d0e77", "web-h5d0e7711", "web-hello12", "pay/web.h5d0e771x"]
)
def test_other_gateways_take_routes(tenant: Client, name: str) -> None:
    route = {"destination": {"host": "reviews"}}
    spec = {"hosts": ["*.example.com"], "gateways": [name], "http": [{"route": [route]}]}
    assert find_refusal(tenant, build_object(ISTIO, "VirtualService", spec)) == ""
