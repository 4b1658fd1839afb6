"""Objects as people write them without us: what each level lets pass, and how to write the rest.

`ordinary.yaml` holds them. What `fixes.yaml` does not name passes at both levels.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from delivery.admission import (
    EXPORTED,
    STRICT,
    TENANT_EXPORTS,
    TENANT_USER,
    TIMEOUT_S,
    Object,
    find_refusal,
    find_refusals,
)
from testbed.chart import render_chart
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.document import load_document, load_documents
from testbed.istiod import Istiod

HERE = Path(__file__).parent
PLATFORM = "istio-ingress"
"""A namespace in which only the platform team writes, as the chart has it."""
SHARED = "istio-ingress/public"
"""A Gateway of the platform team's."""
TABLE = {
    "ServiceEntry": (32, 21, 21),
    "VirtualService": (34, 14, 14),
    "DestinationRule": (22, 8, 8),
    "networking.istio.io/Gateway": (19, 1, 7),
    "Sidecar": (7, 0, 0),
    "WorkloadEntry": (5, 2, 2),
    "WorkloadGroup": (3, 0, 0),
    "Service": (9, 0, 0),
    "gateway.networking.k8s.io/Gateway": (5, 0, 0),
    "ListenerSet": (2, 0, 0),
    "HTTPRoute": (7, 0, 0),
    "GRPCRoute": (2, 0, 0),
    "TLSRoute": (2, 0, 0),
    "TCPRoute": (2, 0, 0),
    "UDPRoute": (1, 0, 0),
    "BackendTLSPolicy": (2, 0, 0),
    "AuthorizationPolicy": (4, 0, 0),
}
"""How many there are of each kind, and how many of them Strict refuses: alone, and beside a managed
gateway."""


@dataclass(frozen=True)
class Fix:
    """Objects that Strict refuses for one reason, and how to write them instead."""

    refused: list[str]
    words: str
    """What the refusal says: the field, and what to do."""
    patch: Object
    """A merge patch; the objects then pass."""
    beside_gateway: bool = False
    """Whether they pass as they are where there is no managed gateway."""


def read_ordinary(namespace: str = TENANT_USER.namespace) -> list[Object]:
    """Read the objects, as those of a namespace."""
    items = [item for item in load_documents((HERE / "ordinary.yaml").read_text()) if item]
    for item in items:
        item["metadata"]["namespace"] = namespace
    return items


def read_fixes(*, beside_gateway: bool) -> dict[str, Fix]:
    """Read what Strict refuses, and how to write it instead, by key."""
    fixes = [Fix(**item) for item in load_document((HERE / "fixes.yaml").read_text())]
    return {
        key: fix for fix in fixes if beside_gateway or not fix.beside_gateway for key in fix.refused
    }


def apply_fix(item: Object, fix: Fix) -> Object:
    """Return the object as it is to be written instead."""
    fixed: Object = merge(item, fix.patch)
    return fixed


def merge(target: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the target with a JSON merge patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def key_of(item: Object) -> str:
    """Return what tells an object from all others: `Kind/name`."""
    return f"{item['kind']}/{item['metadata']['name']}"


def kind_of(item: Object) -> str:
    """Return the kind as the table has it; there are two Gateways."""
    group = item["apiVersion"].partition("/")[0]
    return f"{group}/Gateway" if item["kind"] == "Gateway" else item["kind"]


def add_older_versions(items: list[Object]) -> list[Object]:
    """Return the objects, and Istio's once more as v1beta1."""
    older = [
        {**item, "apiVersion": item["apiVersion"].replace("/v1", "/v1beta1")}
        for item in items
        if item["apiVersion"].endswith("istio.io/v1")
    ]
    return [*items, *older]


def test_corpus_is_in_order() -> None:
    keys = [key_of(item) for item in read_ordinary()]
    assert len(keys) == len(set(keys)) >= 100
    fixes = load_document((HERE / "fixes.yaml").read_text())
    refused = [key for fix in fixes for key in fix["refused"]]
    assert len(refused) == len(set(refused))
    assert set(refused) <= set(keys)


def test_table_tells_how_many_are_refused() -> None:
    items = read_ordinary()
    counted = [Counter(map(kind_of, items))]
    for beside_gateway in (False, True):
        refused = read_fixes(beside_gateway=beside_gateway)
        counted.append(Counter(kind_of(item) for item in items if key_of(item) in refused))
    assert {kind: tuple(count[kind] for count in counted) for kind in counted[0]} == TABLE


def test_istiod_takes_them_as_written_and_as_fixed(
    control_plane: ControlPlane, istiod: Istiod
) -> None:
    """Nobody has what Istio itself refuses."""
    assert istiod is not None
    items = [item for item in read_ordinary("default") if "istio.io/" in item["apiVersion"]]
    fixes = read_fixes(beside_gateway=True)
    fixed = [apply_fix(item, fixes[key_of(item)]) for item in items if key_of(item) in fixes]
    assert find_refusals(control_plane.admin, [*items, *fixed]) == []


# --- Compatible


def test_compatible_refuses_none(
    guarded: ControlPlane, tenant: Client, request: pytest.FixtureRequest
) -> None:
    ordinary = add_older_versions(read_ordinary())
    exported = copy.deepcopy(EXPORTED)
    exported["spec"]["exportTo"] = ["istio-egress", "shop"]
    assert find_refusals(tenant, [*ordinary, exported]) == []
    request.getfixturevalue("managed")
    for client in (tenant, guarded.admin):
        assert find_refusals(client, ordinary) == []


# --- Strict


@pytest.fixture(params=[False, True], ids=["alone", "beside a gateway"])
def beside_gateway(request: pytest.FixtureRequest) -> bool:
    """Tell whether there is a managed gateway."""
    if request.param:
        request.getfixturevalue("strictly_managed")
    return bool(request.param)


def test_strict_refuses_these_alone_and_says_what_to_do(
    strict: ControlPlane, strict_tenant: Client, *, beside_gateway: bool
) -> None:
    fixes = read_fixes(beside_gateway=beside_gateway)
    for client in (strict_tenant, strict.admin):
        answers = [
            (key_of(item), words)
            for item in add_older_versions(read_ordinary())
            if (words := find_refusal(client, item))
        ]
        assert {key for key, _ in answers} == set(fixes)
        unclear = [(key, words) for key, words in answers if fixes[key].words not in words]
        assert unclear == []


def test_what_strict_refuses_passes_as_it_is_fixed(
    strict_tenant: Client, *, beside_gateway: bool
) -> None:
    fixes = read_fixes(beside_gateway=beside_gateway)
    fixed = [apply_fix(item, fixes[key_of(item)]) for item in _select(fixes)]
    assert len(fixed) == len(fixes)
    assert find_refusals(strict_tenant, add_older_versions(fixed)) == []


@pytest.mark.usefixtures("managed")
def test_what_is_fixed_passes_at_compatible(tenant: Client) -> None:
    fixes = read_fixes(beside_gateway=True)
    fixed = [apply_fix(item, fixes[key_of(item)]) for item in _select(fixes)]
    assert find_refusals(tenant, fixed) == []


def _select(keys: dict[str, Fix]) -> list[Object]:
    return [item for item in read_ordinary() if key_of(item) in keys]


def test_strict_refuses_none_of_the_platform_s(strict: ControlPlane) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLATFORM}}
    strict.admin.apply(namespace)
    assert find_refusals(strict.admin, read_ordinary(PLATFORM)) == []


def _build_exports(*shared: str) -> Object:
    (policy,) = (
        item
        for item in render_chart({"admission": {"level": STRICT, "sharedGateways": [*shared]}})
        if item["kind"] == "ValidatingAdmissionPolicy"
        and item["metadata"]["name"] == TENANT_EXPORTS
    )
    return policy


@pytest.fixture
def sharing(strict: ControlPlane) -> Iterator[None]:
    """Name the Gateway in `admission.sharedGateways`."""
    (probe,) = (item for item in read_ordinary() if key_of(item) == "VirtualService/shared-ingress")

    def is_shared() -> bool:
        return not find_refusal(strict.admin, probe)

    usual, changed = _build_exports(), _build_exports(SHARED)
    strict.admin.apply(changed)
    wait_until(is_shared, TIMEOUT_S, "the setting has no effect")
    yield
    strict.admin.apply(usual)
    wait_until(lambda: not is_shared(), TIMEOUT_S, "it still has an effect")


@pytest.mark.usefixtures("sharing")
def test_routes_of_a_shared_gateway_pass_where_the_platform_names_it(strict_tenant: Client) -> None:
    routes = [item for item in read_ordinary() if item["kind"] == "VirtualService"]
    shared = [item for item in routes if item["spec"].get("gateways") == [SHARED]]
    assert len(shared) == 2
    assert find_refusals(strict_tenant, shared) == []
    (notebook,) = (item for item in routes if item["metadata"]["name"] == "notebook")
    assert find_refusals(strict_tenant, [notebook]) != []
