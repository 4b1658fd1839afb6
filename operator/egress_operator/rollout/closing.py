"""A host that needs its route, as one whose ServiceEntry leads nowhere: the route goes first."""

from egress_operator.istio.kinds import replace_spec
from egress_operator.rollout.interim import replace_ports
from egress_operator.rollout.pair import ObjectPair, Rollout
from egress_operator.rollout.wait import compute_route_wait
from egress_operator.rollout.write import Replace, Step, build_step


def close_host(rollout: Rollout) -> Step:
    """Write the route first, then the ServiceEntry: without endpoints it needs the route.

    One that has endpoints keeps them until the route has settled. Owners are added at once in any
    case, because an object whose owners are all gone is deleted by Kubernetes.
    """
    entry, route = rollout.service_entry, rollout.virtual_service
    write = route.build_write(route.desired)
    wait = None if write is None else compute_route_wait(rollout)
    blocked = any(pair.squatted for pair in rollout.others)
    if write is not None and wait is None and not blocked:
        return build_step(write)
    # What an expired policy opened is closed, whether or not the next one has its way.
    ends = rollout.has_expired and blocked
    done = rollout.object_set.is_closing or ends or route.is_done()
    if done and not ends and entry.observed is not None and not entry.observed.facts.needs_route:
        settling = rollout.clock.compute_wait((route.key,))
        if settling > 0:
            done, wait = False, settling
    if done:
        return build_step(entry.build_write(entry.desired))
    return build_step(_build_owner_write(entry), wait=None if blocked else wait)


def _build_owner_write(entry: ObjectPair) -> Replace | None:
    """Return the write that adds missing owners to a ServiceEntry, and leaves what it offers."""
    there, desired = entry.observed, entry.desired
    if there is None or desired is None or there.owners >= {*entry.owners}:
        return None
    spec = desired.spec if there.facts.is_closed or desired.before is None else desired.before
    interim = replace_ports(replace_spec(desired, spec), there.facts.ports)
    return Replace(interim, entry.owners, there.uid, there.maps, there.strays)
