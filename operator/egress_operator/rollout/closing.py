"""A host that needs its route, as one whose ServiceEntry leads nowhere: the route goes first."""

from egress_operator.istio.kinds import replace_spec
from egress_operator.istio.object import Desired
from egress_operator.istio.traffic import HTTP_LIKE
from egress_operator.istio.virtual_service import HTTP
from egress_operator.rollout.interim import replace_ports
from egress_operator.rollout.pair import ObjectPair, Rollout
from egress_operator.rollout.wait import compute_route_wait
from egress_operator.rollout.write import Replace, Step, build_step


def close_host(rollout: Rollout) -> Step:
    """Write the route first, then the ServiceEntry: without endpoints it needs the route.

    One that has endpoints keeps them until the route has settled, and one that gets them has them
    before its route leaves a port to it. Owners are added at once in any case, because an object
    whose owners are all gone is deleted by Kubernetes.
    """
    entry, route = rollout.service_entry, rollout.virtual_service
    if opened := entry.build_write(_build_opened(entry, route)):
        settling = rollout.clock.compute_wait((route.key,))
        return build_step(wait=settling) if settling > 0 else build_step(opened)
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


def _build_opened(entry: ObjectPair, route: ObjectPair) -> Desired | None:
    """Return a closed ServiceEntry, open for the ports that it has; None where it stays closed.

    That is of a wildcard. Without a rule a port for requests leads to whatever port a client names.
    """
    there, desired = entry.observed, entry.desired
    if there is None or desired is None or route.observed is None or route.desired is None:
        return None
    if desired.facts.is_closed or not there.facts.is_closed:
        return None
    ruled = HTTP in route.observed.facts.parts
    offered = {port.number for port in there.facts.ports}
    ports = [
        port
        for port in desired.facts.ports
        if port.number in offered and (ruled or port.protocol not in HTTP_LIKE)
    ]
    return replace_ports(desired, ports) if ports else None


def _build_owner_write(entry: ObjectPair) -> Replace | None:
    """Return the write that adds missing owners to a ServiceEntry, and leaves what it offers."""
    there, desired = entry.observed, entry.desired
    if there is None or desired is None or there.owners >= {*entry.owners}:
        return None
    spec = desired.spec if there.facts.is_closed or desired.before is None else desired.before
    interim = replace_ports(replace_spec(desired, spec), there.facts.ports)
    return Replace(interim, entry.owners, there.uid, there.maps, there.strays)
