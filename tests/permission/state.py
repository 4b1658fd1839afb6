"""What may have become of a namespace's policies by the time its permission is withdrawn."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

from testbed.client import Client, Object
from testbed.deadline import wait_until

from .gateway import TIMEOUT_S, Gateway, apply_namespace
from .standing import find_permissions
from .tenant import ACCOUNT, PAUSED, POLICY, TLS, Tenant

HOLD = "example.com/hold"
"""Somebody's finalizer."""
OPEN, RESTRICTED = "web", "cards"
"""The policies of each tenant: for the whole namespace, and for one service account."""
POLICIES = (OPEN, RESTRICTED)
PERMISSIONS = 2
"""That of the namespace, and that of the restricted host."""
ELSEWHERE = "elsewhere"
"""An EgressGateway that is open to everybody."""
MANY_S = 90.0
"""For dozens of tenants that begin at once."""


class State(StrEnum):
    """The state of both policies."""

    ALIVE = "alive"
    PAUSED = "paused"
    INSIDE_NAME = "inside-name"
    INSIDE_ADDRESS = "inside-address"
    NO_SUCH_GATEWAY = "no-such-gateway"
    OTHER_GATEWAY = "other-gateway"
    NO_GATEWAY = "no-gateway"
    HELD = "held-by-finalizer"
    ORPHANED = "deleted-with-orphans"
    RECREATED = "recreated"
    SETTLING = "long-settle-time"


MOVING = (State.OTHER_GATEWAY, State.NO_GATEWAY, State.SETTLING)
"""States that need a settle time which has not passed when the permission is withdrawn."""
STEADY = tuple(state for state in State if state not in MOVING)
SIGNS = {
    State.PAUSED: ("Paused", "True"),
    State.INSIDE_NAME: ("Accepted", "False"),
    State.INSIDE_ADDRESS: ("Accepted", "False"),
    State.NO_SUCH_GATEWAY: ("ResolvedRefs", "False"),
    State.RECREATED: ("Ready", "True"),
}
"""By which condition the operator shows that it knows the state.

A policy that is made again has its permission only then: the deletion may have taken it. The
others change nothing that a tenant has, whether the operator has seen them or not.
"""


def begin(tenant: Tenant, gateway: Gateway) -> None:
    """Write both policies, alive."""
    tenant.apply(OPEN, "api.example.com", gateway=gateway.name)
    accounts = {"from": {"serviceAccounts": [ACCOUNT]}}
    tenant.apply(RESTRICTED, "cards.example.com", gateway=gateway.name, **accounts)


def wait_begun(tenant: Tenant, gateway: Gateway) -> None:
    """Wait until both policies are applied, with a permission each."""
    for name in POLICIES:
        tenant.wait_condition(name, "Ready", "True", timeout_s=MANY_S)
    found = find_permissions(tenant.client, gateway.namespace, tenant.namespace)
    assert len(found) == PERMISSIONS, found


def let_in(client: Client, namespace: str, gateway: Gateway) -> Tenant:
    """Open a gateway to a namespace, and wait until both policies are applied there."""
    apply_namespace(client, namespace, egress=gateway.name)
    tenant = Tenant(client, namespace)
    begin(tenant, gateway)
    wait_begun(tenant, gateway)
    return tenant


def enter(tenant: Tenant, state: State, names: Iterable[str] = POLICIES) -> None:
    """Bring policies into a state, as their owner would."""
    for name in names:
        _ENTER[state](tenant, name)


def wait_entered(tenant: Tenant, state: State, names: Iterable[str] = POLICIES) -> None:
    """Wait until the operator shows that it knows the state, where it shows that."""
    for name in names if state in SIGNS else ():
        tenant.wait_condition(name, *SIGNS[state])


def _merge(patch: Object, tenant: Tenant, name: str) -> None:
    tenant.patch(name, patch)


def _add(destination: Mapping[str, Any], tenant: Tenant, name: str) -> None:
    destinations = [*_read(tenant, name)["spec"]["destinations"], destination]
    tenant.patch(name, {"spec": {"destinations": destinations}})


def _hold(tenant: Tenant, name: str) -> None:
    tenant.patch(name, {"metadata": {"finalizers": [HOLD]}})
    tenant.delete(name)


def _orphan(tenant: Tenant, name: str) -> None:
    tenant.delete(name, "Orphan")
    tenant.wait_gone(name)


def _recreate(tenant: Tenant, name: str) -> None:
    spec = _read(tenant, name)["spec"]
    tenant.delete(name)
    tenant.wait_gone(name)
    tenant.client.apply({**tenant.build(name), "spec": spec})


def _read(tenant: Tenant, name: str) -> Object:
    return tenant.client.get(*POLICY, name, tenant.namespace)


def release(tenant: Tenant) -> None:
    """Take the finalizers off, so that the namespace can go."""
    for name in POLICIES:
        if tenant.find(name) is not None:
            tenant.patch(name, {"metadata": {"finalizers": None}})


def wait_collected(tenant: Tenant) -> None:
    """Wait until the namespace is gone."""
    wait_until(
        lambda: tenant.client.find("v1", "Namespace", tenant.namespace) is None,
        3 * TIMEOUT_S,
        f"namespace {tenant.namespace} does not go",
    )


_ENTER: dict[State, Callable[[Tenant, str], None]] = {
    State.ALIVE: lambda _tenant, _name: None,
    State.PAUSED: partial(_merge, {"metadata": {"annotations": {PAUSED: "true"}}}),
    State.INSIDE_NAME: partial(_add, {"hosts": ["mysql.shop.svc"], "ports": [TLS]}),
    State.INSIDE_ADDRESS: partial(
        _add,
        {
            "hosts": ["inside.example.com"],
            "ports": [TLS],
            "backends": [{"name": "a", "endpoints": [{"address": "10.1.2.3"}]}],
        },
    ),
    State.NO_SUCH_GATEWAY: partial(_merge, {"spec": {"gatewayRef": {"name": "no-such"}}}),
    State.OTHER_GATEWAY: partial(_merge, {"spec": {"gatewayRef": {"name": ELSEWHERE}}}),
    State.NO_GATEWAY: partial(_merge, {"spec": {"gatewayRef": None, "from": None}}),
    State.HELD: _hold,
    State.ORPHANED: _orphan,
    State.RECREATED: _recreate,
    State.SETTLING: lambda _tenant, _name: None,
}
