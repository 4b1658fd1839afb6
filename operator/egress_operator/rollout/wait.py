"""How long a change has to wait for what it needs, in seconds; None: not at all."""

from collections.abc import Iterable

from egress_operator.istio.object import Desired, Observed
from egress_operator.rollout.pair import Rollout

LOOK_AGAIN_S = 1.0
"""Where nothing is to settle, as in a set that closes: how soon to look for what is missing."""


def compute_wait_after(
    rollout: Rollout, desired: Desired, there: Iterable[Observed]
) -> float | None:
    """Return how long an object waits for those that it comes after to be there and to settle.

    When something is not there at all its own set calls again; the wait is for safety. It is
    never 0.
    """
    if not desired.after <= {item.key for item in there}:
        return rollout.clock.settle or LOOK_AGAIN_S
    wait = rollout.clock.compute_wait(desired.after)
    return wait if wait > 0 else None


def compute_route_wait(rollout: Rollout) -> float | None:
    """Return how long the route of the host waits for what it leads to.

    What it leads to already has nothing to wait for. A route that goes, or leads to nothing but the
    host itself from now on, waits for the ServiceEntry.
    """
    route, entry, clock = rollout.virtual_service, rollout.service_entry, rollout.clock
    before = frozenset[str]() if route.observed is None else route.observed.facts.refs
    wanted = frozenset[str]() if route.desired is None else route.desired.facts.refs
    waits = []
    if wanted - before and route.desired is not None:
        missing = compute_wait_after(rollout, route.desired, rollout.around.outside)
        waits.append(0.0 if missing is None or rollout.object_set.is_closing else missing)
        waits.append(clock.compute_wait(pair.key for pair in rollout.others if pair.desired))
    if before and not wanted and entry.desired is not None:
        waits.append(clock.compute_wait((entry.key,)))
    wait = max(waits, default=0.0)
    return wait if wait > 0 else None
