"""A namespace with EgressPolicies, and what its owners do to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from testbed.client import Client, Object
from testbed.deadline import wait_until

from .gateway import TIMEOUT_S

POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
PAUSED = "egress-operator.io/paused"
ACCOUNT = "checkout"
TLS = {"number": 443, "protocol": "TLS"}


@dataclass(frozen=True)
class Tenant:
    """The EgressPolicies of a namespace."""

    client: Client
    namespace: str

    def build(
        self, name: str, *destinations: Mapping[str, Any] | str, gateway: str = "", **more: object
    ) -> Object:
        """Build a policy for hosts (port 443) or whole destinations; `more` are spec's fields."""
        spec: dict[str, Any] = {
            "destinations": [
                {"hosts": [each], "ports": [TLS]} if isinstance(each, str) else dict(each)
                for each in destinations
            ],
            **more,
        }
        if gateway:
            spec["gatewayRef"] = {"name": gateway}
        return {
            "apiVersion": POLICY[0],
            "kind": POLICY[1],
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }

    def apply(
        self, name: str, *destinations: Mapping[str, Any] | str, gateway: str = "", **more: object
    ) -> Object:
        """Write a policy, see `build`."""
        return self.client.apply(self.build(name, *destinations, gateway=gateway, **more))

    def patch(self, name: str, patch: Object) -> Object:
        """Merge a patch into a policy."""
        return self.client.merge_patch(self.build(name), patch)

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Set the annotation that puts a policy on hold, or take it away."""
        self.patch(name, {"metadata": {"annotations": {PAUSED: "true" if paused else None}}})

    def delete(self, name: str, propagation: str = "Background") -> None:
        """Ask for a policy's deletion."""
        self.client.delete(*POLICY, name, self.namespace, propagation=propagation)

    def find(self, name: str) -> Object | None:
        """Read a policy, None when there is none."""
        return self.client.find(*POLICY, name, self.namespace)

    def wait_gone(self, name: str) -> None:
        """Wait until a policy is gone."""
        wait_until(lambda: self.find(name) is None, TIMEOUT_S, f"policy {name} is still there")

    def conditions(self, name: str) -> dict[str, Object]:
        """Map the types of a policy's conditions of the present generation to these."""
        policy = self.find(name) or {"metadata": {"generation": -1}}
        return {
            condition["type"]: condition
            for condition in (policy.get("status") or {}).get("conditions", ())
            if condition["observedGeneration"] == policy["metadata"]["generation"]
        }

    def wait_condition(
        self, name: str, kind: str, status: str, timeout_s: float = TIMEOUT_S
    ) -> Object:
        """Wait for a condition of the present generation; return it."""

        def look() -> Object | None:
            found = self.conditions(name).get(kind, {})
            assert found.get("status") == status, f"it is {found}"
            return found

        text = f"{kind} of {self.namespace}/{name} does not become {status}"
        return wait_until(look, timeout_s, text)
