"""A host that is open: its ServiceEntry offers what a route needs before it is there, and after."""

from egress_operator.istio.object import Desired
from egress_operator.istio.service_entry import build_port
from egress_operator.rollout.deletion import delete_rules
from egress_operator.rollout.interim import replace_ports
from egress_operator.rollout.pair import ObjectPair, Rollout
from egress_operator.rollout.wait import compute_route_wait
from egress_operator.rollout.write import Create, Replace, Step, build_step


def open_host(rollout: Rollout) -> Step:
    """Offer what the route needs first, and until no route needs it any more."""
    entry, route = rollout.service_entry, rollout.virtual_service
    settling = rollout.clock.compute_wait((route.key,))
    interim = _build_interim(entry, route, settling=settling > 0)
    entry_write = _build_entry_write(entry, route, interim, settling=settling > 0)
    route_write = _build_route_write(entry, route, entry_write)
    wait = None if route_write is None else compute_route_wait(rollout)
    rules = () if entry.desired is None else delete_rules(rollout, {rollout.object_set.name})
    step = build_step(entry_write, None if wait is not None else route_write, *rules, wait=wait)
    if step.writes or wait is not None:
        return step
    kept = interim is not entry.desired and not entry.squatted
    waits = settling > 0 and kept and route.build_delete() is None
    return build_step(wait=settling if waits else None)


def _build_interim(entry: ObjectPair, route: ObjectPair, *, settling: bool) -> Desired | None:
    """Return the ServiceEntry that is safe now: as desired, with ports that may still be needed."""
    desired = entry.desired
    if desired is None or entry.observed is None:
        return desired
    if entry.observed.facts.is_dynamic:
        # Without its route a port for requests leads to whatever port a client names.
        return desired
    offered = {port.number for port in desired.facts.ports}
    needs = frozenset[int]() if route.observed is None else route.observed.facts.needs
    kept = [
        build_port(port.number, port.protocol, port.target)
        for port in entry.observed.facts.ports
        if port.number not in offered and (settling or port.number in needs)
    ]
    if not kept:
        return desired
    interim = replace_ports(desired, (*desired.facts.ports, *kept))
    # For the same reason none is kept that would be led anywhere from now on.
    return desired if interim.facts.is_dynamic and route.observed is None else interim


def _build_entry_write(
    entry: ObjectPair, route: ObjectPair, interim: Desired | None, *, settling: bool
) -> Create | Replace | None:
    """Return the write of the ServiceEntry.

    Where ports are kept and will go soon, a last write follows in any case: then a change that only
    takes owners away waits for it. An owner that is missing is added at once, because an object
    whose owners are all gone is deleted by Kubernetes.
    """
    write = entry.build_write(interim)
    there = entry.observed
    if write is None or interim is None or there is None or interim is entry.desired:
        return write
    follows = settling or route.desired is not None or route.prunable
    same = (there.spec_digest, there.allocate) == (interim.spec_digest, interim.allocate)
    if follows and same and there.owners >= {*entry.owners}:
        return None
    return write


def _build_route_write(
    entry: ObjectPair, route: ObjectPair, entry_write: Create | Replace | None
) -> Create | Replace | None:
    """Return the write of the VirtualService, once the ServiceEntry has what it needs.

    The ServiceEntry must be open, because this route leads to the host itself. It must also have
    all its owners: Kubernetes deletes one with fewer of them when the last of these goes, while the
    VirtualService stays.
    """
    if route.desired is None or entry.squatted or entry.desired is None:
        return None
    if entry_write is not None:
        there = entry.observed
        needed = {
            port for port in entry.desired.facts.ports if port.number in route.desired.facts.needs
        }
        if (
            there is None
            or there.facts.is_closed
            or not needed <= {*there.facts.ports}
            or not there.owners >= {*route.owners}
        ):
            return None
    return route.build_write(route.desired)
