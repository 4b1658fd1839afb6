"""Deletions: first what routes, then, when nothing needs it any more, what was routed to."""

from collections.abc import Collection, Iterable

from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.set_key import HostSet, TenantSet
from egress_operator.rollout.scene import Scene, Slot
from egress_operator.rollout.wait import compute_route_wait
from egress_operator.rollout.write import Delete, Step, build_step


def delete_all(slots: Iterable[Slot]) -> tuple[Delete, ...]:
    """Return the deletions of those that we may delete."""
    deletions = (slot.build_delete() for slot in slots)
    return tuple(deletion for deletion in deletions if deletion is not None)


def delete_rules(scene: Scene, names: Collection[str]) -> tuple[Delete, ...]:
    """Return the deletions of DestinationRules whose ServiceEntries, of the same names, stay.

    They go together with what else changes: the ServiceEntry may lead to another port now, where
    nobody speaks TLS.
    """
    return delete_all(
        slot for slot in scene.select(Kind.DESTINATION_RULE) if slot.key.name in names
    )


def delete_route(scene: Scene) -> Step:
    """Delete the VirtualService of the host when the ServiceEntry can do without.

    A host that leads nowhere by itself goes with its route; the other way round requests would be
    refused in between that nobody refuses before and after.
    """
    entry, deletion = scene.entry, scene.route.build_delete()
    if deletion is None:
        return Step()
    wait = compute_route_wait(scene)
    if wait is not None:
        return Step(wait=wait)
    together = (
        entry.desired is None and entry.observed is not None and entry.observed.facts.is_closed
    )
    return build_step(entry.build_delete() if together else None, deletion)


def delete_entry(scene: Scene) -> Step:
    """Delete the ServiceEntry of the host when its VirtualService is gone and that has settled."""
    entry, route = scene.entry, scene.route
    deletion = entry.build_delete()
    if deletion is None or route.observed is not None:
        return Step()
    wait = scene.clock.compute_wait((route.key,))
    return Step(wait=wait) if wait > 0 else build_step(deletion)


def delete_behind(scene: Scene) -> Step:
    """Delete what no route needs any more, the routes on a gateway first.

    A route that may not be deleted needs it: that of a policy on hold, or of one that is gone.
    """
    leaving = [slot for slot in scene.behind if slot.prunable]
    stays = scene.route.observed is not None and scene.route.desired is None
    if not leaving or _is_referenced(scene) or (stays and not scene.group.is_closing):
        return Step()
    wait = scene.clock.compute_wait(_list_host_keys(scene.group))
    if wait > 0:
        return Step(wait=wait)
    routes = delete_all(slot for slot in leaving if slot.key.kind is Kind.VIRTUAL_SERVICE)
    return build_step(*(routes or delete_all(leaving)))


def _list_host_keys(group: Group) -> tuple[ObjectKey, ...]:
    """Return what routes to the rest of the group; a gateway's group has nothing of the kind."""
    return (group.entry_key, group.route_key) if isinstance(group.key, HostSet) else ()


def _is_referenced(scene: Scene) -> bool:
    """Whether other groups need objects of this one, which is not wanted any more as a whole."""
    key = scene.group.key
    if scene.group.objects or scene.group.is_closing or not isinstance(key, TenantSet):
        return False
    offered = {key.gateway}
    for slot in scene.behind:
        if slot.observed is not None:
            offered |= slot.observed.facts.refs
    return not offered.isdisjoint(scene.around.referenced)
