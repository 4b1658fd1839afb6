"""From a changed namespace to the hosts that need work: one bounded, pure plan at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from egress_operator.engine.queue import FailureHook, Queue
from egress_operator.istio.object import Desired, ObjectKey, Observed, is_host
from egress_operator.plan.plan import Plan
from egress_operator.reconcile.cluster import Cluster

REST_FACTOR = 4.0
"""After a plan that took t seconds the next one of that namespace starts 4·t later at the soonest:
planning takes at most a fifth of the time, however often somebody edits."""

GroupKey = tuple[str, str]
"""(part, key): the namespace, or nothing for what serves a gateway as a whole, and the group."""


PlanFunction = Callable[[str], Plan]
"""Makes the plan of a part: of a namespace, or of what belongs to none."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What a new plan asks for."""

    namespace: str
    groups: frozenset[str]
    """Those whose desired objects or owners may have changed."""
    policies: frozenset[str]
    """Policies whose verdict changed."""
    first: bool
    """There was no plan before: a start, so nobody waits for these in particular."""


class Planner:
    """Keeps the plan of each namespace up to date."""

    def __init__(
        self,
        cluster: Cluster,
        plan: PlanFunction,
        *,
        clock: Callable[[], float],
        on_change: Callable[[PlanChange], None],
        on_failure: FailureHook[str],
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._clock = clock
        self._on_change = on_change
        self._plans: dict[str, Plan] = {}
        self._objects: dict[ObjectKey, Desired] = {}
        self._claimants: dict[str, dict[str, tuple[str, ...]]] = {}
        self._not_before: dict[str, float] = {}
        self.queue = Queue[str](
            self._work, lane=lambda namespace: namespace, workers=1, on_failure=on_failure
        )

    def mark(self, namespace: str, *, background: bool = False) -> None:
        """Something that the namespace's plan depends on has changed."""
        self.queue.add(namespace, hurry=False, background=background)

    def get(self, namespace: str) -> Plan | None:
        """Return the present plan."""
        return self._plans.get(namespace)

    def namespaces(self) -> list[str]:
        """Namespaces with a plan."""
        return list(self._plans)

    def find_desired(self, key: ObjectKey) -> Desired | None:
        """Return what should stand under this name, if anything should."""
        return self._objects.get(key)

    def find_claimants(self, group: GroupKey) -> tuple[str, ...]:
        """Names of the policies that need a group."""
        return self._claimants.get(group[0], {}).get(group[1], ())

    def count_hosts(self) -> int:
        """Hosts that are wanted, over all namespaces."""
        return sum(is_host(key) for plan in self._plans.values() for key in plan.groups)

    async def _work(self, namespace: str) -> float | None:
        start = self._clock()
        wait = self._not_before.get(namespace, start) - start
        if wait > 0:
            return wait
        self._take(namespace, self._plan(namespace))
        end = self._clock()
        if namespace in self._plans:
            self._not_before[namespace] = end + REST_FACTOR * (end - start)
        return None

    def _take(self, namespace: str, plan: Plan) -> None:
        old = self._plans.get(namespace)
        ours = [observed for observed in self._cluster.objects.select(namespace) if observed.ours]
        change = PlanChange(
            namespace=namespace,
            groups=_find_changed_groups(old, plan, ours),
            policies=frozenset(
                name
                for name, verdict in plan.verdicts.items()
                if old is None or old.verdicts.get(name) != verdict
            ),
            first=old is None,
        )
        self._index(old, plan)
        if plan.verdicts or plan.groups or ours:
            self._plans[namespace] = plan
            self._claimants[namespace] = _index_claimants(plan)
        else:
            for memory in (self._plans, self._claimants, self._not_before):
                memory.pop(namespace, None)
        self._on_change(change)

    def _index(self, old: Plan | None, plan: Plan) -> None:
        """Know what should stand where; a group that is the same value needs no look."""
        before = {} if old is None else old.groups
        for key, group in before.items():
            if plan.groups.get(key) is not group:
                for desired in group.objects:
                    self._objects.pop(desired.key, None)
        for key, group in plan.groups.items():
            if before.get(key) is not group:
                for desired in group.objects:
                    self._objects[desired.key] = desired


def _find_changed_groups(old: Plan | None, plan: Plan, ours: list[Observed]) -> frozenset[str]:
    if old is None:
        return frozenset(plan.groups) | {observed.group for observed in ours}
    before = old.groups
    changed = {key for key, group in plan.groups.items() if before.get(key) != group}
    changed |= before.keys() - plan.groups.keys()
    owners = (old.held ^ plan.held) | (old.live ^ plan.live)
    if owners:
        changed |= {observed.group for observed in ours if not owners.isdisjoint(observed.owners)}
    return frozenset(changed)


def _index_claimants(plan: Plan) -> dict[str, tuple[str, ...]]:
    claimants: dict[str, list[str]] = {}
    for name, verdict in plan.verdicts.items():
        for host in verdict.groups:
            claimants.setdefault(host, []).append(name)
    return {host: tuple(names) for host, names in claimants.items()}
