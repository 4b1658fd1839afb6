"""The order between AuthorizationPolicies: nobody whom a gateway let in is turned away in between.

As soon as one of them allows something, what none allows is denied. So while a gateway with tenants
begins or ceases to enforce them, its own one allows everything: it does so before the first of the
tenants changes, and until the last has settled.
"""

from dataclasses import replace

from egress_operator.istio.kind import Kind
from egress_operator.istio.kinds import replace_spec
from egress_operator.istio.object import Desired, Observed
from egress_operator.istio.set_key import GatewaySet, HostSet
from egress_operator.rollout.scene import Scene
from egress_operator.rollout.wait import compute_wait_after
from egress_operator.rollout.write import Create, Replace, Step, build_step


def apply_access(scene: Scene) -> Step:
    """Write the AuthorizationPolicies that may change now; the others wait."""
    writes: list[Create | Replace] = []
    waits: list[float] = []
    for slot in scene.select(Kind.AUTHORIZATION_POLICY):
        if slot.desired is None:
            continue
        desired, wait = _choose(scene, slot.desired, slot.observed)
        write = slot.build_write(desired)
        if write is not None:
            writes.append(write)
        elif wait is not None:
            waits.append(wait)
    return build_step(*writes, wait=max(waits, default=None))


def _choose(
    scene: Scene, desired: Desired, there: Observed | None
) -> tuple[Desired | None, float | None]:
    """Return what one shall be now, None for as it is, and how long until it may be `desired`."""
    turned = there is not None and there.dry_run == desired.dry_run
    if desired.before is None:
        wait = None if turned else _compute_tenant_wait(scene, desired)
        return (desired if wait is None else None), wait
    if turned and there is not None and there.facts.is_closed:
        return desired, None
    tenants = [item for item in scene.around.outside if item.dry_run == desired.dry_run]
    wait = compute_wait_after(scene, desired, tenants)
    if wait is None:
        return desired, None
    return replace(replace_spec(desired, desired.before), dry_run=False), wait


def _compute_tenant_wait(scene: Scene, desired: Desired) -> float | None:
    """Return how long a tenant's one waits for the gateway's own one."""
    gateways = [item for item in scene.around.outside if not item.dry_run]
    if desired.dry_run:
        gateways = [
            item for item in scene.around.outside if item.dry_run or not item.facts.is_closed
        ]
    return compute_wait_after(scene, desired, gateways)


def compute_access_wait(scene: Scene) -> float:
    """Return how long a gateway may still deny those whom nothing lets in; at most 0: no more.

    A gateway that ceases to enforce allows everything before the first of its tenants changes. When
    it comes back to where it was, what allows everything is not even there yet.
    """
    if isinstance(scene.group.key, HostSet):
        return 0.0
    gateways = [item for item in scene.around.outside if _is_enforced_by_gateway(item)]
    leaving = [slot for slot in scene.select(Kind.AUTHORIZATION_POLICY) if slot.prunable]
    enforced = any(slot.observed is not None and not slot.observed.dry_run for slot in leaving)
    missing = scene.group.objects and enforced and not gateways
    if missing or any(item.facts.is_closed for item in gateways):
        return scene.clock.settle
    return scene.clock.compute_wait(item.key for item in gateways)


def _is_enforced_by_gateway(item: Observed) -> bool:
    of_gateway = isinstance(item.group, GatewaySet)
    return item.key.kind is Kind.AUTHORIZATION_POLICY and of_gateway and not item.dry_run
