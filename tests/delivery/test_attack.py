"""Attacks across the border of a namespace, on a real API server: each kind, version and way."""

import copy
from collections.abc import Callable, Iterator

import pytest

from delivery.admission import (
    COMPATIBLE,
    STRICT,
    TENANT_EXPORTS,
    TENANT_USER,
    TIMEOUT_S,
    Object,
    build_policies,
    find_refusal,
    find_refusals,
    manage,
)
from delivery.attack import ISTIO, build_object, build_service_entry
from delivery.crossing import (
    CONTRADICTING,
    HOME,
    OURS,
    SERVER,
    Crossing,
    build_istio_gateway,
    list_crossings,
    list_harmless,
)
from testbed.client import JSON, ApiError, Client
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until

CROSSINGS = list_crossings()
OLDER = ("v1beta1", "v1alpha3")
Way = Callable[[Client, Object, Object], object]
"""Makes the first object the second one: both of one kind, name and namespace."""


def find_passing(client: Client, level: str, crossings: list[Crossing]) -> list[str]:
    """Tell which objects are not judged as the table says."""
    found = []
    for crossing in crossings:
        refusal = find_refusal(client, crossing.item)
        is_refused = any(words in refusal for words in crossing.words)
        wanted = level in (STRICT, crossing.level)
        if is_refused is not wanted or bool(refusal) is not wanted:
            found.append(f"{crossing.name}: {refusal or 'passes'}")
    return found


def test_each_row_has_a_name_of_its_own() -> None:
    names = [crossing.name for crossing in CROSSINGS]
    assert sorted(set(names)) == sorted(names)
    assert {crossing.level for crossing in CROSSINGS} == {STRICT, COMPATIBLE}


@pytest.mark.usefixtures("strictly_managed")
def test_strict_refuses_all(strict_tenant: Client) -> None:
    assert find_passing(strict_tenant, STRICT, CROSSINGS) == []


@pytest.mark.usefixtures("managed")
def test_compatible_refuses_what_is_known_to_harm(tenant: Client) -> None:
    assert find_passing(tenant, COMPATIBLE, CROSSINGS) == []


@pytest.mark.usefixtures("strictly_managed")
@pytest.mark.parametrize("version", OLDER)
def test_older_versions_hide_nothing(strict_tenant: Client, version: str) -> None:
    older = [
        Crossing(crossing.name, crossing.at(version), crossing.words, crossing.level)
        for crossing in CROSSINGS[::3]
        if crossing.item["apiVersion"] == ISTIO
    ]
    assert len(older) > 50
    assert find_passing(strict_tenant, STRICT, older) == []


@pytest.mark.usefixtures("strictly_managed")
def test_strict_lets_through_what_stays_at_home(strict_tenant: Client) -> None:
    assert find_refusals(strict_tenant, list(list_harmless().values())) == []


@pytest.mark.usefixtures("managed")
def test_compatible_lets_it_through_too(tenant: Client) -> None:
    assert find_refusals(tenant, list(list_harmless().values())) == []


@pytest.mark.parametrize("namespace", ["istio-egress", "istio-ingress", "istio-system"])
def test_platform_may_write_for_everybody(
    strict: ControlPlane, strictly_managed: Object, namespace: str
) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    strict.admin.apply(body)
    assert strictly_managed["spec"]["namespace"] == "istio-egress"
    for kind, spec in {
        "ServiceEntry": build_service_entry(addresses=["192.0.2.7"], resolution="STATIC"),
        "VirtualService": {"hosts": ["*"], "gateways": ["shop/web"]},
        "DestinationRule": {"host": "*.example.com", "exportTo": ["*"]},
        "Gateway": {"selector": {"istio": "ingressgateway"}, "servers": [{**SERVER, "bind": "::"}]},
    }.items():
        item = build_object(ISTIO, kind, spec)
        item["metadata"]["namespace"] = namespace
        assert find_refusal(strict.admin, item) == ""
        assert find_refusal(strict.admin, {**item, "metadata": {"name": "a", "namespace": "pay"}})


def test_istiod_registers_machines(strict: ControlPlane) -> None:
    item = build_object(ISTIO, "WorkloadEntry", {"address": "10.1.2.3"})
    for user in ("istiod", "istiod-canary"):
        istiod = strict.client_as(f"system:serviceaccount:istio-system:{user}", "system:masters")
        assert find_refusal(istiod, item) == ""
    assert find_refusal(strict.admin, item)


def test_addresses_outside_of_the_cluster_are_no_pod_s(
    strict: ControlPlane, strict_tenant: Client
) -> None:
    def ask(address: str) -> str:
        return find_refusal(
            strict_tenant, build_object(ISTIO, "WorkloadEntry", {"address": address})
        )

    ranges = ["10.0.0.0/8", "fd00:10::/64"]
    policies = build_policies(clusterCidrs=ranges), build_policies()
    with_ranges, without = (
        next(item for item in found if item["metadata"]["name"] == TENANT_EXPORTS)
        for found in policies
    )
    strict.admin.apply(with_ranges)
    try:
        wait_until(lambda: not ask("192.0.2.7"), TIMEOUT_S, "the ranges have no effect")
        assert ask("2001:db8::1") == ask("11.0.0.1") == ask("fd00:10:0:1::1") == ""
        for address in ("10.0.0.1", "10.255.255.255", "fd00:10::1", "FD00:10::1"):
            assert f"the address {address} of a WorkloadEntry may be that of a pod" in ask(address)
    finally:
        strict.admin.apply(without)
        wait_until(lambda: ask("192.0.2.7"), TIMEOUT_S, "the ranges still have an effect")


# --- every way to write


def _replace(client: Client, old: Object, new: Object) -> object:
    metadata = client.get(old["apiVersion"], old["kind"], *_place(old))["metadata"]
    return client.replace({**new, "metadata": metadata})


def _merge(client: Client, old: Object, new: Object) -> object:
    gone = dict.fromkeys(old["spec"])
    return client.merge_patch(old, {"spec": {**gone, **new["spec"]}})


def _merge_older(client: Client, old: Object, new: Object) -> object:
    older = {**old, "apiVersion": f"{old['apiVersion'].partition('/')[0]}/v1alpha3"}
    return _merge(client, older, new)


def _patch(client: Client, old: Object, new: Object) -> object:
    operations = [
        {"op": "test", "path": "/metadata/name", "value": old["metadata"]["name"]},
        {"op": "replace", "path": "/spec", "value": new["spec"]},
    ]
    return client.json_patch(old, operations)


def _apply(client: Client, old: Object, new: Object) -> object:
    del old
    return client.apply(new)


def _apply_new(client: Client, old: Object, new: Object) -> object:
    client.delete(old["apiVersion"], old["kind"], *_place(old))
    return client.apply(new)


def _apply_dry(client: Client, old: Object, new: Object) -> object:
    del old
    return client.apply(new, dry_run=True, manager="another")


def _generate(client: Client, old: Object, new: Object) -> object:
    del old
    metadata = {"generateName": "attempt-", "namespace": TENANT_USER.namespace}
    return client.create({**new, "metadata": metadata})


def _create_unchecked(client: Client, old: Object, new: Object) -> object:
    client.delete(old["apiVersion"], old["kind"], *_place(old))
    path = client.path_of(new, named=False)
    query = {"fieldValidation": "Ignore"}
    body = {**new, "spec": {**new["spec"], "unknown": {"a": 1}}}
    return client.request("POST", path, query=query, body=body, content_type=JSON)


def _piecemeal(client: Client, old: Object, new: Object) -> object:
    """Change one field after the other."""
    for name in sorted({*old["spec"], *new["spec"]}):
        client.merge_patch(old, {"spec": {name: new["spec"].get(name)}})
    return None


WAYS: dict[str, Way] = {
    "PUT": _replace,
    "merge patch": _merge,
    "merge patch of another version": _merge_older,
    "JSON patch": _patch,
    "server-side apply": _apply,
    "server-side apply of a new one": _apply_new,
    "dry run": _apply_dry,
    "generateName": _generate,
    "without validation of fields": _create_unchecked,
    "field by field": _piecemeal,
}
TURNS: dict[str, tuple[Object, Object, str]] = {
    "reserved-names": (
        build_object(ISTIO, "VirtualService", {"hosts": ["reviews"], "gateways": ["web"]}),
        build_object(
            ISTIO,
            "VirtualService",
            {"hosts": ["reviews"], "gateways": ["web", "shop/shared-h5d0e771a0b1c2d3e"]},
        ),
        "is egress-operator's own",
    ),
    "gateway-exports": (
        build_object(ISTIO, "WorkloadEntry", {"address": "vm1.example.com", "weight": 1}),
        build_object(ISTIO, "WorkloadEntry", {"address": "unix:///run/a", "weight": 2}),
        "is a socket",
    ),
    "tenant-exports": (
        build_object(ISTIO, "ServiceEntry", build_service_entry(**HOME)),
        build_object(
            ISTIO,
            "ServiceEntry",
            build_service_entry(addresses=["192.0.2.7"], resolution="STATIC", exportTo=["*"]),
        ),
        'set exportTo: ["."]',
    ),
    "gateway-selectors": (
        build_istio_gateway(CONTRADICTING["other value"], SERVER),
        build_istio_gateway(OURS, {**SERVER, "hosts": ["*"]}),
        "selector may select the pods",
    ),
}
"""A harmless object of the tenant, the attack, and words of the refusal."""


@pytest.fixture(params=TURNS)
def turn(
    request: pytest.FixtureRequest, strict_tenant: Client, strictly_managed: Object
) -> Iterator[tuple[Object, Object, str]]:
    """Make the harmless object."""
    assert strictly_managed
    old, new, words = TURNS[request.param]
    strict_tenant.create(old)
    yield old, new, words
    for item in strict_tenant.list_objects(old["apiVersion"], old["kind"], TENANT_USER.namespace):
        strict_tenant.delete(old["apiVersion"], old["kind"], *_place(item), missing_ok=True)


def test_no_way_to_write_leads_round(
    strict_tenant: Client, turn: tuple[Object, Object, str]
) -> None:
    old, new, words = turn
    for name, way in WAYS.items():
        with pytest.raises(ApiError) as caught:
            way(strict_tenant, old, new)
        assert words in caught.value.message, name
        found = strict_tenant.find(old["apiVersion"], old["kind"], *_place(old))
        if found is None:
            strict_tenant.create(old)
        elif way is _piecemeal:
            _merge(strict_tenant, found, old)
        else:
            assert found["spec"] == old["spec"], name


def test_status_carries_no_spec(strict_tenant: Client, turn: tuple[Object, Object, str]) -> None:
    old, new, _ = turn
    for patch in ({"spec": new["spec"]}, {"spec": new["spec"], "status": {"conditions": []}}):
        assert strict_tenant.merge_patch(old, patch, subresource="status")["spec"] == old["spec"]
    metadata = strict_tenant.get(old["apiVersion"], old["kind"], *_place(old))["metadata"]
    answer = strict_tenant.replace({**new, "metadata": metadata}, subresource="status")
    assert answer["spec"] == old["spec"]


@pytest.mark.usefixtures("strictly_managed")
def test_object_without_spec_gets_no_other(strict_tenant: Client) -> None:
    for name in ("reserved-names", "gateway-selectors"):
        _, new, words = TURNS[name]
        empty = copy.deepcopy(new)
        del empty["spec"]
        strict_tenant.create(empty)
        try:
            with pytest.raises(ApiError) as caught:
                strict_tenant.merge_patch(empty, {"spec": new["spec"]})
            assert words in caught.value.message
        finally:
            strict_tenant.delete(new["apiVersion"], new["kind"], *_place(new))


def test_what_was_there_before_may_change_but_its_spec(
    strict: ControlPlane, strict_tenant: Client
) -> None:
    """The rules of gateways come after the object: labels may change, the attack may only end."""
    item = build_istio_gateway(OURS, {**SERVER, "hosts": ["*"]})
    strict_tenant.create(item)
    with manage(strict, strict_tenant):
        strict_tenant.merge_patch(item, {"metadata": {"labels": {"team": "pay"}}})
        with pytest.raises(ApiError, match="selector may select the pods"):
            strict_tenant.merge_patch(item, {"spec": {"servers": [SERVER]}})
        harmless = {"spec": {"selector": {"app": "web"}, "servers": [SERVER]}}
        assert strict_tenant.merge_patch(item, harmless)["spec"]["servers"] == [SERVER]
    strict_tenant.delete(item["apiVersion"], item["kind"], *_place(item))


def _place(item: Object) -> tuple[str, str]:
    return item["metadata"]["name"], item["metadata"]["namespace"]
