"""`next_step`: the next safe writes of one set, never more.

The order, and why, is in docs/design/gateways.md. In short: what a route needs is there, and every
proxy had a settle time to take it, before the route leads to it; and it stays until no route needs
it and a settle time has passed. A host that turns from open to closed, or back, is open in between.
"""

from collections.abc import Collection, Iterator

from egress_operator.istio.kind import Kind
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Observed
from egress_operator.istio.object_set import ObjectSet
from egress_operator.rollout.authorization import order_access
from egress_operator.rollout.closing import close_host
from egress_operator.rollout.deletion import (
    delete_behind,
    delete_entry,
    delete_route,
    delete_rules,
)
from egress_operator.rollout.opening import open_host
from egress_operator.rollout.pair import Clock, Rollout, RolloutContext, build_rollout
from egress_operator.rollout.wait import (
    LOOK_AGAIN_S,
    compute_upstream_wait,
    compute_wait_after,
)
from egress_operator.rollout.write import Create, Delete, Step, Write, build_step


def next_step(
    object_set: ObjectSet, observed: Collection[Observed], around: RolloutContext, clock: Clock
) -> Step:
    """Compute the next writes that are safe, or how long to wait for them. Pure.

    `observed`: the objects that stand under `list_keys`, ours or not, and all others of the set,
    as last acknowledged.

    From every mixture of old and new objects the steps converge, also when the desired objects
    change between two of them, and no state in between has a VirtualService of ours that needs what
    is not there.
    """
    if object_set.access is not None:
        return order_access(object_set.key, object_set.access, observed, clock, around.refused)
    rollout = build_rollout(object_set, observed, around, clock)
    squatted = rollout.list_squatted()
    for step in _list_steps(rollout):
        if step.writes:
            return Step(step.writes, None, squatted)
        if step.wait is not None:
            return Step((), step.wait, squatted)
    return Step((), None, squatted)


def _list_steps(rollout: Rollout) -> Iterator[Step]:
    """Give the steps of a change in their order; the first that has something to do counts."""
    yield _remove_spent(rollout)
    yield _change_behind(rollout)
    yield _change_gateway_routes(rollout)
    yield _change_host(rollout)
    yield delete_route(rollout)
    yield delete_entry(rollout)
    yield delete_behind(rollout)
    yield _await_allows(rollout)


def _remove_spent(rollout: Rollout) -> Step:
    """Delete a ServiceEntry that has to be made anew, whatever routes to it: that fails until then.

    The other way round, connections to other servers would be led to the host.
    """
    entry = rollout.service_entry
    if not entry.is_spent or entry.observed is None:
        return Step()
    return build_step(Delete(entry.key, entry.observed.uid, entry.owners))


def _await_allows(rollout: Rollout) -> Step:
    """Wait until the gateway has the permissions that this set needs."""
    there = {item.key: item for item in rollout.around.outside}
    missing = any(
        desired.key not in there or not is_as_desired(there[desired.key], desired, desired.owners)
        for desired in rollout.object_set.allows
    )
    return Step(wait=rollout.clock.settle or LOOK_AGAIN_S) if missing else Step()


def _change_behind(rollout: Rollout) -> Step:
    """Write what serves a route on a gateway, and delete the DestinationRules in its way."""
    staying = {pair.key.name for pair in rollout.select(Kind.SERVICE_ENTRY) if pair.desired}
    step = _apply(rollout, Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE)
    servers, wait = _apply_servers(rollout)
    return build_step(*step.writes, *servers, *delete_rules(rollout, staying), wait=wait)


def _apply_servers(rollout: Rollout) -> tuple[list[Write], float | None]:
    """Write the Gateways; a new one waits until the gateway denies strangers."""
    writes: list[Write] = []
    waits: list[float] = []
    for pair in rollout.select(Kind.GATEWAY):
        write = pair.build_write(pair.desired)
        if write is None or pair.desired is None:
            continue
        wait = None
        if isinstance(write, Create) and pair.desired.after:
            wait = compute_wait_after(rollout, pair.desired, rollout.around.outside)
        if wait is None:
            writes.append(write)
        else:
            waits.append(wait)
    return writes, max(waits, default=None)


def _change_gateway_routes(rollout: Rollout) -> Step:
    """Write the VirtualServices on gateways, and those that close private names."""
    writes: list[Write | None] = []
    waits: list[float] = []
    for pair in rollout.select(Kind.VIRTUAL_SERVICE):
        wait = compute_upstream_wait(rollout, pair)
        if wait is None:
            writes.append(pair.build_write(pair.desired))
        else:
            waits.append(wait)
    return build_step(*writes, wait=max(waits, default=None))


def _apply(rollout: Rollout, *kinds: Kind) -> Step:
    return build_step(*(pair.build_write(pair.desired) for pair in rollout.select(*kinds)))


def _change_host(rollout: Rollout) -> Step:
    """Write the ServiceEntry and the VirtualService of the host."""
    desired = rollout.service_entry.desired
    if desired is not None and desired.facts.needs_route:
        return close_host(rollout)
    return open_host(rollout)
