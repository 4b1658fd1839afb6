"""`next_step`: the next safe writes of one group, never more.

The order, and why, is in docs/design/gateways.md. In short: what a route needs is there, and every
proxy had a settle time to take it, before the route leads to it; and it stays until no route needs
it and a settle time has passed. A host that turns from open to closed, or back, is open in between.
"""

from collections.abc import Collection, Iterator

from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Observed
from egress_operator.rollout.access import apply_access
from egress_operator.rollout.closing import close_host
from egress_operator.rollout.deletion import (
    delete_all,
    delete_behind,
    delete_entry,
    delete_route,
    delete_rules,
)
from egress_operator.rollout.opening import open_host
from egress_operator.rollout.scene import Clock, Scene, Surroundings, build_scene
from egress_operator.rollout.write import Step, build_step


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
    if scene.group.is_closing:
        yield build_step(*delete_all(scene.select(Kind.AUTHORIZATION_POLICY)))
    yield _change_behind(scene)
    yield apply_access(scene)
    yield _apply(scene, Kind.VIRTUAL_SERVICE)
    yield _change_host(scene)
    yield delete_route(scene)
    yield delete_entry(scene)
    yield delete_behind(scene)


def _change_behind(scene: Scene) -> Step:
    """Write what serves a route on a gateway, and delete the DestinationRules in its way."""
    staying = {slot.key.name for slot in scene.select(Kind.SERVICE_ENTRY) if slot.desired}
    step = _apply(scene, Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE, Kind.GATEWAY)
    return build_step(*step.writes, *delete_rules(scene, staying))


def _apply(scene: Scene, *kinds: Kind) -> Step:
    return build_step(*(slot.build_write(slot.desired) for slot in scene.select(*kinds)))


def _change_host(scene: Scene) -> Step:
    """Write the ServiceEntry and the VirtualService of the host."""
    if scene.entry.desired is not None and scene.entry.desired.facts.is_closed:
        return close_host(scene)
    return open_host(scene)
