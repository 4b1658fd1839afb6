"""Tenants of four gateways, which lose their permission at once and each in another way."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from testbed.client import Object
from testbed.controlplane import ControlPlane

from . import state as policy_state
from .gateway import Gateway, apply_namespace, serving_gateway
from .standing import find_permissions
from .state import State
from .tenant import Tenant

HANDS = 8
"""Requests of the test at a time."""


class Way(StrEnum):
    """How a permission is withdrawn."""

    LABEL = "label-off"
    SELECTOR = "namespaces-edited"
    NOBODY = "namespaces-left-out"
    DELETED = "namespace-deleted"


Key = tuple[Way, State]


class Batch:
    """Four gateways, a tenant for each case, and two bystanders."""

    def __init__(self, plane: ControlPlane, name: str, keys: Iterable[Key]) -> None:
        self.plane, self.client = plane, plane.admin
        self.gateways = {way: Gateway(self.client, f"{name}-{way}") for way in Way}
        self.tenants = {
            (way, state): Tenant(self.client, f"{name}-{way}-{state}") for way, state in keys
        }
        self.bystanders = {
            way: Tenant(self.client, f"{name}-{way}-bystander") for way in (Way.LABEL, Way.SELECTOR)
        }

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Write gateways and policies, all alive; returns when all are applied."""
        for gateway in self.gateways.values():
            stack.enter_context(serving_gateway(self.client, gateway.name))
        everybody = [(tenant, way, "no") for (way, _), tenant in self.tenants.items()]
        everybody += [(tenant, way, "yes") for way, tenant in self.bystanders.items()]

        def write(entry: tuple[Tenant, Way, str]) -> None:
            tenant, way, stays = entry
            labels = {"egress": self.gateways[way].name, "stays": stays}
            apply_namespace(self.client, tenant.namespace, **labels)
            policy_state.begin(tenant, self.gateways[way])

        with ThreadPoolExecutor(HANDS) as hands:
            list(hands.map(write, everybody))
        for tenant, way, _ in everybody:
            policy_state.wait_begun(tenant, self.gateways[way])

    def enter(self) -> None:
        """Bring all policies into their states; returns when the operator shows it."""
        with ThreadPoolExecutor(HANDS) as hands:
            entered = [
                hands.submit(policy_state.enter, tenant, state)
                for (_, state), tenant in self.tenants.items()
            ]
        for future in entered:
            future.result()
        for (_, state), tenant in self.tenants.items():
            policy_state.wait_entered(tenant, state)
        for key in self.tenants:
            assert len(self.find(key)) == policy_state.PERMISSIONS, f"{key} has lost permissions"

    def withdraw(self) -> None:
        """Withdraw every permission, as the platform would."""
        self.gateways[Way.NOBODY].apply(namespaces=None)
        self.gateways[Way.SELECTOR].apply(namespaces={"matchLabels": {"stays": "yes"}})
        for (way, _), tenant in self.tenants.items():
            if way is Way.LABEL:
                apply_namespace(self.client, tenant.namespace)
            elif way is Way.DELETED:
                self.client.delete("v1", "Namespace", tenant.namespace)

    def find(self, key: Key) -> list[Object]:
        """List the permissions of a tenant."""
        gateway = self.gateways[key[0]]
        return find_permissions(self.client, gateway.namespace, self.tenants[key].namespace)

    def list_others(self) -> dict[str, str]:
        """Map the bystanders' permissions to their versions."""
        return {
            f"{item['metadata']['namespace']}/{item['metadata']['name']}": item["metadata"][
                "resourceVersion"
            ]
            for way, tenant in self.bystanders.items()
            for item in find_permissions(
                self.client, self.gateways[way].namespace, tenant.namespace
            )
        }

    def recreate(self) -> None:
        """Make the deleted namespaces again, without a label, where they can go."""
        for (way, state), tenant in self.tenants.items():
            if way is Way.DELETED and state is not State.HELD:
                policy_state.wait_collected(tenant)
                apply_namespace(self.client, tenant.namespace)

    def end(self) -> None:
        """Take finalizers and namespaces away."""
        for (_, state), tenant in self.tenants.items():
            if state is State.HELD:
                policy_state.release(tenant)
        for tenant in (*self.tenants.values(), *self.bystanders.values()):
            self.client.delete("v1", "Namespace", tenant.namespace, missing_ok=True)
