"""A gateway's permissions come into force, beside policies that are on hold."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.deadline import DeadlineError, wait_until
from testbed.operator import Operator

from .conftest import SETTLE_S
from .gateway import Gateway, apply_namespace, serving_gateway
from .standing import find_denials, find_ours, find_permissions, is_denial
from .state import POLICIES, State, enter, release, wait_entered
from .tenant import Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = SETTLE_S + 5
BEFORE = ("None", "DryRun")
HOLDS = (State.ALIVE, State.PAUSED, State.INSIDE_NAME, State.NO_SUCH_GATEWAY, State.HELD)


@dataclass(frozen=True)
class Site:
    """A gateway with a live tenant, and one whose policies are on hold."""

    gateway: Gateway
    live: Tenant
    held: Tenant

    def begin(self, before: str) -> None:
        """Write gateway and policies, all alive."""
        self.gateway.apply_pods()
        self.gateway.apply(authorization=before)
        for tenant in (self.live, self.held):
            apply_namespace(tenant.client, tenant.namespace, egress=self.gateway.name)
            for policy in POLICIES:
                tenant.apply(policy, f"{policy}.example.com", gateway=self.gateway.name)

    def hold(self, state: State) -> None:
        """Put one tenant's policies on hold, when all are applied."""
        for tenant in (self.live, self.held):
            for policy in POLICIES:
                tenant.wait_condition(policy, "Ready", "True")
        enter(self.held, state)
        wait_entered(self.held, state)
        assert not self.is_denying()

    def is_denying(self) -> bool:
        return bool(find_denials(self.gateway.client, self.gateway.namespace))

    def end(self) -> None:
        """Take everything away."""
        release(self.held)
        self.gateway.delete()
        for tenant in (self.live, self.held):
            tenant.client.delete("v1", "Namespace", tenant.namespace)


Sites = dict[tuple[str, State], Site]


def build_site(client: Client, name: str) -> Site:
    tenants = (Tenant(client, f"{name}-{which}") for which in ("live", "held"))
    return Site(Gateway(client, name), *tenants)


@pytest.fixture(scope="module")
def sites(control_plane: ControlPlane, operator: Operator) -> Iterator[Sites]:
    """Make a gateway for each case, enforce all of them at once, and wait for the time to pass."""
    del operator
    sites = {
        (before, state): build_site(control_plane.admin, f"force-{before.lower()}-{state}")
        for before in BEFORE
        for state in HOLDS
    }
    for (before, _), site in sites.items():
        site.begin(before)
    for (_, state), site in sites.items():
        site.hold(state)
    for site in sites.values():
        site.gateway.apply(authorization="Managed")
    with suppress(DeadlineError):
        wait_until(
            lambda: all(site.is_denying() for site in sites.values()), LIMIT_S, "not in force"
        )
    yield sites
    for site in sites.values():
        site.end()


CASES = [(before, state) for before in BEFORE for state in HOLDS]


@pytest.mark.parametrize(("before", "state"), CASES)
def test_the_gateway_denies_in_time(sites: Sites, before: str, state: State) -> None:
    site = sites[before, state]
    require(
        site.is_denying(),
        f"nothing denies: {find_ours(site.gateway.client, site.gateway.namespace)}",
    )
    live = find_permissions(site.gateway.client, site.gateway.namespace, site.live.namespace)
    require(live, "the live tenant is shut out")


@pytest.mark.parametrize(("before", "state"), CASES)
def test_the_status_says_so(sites: Sites, before: str, state: State) -> None:
    """In force, or without the admission policies at least not pending any more."""
    gateway = sites[before, state].gateway

    def look() -> bool:
        ready, isolated = gateway.condition("Ready"), gateway.condition("Isolated")
        require(ready.get("status") == "True", f"it is {ready}")
        require(isolated.get("reason") not in {None, "Pending", "NotEnforced"}, f"it is {isolated}")
        return True

    require_soon(look, LIMIT_S, "the status is late")


@pytest.mark.parametrize(("before", "state"), CASES)
def test_a_namespace_on_hold_is_let_in_or_named(sites: Sites, before: str, state: State) -> None:
    site = sites[before, state]
    client, namespace = site.gateway.client, site.held.namespace

    def look() -> bool:
        messages = [entry["message"] for entry in site.gateway.status()["conditions"]]
        require(
            find_permissions(client, site.gateway.namespace, namespace)
            or any(namespace in message for message in messages),
            f"{namespace} is denied, and the status does not say so: {messages}",
        )
        return True

    require_soon(look, LIMIT_S, "the status is late")


@pytest.mark.parametrize(
    ("after", "state"),
    [
        ("None", State.ALIVE),
        ("None", State.PAUSED),
        ("DryRun", State.ALIVE),
        ("DryRun", State.PAUSED),
        ("DryRun", State.INSIDE_NAME),
    ],
)
def test_nothing_denies_when_it_is_no_longer_enforced(
    control_plane: ControlPlane, operator: Operator, namespace: str, after: str, state: State
) -> None:
    del operator
    client = control_plane.admin
    with serving_gateway(client, f"gw-{namespace}") as gateway:
        apply_namespace(client, namespace, egress=gateway.name)
        tenant = Tenant(client, namespace)
        for policy in POLICIES:
            tenant.apply(policy, f"{policy}.example.com", gateway=gateway.name)
        for policy in POLICIES:
            tenant.wait_condition(policy, "Ready", "True")
        enter(tenant, state)
        wait_entered(tenant, state)
        assert find_denials(client, gateway.namespace)
        gateway.apply(authorization=after)

        def look() -> bool:
            ours = find_ours(client, gateway.namespace, "AuthorizationPolicy")
            require(not find_denials(client, gateway.namespace), "it still denies")
            wanted = 1 if after == "DryRun" else 0
            require(len([item for item in ours if is_denial(item)]) == wanted, f"there are {ours}")
            return True

        require_soon(look, LIMIT_S, f"it does not come to {after}")
