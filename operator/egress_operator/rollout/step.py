"""`next_step`: the next safe writes of one group, never more.

The order, and why, is in docs/design/gateways.md. In short: what a route needs is there, and every
proxy had a settle time to take it, before the route leads to it; and it stays until no route needs
it and a settle time has passed. A host that turns from open to closed, or back, is open in between.
"""

from collections.abc import Collection, Iterator

from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Observed
from egress_operator.rollout.authorization import order_access
from egress_operator.rollout.closing import close_host
from egress_operator.rollout.deletion import (
    delete_behind,
    delete_entry,
    delete_route,
    delete_rules,
)
from egress_operator.rollout.opening import open_host
from egress_operator.rollout.scene import Clock, Scene, Surroundings, build_scene
from egress_operator.rollout.wait import LOOK_AGAIN_S, compute_wait_after
from egress_operator.rollout.write import Create, Step, Write, build_step


def next_step(
    group: Group, observed: Collection[Observed], around: Surroundings, clock: Clock
) -> Step:
    """Compute the next writes that are safe, or how long to wait for them. Pure.

    `observed`: the objects that stand under `list_keys`, ours or not, and all others of the group,
    as last acknowledged.

    From every mixture of old and new objects the steps converge, also when the desired objects
    change between two of them, and no state in between has a VirtualService of ours that needs what
    is not there.
    """
    if group.access is not None:
        return order_access(group.key, group.access, observed, clock)
    scene = build_scene(group, observed, around, clock)
    squatted = scene.list_squatted()
    for step in _list_steps(scene):
        if step.writes:
            return Step(step.writes, None, squatted)
        if step.wait is not None:
            return Step((), step.wait, squatted)
    return Step((), None, squatted)


def _list_steps(scene: Scene) -> Iterator[Step]:
    """Give the steps of a change in their order; the first that has something to do counts."""
    yield _change_behind(scene)
    yield _apply(scene, Kind.VIRTUAL_SERVICE)
    yield _change_host(scene)
    yield delete_route(scene)
    yield delete_entry(scene)
    yield delete_behind(scene)
    yield _await_allows(scene)


def _await_allows(scene: Scene) -> Step:
    """Wait until the gateway has the permissions that this group needs."""
    there = {item.key: item for item in scene.around.outside}
    missing = any(
        desired.key not in there or not is_as_desired(there[desired.key], desired, desired.owners)
        for desired in scene.group.allows
    )
    return Step(wait=scene.clock.settle or LOOK_AGAIN_S) if missing else Step()


def _change_behind(scene: Scene) -> Step:
    """Write what serves a route on a gateway, and delete the DestinationRules in its way."""
    staying = {slot.key.name for slot in scene.select(Kind.SERVICE_ENTRY) if slot.desired}
    step = _apply(scene, Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE)
    servers, wait = _apply_servers(scene)
    return build_step(*step.writes, *servers, *delete_rules(scene, staying), wait=wait)


def _apply_servers(scene: Scene) -> tuple[list[Write], float | None]:
    """Write the Gateways; a new one waits until the gateway denies strangers."""
    writes: list[Write] = []
    waits: list[float] = []
    for slot in scene.select(Kind.GATEWAY):
        write = slot.build_write(slot.desired)
        if write is None or slot.desired is None:
            continue
        wait = None
        if isinstance(write, Create) and slot.desired.after:
            wait = compute_wait_after(scene, slot.desired, scene.around.outside)
        if wait is None:
            writes.append(write)
        else:
            waits.append(wait)
    return writes, max(waits, default=None)


def _apply(scene: Scene, *kinds: Kind) -> Step:
    return build_step(*(slot.build_write(slot.desired) for slot in scene.select(*kinds)))


def _change_host(scene: Scene) -> Step:
    """Write the ServiceEntry and the VirtualService of the host."""
    if scene.entry.desired is not None and scene.entry.desired.facts.is_closed:
        return close_host(scene)
    return open_host(scene)
