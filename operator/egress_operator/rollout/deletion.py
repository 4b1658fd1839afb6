"""Deletions: first what routes, then, when nothing needs it any more, what was routed to."""

from collections.abc import Collection, Iterable

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import HostSet, TenantSet
from egress_operator.rollout.pair import ObjectPair, Rollout
from egress_operator.rollout.wait import compute_route_wait
from egress_operator.rollout.write import Delete, Step, build_step


def delete_all(pairs: Iterable[ObjectPair]) -> tuple[Delete, ...]:
    """Return the deletions of those that we may delete."""
    deletions = (pair.build_delete() for pair in pairs)
    return tuple(deletion for deletion in deletions if deletion is not None)


def delete_rules(rollout: Rollout, names: Collection[str]) -> tuple[Delete, ...]:
    """Return the deletions of DestinationRules whose ServiceEntries, of the same names, stay.

    They go together with what else changes: the ServiceEntry may lead to another port now, where
    nobody speaks TLS.
    """
    return delete_all(
        pair for pair in rollout.select(Kind.DESTINATION_RULE) if pair.key.name in names
    )


def delete_route(rollout: Rollout) -> Step:
    """Delete the VirtualService of the host when the ServiceEntry can do without.

    A host that is closed goes with it; the other way round requests would be refused in between
    that nobody refuses before and after. One that only the route guards goes before it.
    """
    entry, deletion = rollout.service_entry, rollout.virtual_service.build_delete()
    if deletion is None:
        return Step()
    if entry.observed is not None and entry.observed.facts.is_dynamic:
        return build_step(entry.build_delete())
    wait = compute_route_wait(rollout)
    if wait is not None:
        return Step(wait=wait)
    together = (
        entry.desired is None and entry.observed is not None and entry.observed.facts.is_closed
    )
    return build_step(entry.build_delete() if together else None, deletion)


def delete_entry(rollout: Rollout) -> Step:
    """Delete the ServiceEntry of the host when its VirtualService is gone and that has settled."""
    entry, route = rollout.service_entry, rollout.virtual_service
    deletion = entry.build_delete()
    if deletion is None or route.observed is not None:
        return Step()
    wait = rollout.clock.compute_wait((route.key,))
    return Step(wait=wait) if wait > 0 else build_step(deletion)


def delete_behind(rollout: Rollout) -> Step:
    """Delete what no route needs any more: the routes on a gateway, the servers, then the rest.

    A route that may not be deleted needs it: that of a policy on hold, or of one that is gone.
    """
    leaving = [pair for pair in rollout.others if pair.prunable]
    stays = rollout.virtual_service.observed is not None and rollout.virtual_service.desired is None
    if not leaving or _is_referenced(rollout) or (stays and not rollout.object_set.is_closing):
        return Step()
    staying = (pair.key for pair in rollout.select(Kind.VIRTUAL_SERVICE) if pair.desired)
    wait = rollout.clock.compute_wait((*_list_host_keys(rollout.object_set), *staying))
    if wait > 0:
        return Step(wait=wait)
    for kind in (Kind.VIRTUAL_SERVICE, Kind.GATEWAY):
        first = delete_all(pair for pair in leaving if pair.key.kind is kind)
        if first:
            return build_step(*first)
    return build_step(*delete_all(leaving))


def _list_host_keys(object_set: ObjectSet) -> tuple[ObjectKey, ...]:
    """Return what routes to the rest of the set; a gateway's set has nothing of the kind."""
    return (
        (object_set.service_entry_key, object_set.virtual_service_key)
        if isinstance(object_set.key, HostSet)
        else ()
    )


def _is_referenced(rollout: Rollout) -> bool:
    """Whether other sets need objects of this one, which is not wanted any more as a whole."""
    key = rollout.object_set.key
    if (
        rollout.object_set.objects
        or rollout.object_set.is_closing
        or not isinstance(key, TenantSet)
    ):
        return False
    offered = {key.gateway}
    for pair in rollout.others:
        if pair.observed is not None:
            offered |= pair.observed.facts.refs
    return not offered.isdisjoint(rollout.around.referenced)
