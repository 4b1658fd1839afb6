"""A random history: what users, tenants and the platform do, and what is in the operator's way."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import NAMESPACE_ANNOTATION
from egress_operator.plan.source import PAUSED_ANNOTATION
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES

from .server import Object, Server, read_key

ACCESS = RESOURCES[Kind.AUTHORIZATION_POLICY]
TENANTS = ("shop", "pay")
POLICY_NAMES = ("web", "cards")
SHARED = "shared"
GATEWAY_NAMES = (SHARED, "other")
FINALIZER = "example.com/review"
PAUSES_S = (0.0, 0.01, 0.1, 0.5, 1.5, 5.0)
"""Between two steps: some come in the middle of what the one before has set off."""


class History:
    """Changes objects at a server, at random, and remembers what it did."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.server = server
        self.log: list[str] = []
        self._rng = rng

    def begin(self) -> None:
        """Make two gateways and two tenants with policies."""
        for name in GATEWAY_NAMES:
            self.server.apply(GATEWAYS, build_gateway(name))
        for namespace in TENANTS:
            self._label(namespace, SHARED)
            for name in POLICY_NAMES:
                self.server.apply(POLICIES, self._draw_policy(namespace, name))

    async def take_steps(self) -> None:
        """Do something a few times; now and then answers are lost meanwhile."""
        self.server.lost = self._rng.choice([0.0, 0.0, 0.1])
        for _ in range(self._rng.randint(5, 25)):
            self._step()
            await asyncio.sleep(self._rng.choice(PAUSES_S))

    def end(self) -> None:
        """Mostly take away what is in the operator's way."""
        self.server.lost = 0.0
        if self._rng.random() < 0.7:
            self._release()
            self._relent()

    def _step(self) -> None:
        operations: dict[Callable[[], str], int] = {
            self._apply_policy: 6,
            self._delete_policy: 2,
            self._pause: 2,
            self._change_label: 6,
            self._change_gateway: 2,
            self._delete_gateway: 1,
            self._hold: 3,
            self._release: 3,
            self._refuse: 3,
            self._relent: 3,
            self._edit_by_hand: 3,
            self._delete_by_hand: 1,
        }
        (operation,) = self._rng.choices([*operations], [*operations.values()])
        self.log.append(f"{asyncio.get_running_loop().time():.3f} {operation()}")

    def _draw_policy(self, namespace: str, name: str) -> Object:
        draw = self._rng.random
        host = self._rng.choice(["a.example.com", "b.example.com", f"{name}.example.com"])
        destination: Object = {"hosts": ["not a host" if draw() < 0.1 else host]}
        if draw() < 0.2:
            destination["originateTLS"] = {}
        spec: Object = {"destinations": [destination]}
        if draw() < 0.85:
            gateway = self._rng.choice([*GATEWAY_NAMES, SHARED, "missing"])
            spec["gatewayRef"] = {"name": gateway}
            if draw() < 0.5:
                accounts = self._rng.sample(["checkout", "batch", "another"], 2)
                spec["from"] = {"serviceAccounts": accounts}
        return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}

    def _apply_policy(self) -> str:
        body = self._draw_policy(self._rng.choice(TENANTS), self._rng.choice(POLICY_NAMES))
        self.server.apply(POLICIES, body)
        return f"apply {body}"

    def _delete_policy(self) -> str:
        key = (POLICIES, self._rng.choice(TENANTS), self._rng.choice(POLICY_NAMES))
        orphan = self._rng.random() < 0.3
        self.server.remove(key, orphan=orphan)
        return f"delete {key[1:]}, {orphan=}"

    def _pause(self) -> str:
        value = self._rng.choice(["true", "false"])

        def change(body: Object) -> None:
            body["metadata"]["annotations"] = {PAUSED_ANNOTATION: value}

        return f"pause {value} {self._change_any(POLICIES, change)}"

    def _label(self, namespace: str, gateway: str) -> None:
        labels = {"egress": gateway} if gateway else {}
        self.server.apply(NAMESPACES, {"metadata": {"name": namespace, "labels": labels}})

    def _change_label(self) -> str:
        namespace = self._rng.choice(TENANTS)
        gateway = self._rng.choice([*GATEWAY_NAMES, SHARED, ""])
        self._label(namespace, gateway)
        return f"label {namespace} {gateway!r}"

    def _change_gateway(self) -> str:
        name = self._rng.choice(GATEWAY_NAMES)
        authorization = self._rng.choice(["Managed", "Managed", "DryRun", "None"])
        self.server.apply(GATEWAYS, build_gateway(name, authorization))
        return f"gateway {name} {authorization}"

    def _delete_gateway(self) -> str:
        name = self._rng.choice(GATEWAY_NAMES)
        self.server.remove((GATEWAYS, "", name))
        return f"delete gateway {name}"

    def _hold(self) -> str:
        """Put a finalizer on a permission, which stays for a while when it is deleted."""

        def change(body: Object) -> None:
            body["metadata"]["finalizers"] = [FINALIZER]

        return f"hold {self._change_any(ACCESS, change)}"

    def _release(self) -> str:
        for body in [*self.server.select(ACCESS)]:
            self.server.change(
                read_key(ACCESS, body), lambda found: found["metadata"].pop("finalizers", None)
            )
        return "release"

    def _refuse(self) -> str:
        tenant = self._rng.choice(TENANTS)
        verbs = self._rng.choice([("delete",), ("delete", "update"), ("create",)])

        def refuse(verb: str, resource: Resource, body: Object) -> ApiError | None:
            annotations = body["metadata"].get("annotations") or {}
            theirs = resource == ACCESS and annotations.get(NAMESPACE_ANNOTATION) == tenant
            return ApiError(403, "Forbidden", "under review") if theirs and verb in verbs else None

        self.server.refusals.append(refuse)
        return f"refuse {verbs} for {tenant}"

    def _relent(self) -> str:
        self.server.refusals.clear()
        return "relent"

    def _edit_by_hand(self) -> str:
        resource = self._rng.choice([*RESOURCES.values()])
        what = self._rng.choice(["spec", "labels", "annotations", "ownerReferences"])

        def change(body: Object) -> None:
            if what == "spec":
                body["spec"] = {**body["spec"], "exportTo": ["*"]}
            else:
                body["metadata"].pop(what, None)

        return f"edit {what} {self._change_any(resource, change)}"

    def _delete_by_hand(self) -> str:
        resource = self._rng.choice([*RESOURCES.values()])
        found = [*self.server.select(resource)]
        if not found:
            return "delete nothing"
        key = read_key(resource, self._rng.choice(found))
        self.server.remove(key)
        return f"delete {key[0].plural} {key[1:]}"

    def _change_any(self, resource: Resource, change: Callable[[Object], Any]) -> str:
        """Change one object of a resource; name it."""
        found = [*self.server.select(resource)]
        if not found:
            return "nothing"
        key = read_key(resource, self._rng.choice(found))
        self.server.change(key, change)
        return f"{key[0].plural} {key[1:]}"


def build_gateway(name: str, authorization: str = "Managed") -> Object:
    """Make an EgressGateway that is open to the namespaces with its name as label."""
    spec = {
        "namespace": f"istio-{name}",
        "selector": {"istio": name},
        "service": {"name": f"istio-{name}", "port": 443},
        "namespaces": {"matchLabels": {"egress": name}},
        "authorization": authorization,
    }
    return {"metadata": {"name": name}, "spec": spec}
