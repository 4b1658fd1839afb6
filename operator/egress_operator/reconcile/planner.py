"""From a changed namespace to the hosts that need work: bounded, pure plans."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Desired, Observed, Owner
from egress_operator.istio.set_key import HostSet, Scope, SetKey, find_scope
from egress_operator.plan.piece import Pieces
from egress_operator.plan.plan import Plan, PlanCache, PolicyResult, plan_in_pieces
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.dependencies import Dependencies

REST_FACTOR = 4.0
"""After a plan that took t seconds the next one of that namespace starts 4·t later at the soonest:
planning takes at most a fifth of the time, however often somebody edits."""
FAILED_REST_S = 0.2
"""At least so long after a plan that failed; no longer than the first back-off of the queue, which
would begin anew after a wait."""
SLICE_S = 0.02
"""So long one plan is worked on in one go; then everything else has a turn."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What a new plan asks for."""

    scope: Scope
    sets: frozenset[SetKey]
    """Those whose desired objects or owners may have changed, and those of `requested`."""
    requested: frozenset[SetKey]
    """Those that somebody wants compared with what really stands."""
    policies: frozenset[str]
    """Policies whose result changed."""
    first: bool
    """There was no plan before: a start, so nobody waits for these in particular."""
    permission: bool
    """Whether other AuthorizationPolicies are needed than before."""


class Planner:
    """Keeps the plan of each namespace up to date."""

    def __init__(self, cluster: Cluster, outside: Dependencies) -> None:
        self._cluster = cluster
        self._metrics = outside.metrics
        self._clock = outside.clock
        self._now = outside.now
        self._cache = PlanCache()
        self._plans: dict[Scope, Plan] = {}
        self._objects: dict[ObjectKey, Desired] = {}
        self._allows: dict[str, dict[Scope, tuple[Desired, ...]]] = {}
        """By the label of a gateway."""
        self._claimants: dict[Scope, dict[SetKey, tuple[str, ...]]] = {}
        self._keepers: dict[Scope, dict[SetKey, tuple[str, ...]]] = {}
        self._expiring: dict[Scope, Plan] = {}
        """The plans of namespaces with a policy that expires, or has: few, in most clusters."""
        self._not_before: dict[Scope, float] = {}
        self._lock = asyncio.Lock()

    async def plan(self, scope: Scope, *, is_complete: bool) -> PlanChange | float:
        """Make the plan of a scope anew, and return what it asks for, or the seconds to wait.

        `is_complete`: whether every namespace that uses a gateway has been planned. A namespace is
        planned as it was at the beginning, in slices: a large one holds up nothing else.
        """
        now = self._clock()
        if (wait := self._not_before.get(scope, now) - now) > 0:
            return wait
        slices: list[float] = []
        has_failed = True
        try:
            change = await self._plan(scope, slices, is_complete=is_complete)
            has_failed = False
            return change
        finally:
            self._metrics.observe_plan(max(slices, default=0.0))
            if has_failed or scope in self._plans:
                rest = max(REST_FACTOR * sum(slices), FAILED_REST_S if has_failed else 0.0)
                self._not_before[scope] = self._clock() + rest

    async def _plan(self, scope: Scope, slices: list[float], *, is_complete: bool) -> PlanChange:
        """Plan; `slices` gets the seconds of each slice."""
        if scope is None:
            # Permissions wait for no namespace.
            with self._measure(slices):
                return self._take(None, self._plan_gateways(is_complete=is_complete))
        pieces = self._plan_in_pieces(scope)
        plan: Plan | None = None
        while plan is None:
            async with self._take_turn(slices):
                plan = self._run_slice(pieces)
        async with self._take_turn(slices):
            return self._take(scope, plan)

    def _plan_in_pieces(self, scope: str) -> Pieces[Plan]:
        inputs = yield from self._cluster.build_input(scope, self._plans.get(scope))
        # Not before: what takes long is planned for the time when it is done.
        inputs = replace(inputs, now=self._now().timestamp())
        return (yield from plan_in_pieces(inputs, self._cache))

    def _run_slice(self, pieces: Pieces[Plan]) -> Plan | None:
        """Plan until a slice is over. None: there is more to do."""
        end = self._clock() + SLICE_S
        try:
            next(pieces)
            while self._clock() < end:
                next(pieces)
        except StopIteration as done:
            plan: Plan = done.value
            return plan
        return None

    @asynccontextmanager
    async def _take_turn(self, slices: list[float]) -> AsyncIterator[None]:
        """Wait for a round of the loop in which no other namespace is planned."""
        async with self._lock:
            await asyncio.sleep(0)
            with self._measure(slices):
                yield

    @contextmanager
    def _measure(self, slices: list[float]) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            slices.append(self._clock() - start)

    def get(self, scope: Scope) -> Plan | None:
        """Return the present plan."""
        return self._plans.get(scope)

    def find_scopes(self) -> set[Scope]:
        """Return the scopes that have a plan or need one."""
        planned: set[Scope] = {None, *self._cluster.policies.namespaces(), *self._plans}
        return planned | self._cluster.objects.find_scopes()

    def find_desired(self, key: ObjectKey) -> Desired | None:
        """Return what should stand under this name, if anything should."""
        return self._objects.get(key)

    def find_claimants(self, set_key: SetKey) -> tuple[str, ...]:
        """Names of the policies that need a set, all of its namespace."""
        return self._claimants.get(find_scope(set_key), {}).get(set_key, ())

    def find_keepers(self, set_key: SetKey) -> tuple[str, ...]:
        """Names of the policies on hold that keep objects of a set, all of its namespace."""
        return self._keepers.get(find_scope(set_key), {}).get(set_key, ())

    def has_new_keeper(self, set_key: HostSet, owners: Iterable[Owner]) -> bool:
        """Whether an owner of an object is a policy on hold that had nothing of the set."""
        plan, known = self._plans.get(set_key.namespace), self.find_keepers(set_key)
        return plan is not None and any(
            owner in plan.held and owner.name not in known for owner in owners
        )

    def find_dependents(self, keys: Collection[ObjectKey]) -> Iterator[SetKey]:
        """Name the sets that need one of these AuthorizationPolicies of a gateway."""
        wanted = filter(None, map(self.find_desired, keys))
        for tenant in {desired.tenant for desired in wanted if desired.tenant}:
            plan = self._plans.get(tenant)
            for object_set in () if plan is None else plan.sets.values():
                if any(item.key in keys for item in object_set.allows):
                    yield object_set.key

    def count_hosts(self) -> int:
        """Hosts that are wanted, over all namespaces."""
        return sum(
            isinstance(key, HostSet) and bool(object_set.objects)
            for plan in self._plans.values()
            for key, object_set in plan.sets.items()
        )

    def find_outdated(self) -> list[Scope]:
        """Name the scopes whose plans do not hold at this time of day, whatever it was before."""
        now = self._now().timestamp()
        return [scope for scope, plan in self._expiring.items() if not plan.span.holds_at(now)]

    def find_next_expiry(self) -> float | None:
        """Return when a policy expires next (Unix time), None when none does."""
        now = self._now().timestamp()
        expiries = (expiry for plan in self._expiring.values() for expiry in plan.expiries)
        return min((expiry.at for expiry in expiries if not expiry.is_over(now)), default=None)

    def _plan_gateways(self, *, is_complete: bool) -> Plan:
        allows = {
            label: [desired for allows in found.values() for desired in allows]
            for label, found in self._allows.items()
        }
        before = self._plans.get(None)
        return self._cluster.plan_gateways(allows, before=before, is_complete=is_complete)

    def _take(self, scope: Scope, plan: Plan) -> PlanChange:
        old = self._plans.get(scope)
        ours = [observed for observed in self._cluster.objects.select(scope) if observed.ours]
        requested = frozenset[SetKey]() if old is None else _find_requested_sets(old, plan)
        change = PlanChange(
            scope=scope,
            sets=_find_changed_sets(old, plan, ours) | requested,
            requested=requested,
            policies=frozenset(
                name
                for name, result in plan.results.items()
                if old is None or old.results.get(name) != result
            ),
            first=old is None,
            permission=({} if old is None else old.allows) != plan.allows,
        )
        self._index(old, plan)
        if plan.results or plan.sets or ours or scope is None:
            self._plans[scope] = plan
            self._claimants[scope] = _index_policies(plan, lambda result: result.set_keys)
            self._keepers[scope] = _index_policies(plan, lambda result: result.kept)
        else:
            for memory in (self._plans, self._claimants, self._keepers, self._not_before):
                memory.pop(scope, None)
        if plan.expiries:
            self._expiring[scope] = plan
        else:
            self._expiring.pop(scope, None)
        return change

    def _index(self, old: Plan | None, plan: Plan) -> None:
        """Know what should stand where; a set that is the same value needs no look."""
        for label in {} if old is None else old.allows.keys() - plan.allows.keys():
            self._allows[label].pop(plan.scope)
            if not self._allows[label]:
                del self._allows[label]
        for label, allows in plan.allows.items():
            self._allows.setdefault(label, {})[plan.scope] = allows
        before = {} if old is None else old.sets
        for key, object_set in before.items():
            if plan.sets.get(key) is not object_set:
                for desired in object_set.objects:
                    self._objects.pop(desired.key, None)
        for key, object_set in plan.sets.items():
            if before.get(key) is not object_set:
                for desired in object_set.objects:
                    self._objects[desired.key] = desired


def _find_changed_sets(
    old: Plan | None, plan: Plan, observed: Iterable[Observed]
) -> frozenset[SetKey]:
    ours = [(item.set_key, item.owners) for item in observed if item.set_key is not None]
    if old is None:
        return frozenset(plan.sets) | {set_key for set_key, _ in ours}
    before = old.sets
    changed = {key for key, wanted in plan.sets.items() if before.get(key) != wanted}
    changed |= before.keys() - plan.sets.keys()
    owners = (old.held ^ plan.held) | (old.live ^ plan.live)
    if owners:
        changed |= {set_key for set_key, owned_by in ours if not owners.isdisjoint(owned_by)}
    return frozenset(changed)


def _find_requested_sets(old: Plan, plan: Plan) -> frozenset[SetKey]:
    """Name the sets of policies that somebody wants to be looked at again since the last plan."""
    return frozenset(
        key
        for name, result in plan.results.items()
        if result.requested
        and (before := old.results.get(name)) is not None
        and before.requested != result.requested
        for key in result.set_keys
    )


def _index_policies(
    plan: Plan, find: Callable[[PolicyResult], Iterable[SetKey]]
) -> dict[SetKey, tuple[str, ...]]:
    """Return the names of the policies by the sets that `find` names for each."""
    found: dict[SetKey, list[str]] = {}
    for name, result in plan.results.items():
        for key in find(result):
            found.setdefault(key, []).append(name)
    # One value for all sets of a policy: most have no other.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    return {key: shared.setdefault(listed := tuple(names), listed) for key, names in found.items()}
