"""Somebody edits the permissions of a gateway by hand; policies may be on hold meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator

from .gateway import TIMEOUT_S, Gateway, apply_namespace, serving_gateway
from .standing import ACCOUNT, AUTHORIZATION, DRY_RUN, ISTIO, LABEL
from .state import PERMISSIONS, State, begin, enter, release, wait_begun, wait_entered
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 10.0
"""The edits of this module use up the repairs that may be made at once; two more may take 6 s."""
HOLDS = (State.ALIVE, State.PAUSED, State.INSIDE_NAME, State.NO_SUCH_GATEWAY, State.HELD)


@dataclass(frozen=True)
class Site:
    """A gateway with a tenant for each state."""

    operator: Operator
    gateway: Gateway
    before: dict[str, Any]

    def list_policies(self) -> list[Object]:
        client, namespace = self.gateway.client, self.gateway.namespace
        return [
            {**item, "apiVersion": AUTHORIZATION[0], "kind": AUTHORIZATION[1]}
            for item in client.list_objects(*AUTHORIZATION, namespace)
        ]

    def read(self) -> dict[str, Any]:
        """Map the names of all AuthorizationPolicies to what the operator writes there."""
        return {item["metadata"]["name"]: _read(item) for item in self.list_policies()}

    def wait_restored(self) -> None:
        def look() -> bool:
            there = self.read()
            for name in {*self.before, *there}:
                wanted, found = self.before.get(name), there.get(name)
                require(found == wanted, f"{name} is {found}, not {wanted}")
            return True

        require_soon(look, LIMIT_S, "it is not restored")


def _read(item: Object) -> tuple[Any, ...]:
    metadata = item["metadata"]
    return item["spec"], metadata.get("labels"), metadata.get("annotations")


@pytest.fixture(scope="module")
def site(control_plane: ControlPlane, operator: Operator) -> Iterator[Site]:
    """Give a gateway that serves a tenant in each of the states."""
    client = control_plane.admin
    tenants = {state: Tenant(client, f"edited-{state}") for state in HOLDS}
    with serving_gateway(client, "edited") as gateway:
        for tenant in tenants.values():
            apply_namespace(client, tenant.namespace, egress=gateway.name)
            begin(tenant, gateway)
        for state, tenant in tenants.items():
            wait_begun(tenant, gateway)
            enter(tenant, state)
            wait_entered(tenant, state)
        site = Site(operator, gateway, {})
        whole = 1 + PERMISSIONS * len(HOLDS)
        wait_until(lambda: len(site.read()) == whole, TIMEOUT_S, "not every permission is there")
        site.before.update(site.read())
        yield site
        for tenant in tenants.values():
            release(tenant)
            client.delete("v1", "Namespace", tenant.namespace)


def add_source(item: Object, source: dict[str, Any]) -> Object:
    rules = item["spec"].get("rules") or []
    return {
        "spec": {"rules": [{**rule, "from": [*rule["from"], {"source": source}]} for rule in rules]}
    }


def add_account(item: Object) -> Object:
    """Let another account of the tenant in."""
    namespace = item["metadata"]["annotations"].get("egress-operator.io/namespace")
    return add_source(item, {"principals": [f"*/ns/{namespace}/sa/another"]})


def drop_names(item: Object) -> Object:
    """Let the tenant in under any name."""
    rules = item["spec"].get("rules") or []
    return {"spec": {"rules": [{"from": rule["from"]} for rule in rules]}}


EDITS: dict[str, Callable[[Object], Object]] = {
    "everybody": lambda _: {"spec": {"rules": [{}]}},
    "stranger": lambda item: add_source(item, {"namespaces": ["stranger"]}),
    "account": add_account,
    "any-name": drop_names,
    "deny": lambda _: {"spec": {"action": "DENY", "rules": [{}]}},
    "selector": lambda _: {"spec": {"selector": {"matchLabels": {"istio": "another"}}}},
    "dry-run": lambda _: {"metadata": {"annotations": {DRY_RUN: "true"}}},
    "dry-run-T": lambda _: {"metadata": {"annotations": {DRY_RUN: "T"}}},
    "revision": lambda _: {"metadata": {"labels": {"istio.io/rev": "canary"}}},
    "istio": lambda _: {"metadata": ISTIO},
    "label": lambda _: {"metadata": {"labels": {LABEL: None}}},
    "label-changed": lambda _: {"metadata": {"labels": {LABEL: f"{ACCOUNT}-2"}}},
    "annotations": lambda _: {"metadata": {"annotations": None}},
    "tenant": lambda _: {"metadata": {"annotations": {"egress-operator.io/namespace": "stranger"}}},
}


def test_what_policies_on_hold_keep_is_counted(site: Site) -> None:
    def look() -> bool:
        found = {key: site.gateway.status()[key] for key in ("namespaces", "hosts")}
        wanted = {"namespaces": len(HOLDS), "hosts": PERMISSIONS * len(HOLDS)}
        require(found == wanted, f"the status counts {found}")
        return True

    require_soon(look, LIMIT_S, "not everything is counted")


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_permission_is_restored(site: Site, edit: str) -> None:
    """All of them at once: the denial, and those of policies that are alive or on hold."""
    site.operator.pause()
    try:
        for item in site.list_policies():
            site.gateway.client.merge_patch(item, EDITS[edit](item))
    finally:
        site.operator.resume()
    site.wait_restored()


def test_a_deleted_permission_is_restored(site: Site) -> None:
    site.gateway.client.delete_all(*AUTHORIZATION, site.gateway.namespace)
    site.wait_restored()
