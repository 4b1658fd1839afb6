"""A permission that cannot be deleted, or not be changed: it holds up nobody else, and is named."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from testbed.audit import Mark
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.operator import Operator

from .gateway import Gateway, apply_namespace, serving_gateway
from .obstacle import FINALIZER, WEBHOOK, WORDS, Obstacle, find_theirs, hold, take_denial
from .standing import AUTHORIZATION, find_denials, find_permissions
from .state import PERMISSIONS, POLICIES, RESTRICTED, begin, wait_begun
from .tenant import ACCOUNT, Tenant
from .violation import require, require_soon

pytestmark = pytest.mark.timeout(300)

LIMIT_S = 2.0
"""For others, while a permission is stuck."""
TOLD_S = 3.0
WAITS_S = 15.0
"""For the status of a policy that waits: a policy that settles says so a second later."""
RELEASED_S = 15.0
"""After the obstacle is gone, for the next try."""
MOST_TRIES = 10
"""Of one deletion, in the few seconds of a test."""


@dataclass(frozen=True)
class Site:
    """A gateway whose tenants are called by what happens to them."""

    plane: ControlPlane
    operator: Operator
    gateway: Gateway
    stuck: Tenant
    leaving: Tenant
    staying: Tenant

    @property
    def client(self) -> Client:
        return self.gateway.client

    @property
    def tenants(self) -> tuple[Tenant, ...]:
        return self.stuck, self.leaving, self.staying

    def is_let_in(self, tenant: Tenant) -> bool:
        return bool(find_permissions(self.client, self.gateway.namespace, tenant.namespace))

    def give_back(self, tenant: Tenant) -> None:
        apply_namespace(self.client, tenant.namespace, egress=self.gateway.name)

    def withdraw(self, *tenants: Tenant) -> None:
        for tenant in tenants:
            apply_namespace(self.client, tenant.namespace)

    def wait_back(self, tenant: Tenant) -> None:
        """Wait until a tenant has all of its permissions again, and knows it."""

        def look() -> bool:
            found = find_permissions(self.client, self.gateway.namespace, tenant.namespace)
            return len(found) == PERMISSIONS

        require_soon(look, RELEASED_S, "a permission does not come back")
        wait_begun(tenant, self.gateway)

    def has_baseline(self, name: str) -> bool:
        found = find_denials(self.client, self.gateway.namespace)
        return name in {item["metadata"]["name"] for item in found}

    def is_told(self, tenant: Tenant, policy: str, *words: str) -> bool:
        """Require that a policy is not Ready, and says why in these words."""
        ready = tenant.conditions(policy).get("Ready", {})
        require(ready.get("status") == "False", f"it is {ready}")
        require(all(word in ready["message"] for word in words), f"it says {ready['message']}")
        return True

    def tells(self) -> bool:
        """Require that the status names whose permission is stuck, and why."""
        isolated = self.gateway.condition("Isolated")
        text = isolated.get("message", "")
        require(isolated.get("reason") == "PermissionStuck", f"it is {isolated}")
        require(self.stuck.namespace in text, f"it says {text}")
        require(any(word in text for word in (WORDS, FINALIZER, WEBHOOK)), f"it says {text}")
        require(self.gateway.condition("Ready").get("status") == "True", "it serves others")
        return True

    def count_deletions(self, since: Mark) -> int:
        names = {item["metadata"]["name"] for item in find_theirs(self.gateway, self.stuck)}
        records = self.plane.audit.records(since=since, user=self.operator.user, writes=True)
        return sum(record.verb == "delete" and record.name in names for record in records)


@pytest.fixture(scope="module")
def site(control_plane: ControlPlane, operator: Operator) -> Iterator[Site]:
    """Give a gateway that serves three tenants."""
    client = control_plane.admin
    with serving_gateway(client, "refused") as gateway:
        names = ("stuck", "leaving", "staying")
        tenants = (Tenant(client, f"refused-{name}") for name in names)
        found = Site(control_plane, operator, gateway, *tenants)
        for tenant in found.tenants:
            found.give_back(tenant)
            begin(tenant, gateway)
        for tenant in found.tenants:
            wait_begun(tenant, gateway)
        yield found
        for tenant in found.tenants:
            client.delete("v1", "Namespace", tenant.namespace)


@pytest.mark.parametrize("obstacle", Obstacle)
def test_a_stuck_permission_holds_up_nothing_else_and_is_named(
    site: Site, obstacle: Obstacle
) -> None:
    """It lets nobody in where it may be changed, and goes when the obstacle does."""
    gateway = site.gateway
    with hold(obstacle, gateway, site.stuck):
        mark = site.plane.audit.position()
        site.withdraw(site.stuck)
        require_soon(site.tells, TOLD_S, "the status does not say it")
        if obstacle is not Obstacle.WRITES_REFUSED:
            require(not site.is_let_in(site.stuck), "it is still let in")
        site.withdraw(site.leaving)
        require_soon(lambda: not site.is_let_in(site.leaving), LIMIT_S, "another one is held up")
        (name,) = {
            item["metadata"]["name"]
            for item in find_denials(site.client, gateway.namespace)
            if "egress-operator.io/namespace" not in item["metadata"]["annotations"]
        }
        site.client.delete(*AUTHORIZATION, name, gateway.namespace)
        require_soon(lambda: site.has_baseline(name), LIMIT_S, "the denial is not restored")
        site.give_back(site.leaving)
        require_soon(lambda: site.is_let_in(site.leaving), LIMIT_S, "nobody is let in any more")
        site.staying.apply(str(obstacle), f"{obstacle}.example.com", gateway=gateway.name)
        site.staying.wait_condition(str(obstacle), "Ready", "True")
        tries = site.count_deletions(mark)
        require(tries <= MOST_TRIES * PERMISSIONS, f"it was tried {tries} times")
    require_soon(lambda: not find_theirs(gateway, site.stuck), RELEASED_S, "it stays")
    require_soon(
        lambda: gateway.condition("Isolated").get("reason") != "PermissionStuck",
        TOLD_S,
        "it is still said",
    )
    site.give_back(site.stuck)
    site.wait_back(site.stuck)


def test_a_denial_that_cannot_be_written_holds_up_no_withdrawal_and_is_named(site: Site) -> None:
    gateway = site.gateway
    with take_denial(gateway) as name:
        site.withdraw(site.leaving)
        require_soon(lambda: not site.is_let_in(site.leaving), LIMIT_S, "it is held up")

        def look() -> bool:
            for kind in ("Ready", "Isolated"):
                found = gateway.condition(kind)
                require(found.get("reason") == "Pending", f"it is {found}")
                require(name in found["message"] and WORDS in found["message"], f"it is {found}")
            return True

        require_soon(look, TOLD_S, "the status does not say it")
    require_soon(lambda: site.has_baseline(name), RELEASED_S, "the denial does not come back")
    gateway.wait_serving()
    site.give_back(site.leaving)
    site.wait_back(site.leaving)


@pytest.mark.parametrize(
    "obstacle", [Obstacle.DELETE_REFUSED, Obstacle.FINALIZER, Obstacle.WEBHOOK]
)
def test_a_stuck_permission_that_is_given_back_lets_in_again(
    site: Site, obstacle: Obstacle
) -> None:
    with hold(obstacle, site.gateway, site.stuck):
        site.withdraw(site.stuck)
        require_soon(lambda: not site.is_let_in(site.stuck), LIMIT_S, "it is still let in")
        require(find_theirs(site.gateway, site.stuck), "the obstacle does not hold")
        site.give_back(site.stuck)
        site.wait_back(site.stuck)
    require_soon(
        lambda: (
            not any(
                "deletionTimestamp" in item["metadata"]
                for item in find_theirs(site.gateway, site.stuck)
            )
        ),
        RELEASED_S,
        "what was held does not go",
    )
    site.wait_back(site.stuck)


def test_a_policy_that_waits_for_a_refused_permission_says_why(site: Site) -> None:
    tenant, gateway = site.staying, site.gateway
    with hold(Obstacle.WRITES_REFUSED, gateway, tenant):
        accounts = {"from": {"serviceAccounts": [ACCOUNT, "another"]}}
        tenant.apply(RESTRICTED, "cards.example.com", gateway=gateway.name, **accounts)
        require_soon(
            lambda: site.is_told(tenant, RESTRICTED, "AuthorizationPolicy", WORDS),
            WAITS_S,
            "the policy does not say it",
        )
    tenant.wait_condition(RESTRICTED, "Ready", "True")


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_whose_permission_has_a_squatted_name_says_so(site: Site, name: str) -> None:
    client, tenant = site.client, site.leaving
    metadata = next(
        item["metadata"]
        for item in find_theirs(site.gateway, tenant)
        if ("cards" in item["metadata"]["name"]) == (name == RESTRICTED)
    )
    site.withdraw(tenant)
    require_soon(lambda: not site.is_let_in(tenant), LIMIT_S, "it is not withdrawn")
    key = {field: metadata[field] for field in ("name", "namespace")}
    client.apply(
        {
            "apiVersion": AUTHORIZATION[0],
            "kind": AUTHORIZATION[1],
            "metadata": key,
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "action": "DENY",
                "rules": [{}],
            },
        }
    )
    site.give_back(tenant)
    require_soon(
        lambda: site.is_told(tenant, name, metadata["name"], "rename or delete"),
        WAITS_S,
        "the policy does not say it",
    )
    client.delete(*AUTHORIZATION, metadata["name"], metadata["namespace"])
    site.wait_back(tenant)
