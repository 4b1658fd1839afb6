"""How long a change has to wait for what it needs, in seconds; None: not at all."""

from collections.abc import Iterable

from egress_operator.istio.kind import Kind
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Desired, Observed
from egress_operator.rollout.pair import ObjectPair, Rollout

LOOK_AGAIN_S = 1.0
"""Where nothing is to settle, as in a set that closes: how soon to look for what is missing."""


def compute_wait_after(
    rollout: Rollout, desired: Desired, there: Iterable[Observed]
) -> float | None:
    """Return how long an object waits for those that it comes after to be there and to settle.

    What lets clients in has to be as it should be: an AuthorizationPolicy from before may turn them
    away. One that only reports need not be there. A set of a gateway or tenant wakes those that
    wait for it; a set of a host does not, so they look again after this time. It is never 0.
    """
    found = {item.key: item for item in there}
    permits = {item.key: item for item in rollout.object_set.permits}
    if not all(_is_ready(found.get(key), permits.get(key)) for key in desired.after):
        return rollout.clock.settle or LOOK_AGAIN_S
    wait = rollout.clock.compute_wait(desired.after)
    return wait if wait > 0 else None


def _is_ready(there: Observed | None, permit: Desired | None) -> bool:
    """Whether an object is there; one that lets clients in must not turn them away either."""
    if permit is not None and permit.dry_run and (there is None or there.dry_run):
        return True
    if there is None:
        return False
    return permit is None or is_as_desired(there, permit, permit.owners)


def compute_upstream_wait(rollout: Rollout, route: ObjectPair) -> float | None:
    """Return how long a route on a gateway waits for backends that it has not led to so far.

    One that is not there yet waits for nothing: no client is led to it.
    """
    desired, there = route.desired, route.observed
    if desired is None or there is None:
        return None
    if desired.facts.refs <= there.facts.refs and desired.facts.needs <= there.facts.needs:
        return None
    behind = rollout.select(Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE)
    wait = rollout.clock.compute_wait(pair.key for pair in behind if pair.desired)
    return wait if wait > 0 else None


def compute_route_wait(rollout: Rollout) -> float | None:
    """Return how long the route of the host waits for what it leads to.

    What it leads to already has nothing to wait for. A route that goes, or leaves a port to the
    host itself from now on, waits for the ServiceEntry.
    """
    route, entry, clock = rollout.virtual_service, rollout.service_entry, rollout.clock
    before = frozenset[str]() if route.observed is None else route.observed.facts.refs
    wanted = frozenset[str]() if route.desired is None else route.desired.facts.refs
    waits = []
    if wanted - before and route.desired is not None:
        missing = compute_wait_after(rollout, route.desired, rollout.around.outside)
        # A route that closes does not wait for what opens; a new one has nothing to close.
        closes = rollout.object_set.is_closing and route.observed is not None
        waits.append(0.0 if missing is None or closes else missing)
        waits.append(clock.compute_wait(pair.key for pair in rollout.others if pair.desired))
    is_left = entry.desired is not None and not entry.desired.facts.is_closed
    if before - wanted and is_left:
        waits.append(clock.compute_wait((entry.key,)))
    wait = max(waits, default=0.0)
    return wait if wait > 0 else None
