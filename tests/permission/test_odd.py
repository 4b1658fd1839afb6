"""Objects that no schema lets in: of newer definitions, or of definitions that someone loosened."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.operator import Operator, OperatorOption, start_operator

from .conftest import SETTLE_S
from .gateway import GATEWAY, Gateway, apply_namespace, serving_gateway
from .standing import (
    ACCOUNT,
    AUTHORIZATION,
    ISTIO,
    KINDS,
    LABEL,
    find_denials,
    find_ours,
    find_permissions,
)
from .state import PERMISSIONS, POLICIES, begin, wait_begun
from .tenant import POLICY, Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 15.0
PREFIX = "egress-operator.io/"
NEST: Any = {}
for _ in range(60):
    NEST = {"spec": [NEST]}
SPECS: tuple[Any, ...] = (
    "text",
    7,
    [],
    [None],
    {},
    {"hosts": 5, "host": [], "servers": 3, "rules": 1, "selector": [], "destinations": "x"},
    {"hosts": [None, 5], "host": 3, "ports": [5], "http": "x", "exportTo": 9, "tls": [[]]},
    {"servers": [5], "selector": {"matchLabels": None}, "rules": [None], "action": 3},
    {"servers": [{"hosts": 7, "port": "x"}], "selector": {"a": 5}, "rules": [{"from": 5}]},
    {"servers": [{"hosts": [None], "port": {"number": "x"}}], "ports": [{"number": "x"}]},
    {"http": [{"route": [5]}, None], "hosts": ["x.example.org"], "rules": [{"from": [None]}]},
    {"http": [{"route": [{"destination": 5}]}], "endpoints": 5, "subsets": [5], "addresses": 3},
    {"rules": {"a": 1}, "subsets": {"a": 1}, "selector": {"matchLabels": {"a": [1]}}},
    {"namespace": 5, "selector": 3, "service": [], "namespaces": 7, "authorization": {}},
    {"gatewayRef": [], "destinations": [{"hosts": [5], "ports": {}}, 7], "from": "x"},
    {"namespaces": {"matchLabels": 5, "matchExpressions": [{"operator": 5}]}, "limits": []},
    NEST,
)


@dataclass(frozen=True)
class Site:
    """A gateway with a tenant, and objects of all sorts around them."""

    operator: Operator
    gateway: Gateway
    tenant: Tenant


def loosen(definition: Object) -> Object:
    """Let anything be stored."""
    for version in definition["spec"]["versions"]:
        version.pop("selectableFields", None)
        version["schema"] = {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        }
    return definition


@pytest.fixture(scope="module")
def site(programs: None) -> Iterator[Site]:  # noqa: ARG001 - skips without them
    """Serve a tenant; then write the odd objects, and put odd specs into those of the operator."""
    definitions = [loosen(item) for item in load_all_crds()]
    option = ControlPlaneOption(
        controller_manager=True, audit=True, users=(), definitions=definitions
    )
    settings = OperatorOption(settings={"EGRESS_SETTLE": str(SETTLE_S)})
    with (
        start_control_plane(option) as plane,
        start_operator(plane, settings) as operator,
        serving_gateway(plane.admin, "odd") as gateway,
    ):
        tenant = Tenant(plane.admin, "odd-shop")
        apply_namespace(plane.admin, tenant.namespace, egress=gateway.name)
        begin(tenant, gateway)
        wait_begun(tenant, gateway)
        write_odd(gateway, tenant)
        yield Site(operator, gateway, tenant)
        assert operator.stop() == 0, operator.process.tail(20)


def write_odd(gateway: Gateway, tenant: Tenant) -> None:
    """Write an object of each kind with each spec, in each namespace, under our label."""
    client, stranger = tenant.client, f"{tenant.namespace}-stranger"
    apply_namespace(client, stranger)
    (denial,) = find_denials(client, gateway.namespace)
    annotations = {
        **denial["metadata"]["annotations"],
        f"{PREFIX}namespace": tenant.namespace,
        f"{PREFIX}host": "\u0000\u202e{}",
        f"{PREFIX}policies": "," * 1000,
        f"{PREFIX}paused": "[]",
    }
    meta = {"labels": {LABEL: ACCOUNT, **ISTIO["labels"]}, "annotations": annotations}
    places = (tenant.namespace, stranger, gateway.namespace)
    for number, spec in enumerate(SPECS):
        for place, (version, kind) in itertools.product(places, (*KINDS, POLICY)):
            name = {"name": f"x-h{number:016x}", "namespace": place}
            body = {"apiVersion": version, "kind": kind, "metadata": {**meta, **name}}
            client.create({**body, "spec": spec, "status": spec})
        body = {"apiVersion": GATEWAY[0], "kind": GATEWAY[1], "metadata": {"name": f"x-{number}"}}
        client.create({**body, "spec": spec, "status": spec})
    # So that the rest of the tests can read what is there.
    for item in client.list_objects(*AUTHORIZATION, gateway.namespace):
        if item["metadata"]["name"].startswith("x-h0"):
            client.delete(*AUTHORIZATION, item["metadata"]["name"], gateway.namespace)


def test_our_objects_are_restored_whatever_they_hold(site: Site) -> None:
    client = site.tenant.client
    places = (site.tenant.namespace, site.gateway.namespace)
    before = {
        item["metadata"]["uid"]: item
        for place in places
        for item in find_ours(client, place)
        if not item["metadata"]["name"].startswith("x-h0")
    }
    assert before
    for item, spec in zip(before.values(), itertools.cycle(SPECS), strict=False):
        client.json_patch(item, [{"op": "replace", "path": "/spec", "value": spec}])

    def is_restored() -> bool:
        found = {
            item["metadata"]["uid"]: item for place in places for item in find_ours(client, place)
        }
        for uid, item in before.items():
            spec = found.get(uid, {"spec": "gone"})["spec"]
            require(spec == item["spec"], f"{item['kind']} {item['metadata']['name']} has {spec}")
        return True

    require_soon(is_restored, LIMIT_S, "not restored")


def test_others_are_served(site: Site) -> None:
    client, namespace = site.tenant.client, "odd-other"
    apply_namespace(client, namespace, egress=site.gateway.name)
    other = Tenant(client, namespace)
    begin(other, site.gateway)
    wait_begun(other, site.gateway)
    assert site.gateway.condition("Ready")["status"] == "True"


def test_a_permission_is_withdrawn_and_given_again(site: Site) -> None:
    client, place = site.tenant.client, site.gateway.namespace
    apply_namespace(client, site.tenant.namespace)
    require_soon(
        lambda: not find_permissions(client, place, site.tenant.namespace),
        LIMIT_S,
        "permissions are still there",
    )
    for name in POLICIES:
        site.tenant.wait_condition(name, "Ready", "False")
    apply_namespace(client, site.tenant.namespace, egress=site.gateway.name)
    require_soon(
        lambda: len(find_permissions(client, place, site.tenant.namespace)) == PERMISSIONS,
        LIMIT_S,
        "permissions are not there again",
    )
    wait_begun(site.tenant, site.gateway)


def test_a_policy_and_a_gateway_that_are_put_right_work(site: Site) -> None:
    client = site.tenant.client
    other = Tenant(client, f"{site.tenant.namespace}-stranger")
    for number in range(len(SPECS)):
        good = other.build(f"x-h{number:016x}", f"x-{number}.example.com")
        client.merge_patch(good, {"spec": None})
        client.merge_patch(
            good, {"spec": good["spec"], "metadata": {"annotations": {f"{PREFIX}paused": None}}}
        )
    for number in range(len(SPECS)):
        other.wait_condition(f"x-h{number:016x}", "Ready", "True")


def test_nothing_has_failed(site: Site) -> None:
    log = site.operator.log.read_text()
    before, traceback, after = log.partition("Traceback")
    assert not traceback, f"{before[-1000:]}{traceback}{after[:5000]}"
