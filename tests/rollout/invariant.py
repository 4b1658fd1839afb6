"""What must hold in every state between two writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import HostSet, Scope, SetKey, find_scope
from egress_operator.plan.plan import Plan
from egress_operator.rollout.write import Delete, Replace, Write
from rollout.fake_cluster import DR, EPSILON, SETTLE, VS, FakeCluster
from rollout.policy_set import PolicySet
from rollout.snapshot import (
    Need,
    Snapshot,
    find_broken,
    find_broken_tenants,
    find_tenant,
    list_rules,
)

NEVER = float("-inf")


def _list_ruled(group: ObjectSet) -> set[int]:
    """List the ports for which the clients' route of a host has a rule, as it is wanted."""
    return {
        match["port"]
        for desired in group.objects
        if desired.key == group.virtual_service_key
        for rule in list_rules(desired.spec)
        for match in rule["match"]
    }


@dataclass
class InvariantChecker:
    """Carries out writes one by one, and checks each and the state after it."""

    cluster: FakeCluster
    living: set[Owner] = field(default_factory=set)
    before: set[Need] = field(default_factory=set)
    plans: list[Plan] = field(default_factory=list)
    tolerated: set[Need] = field(default_factory=set)
    """What was missing before we began, or since the garbage collector removed something."""
    unruled: set[tuple[ObjectKey, int]] = field(default_factory=set)
    locked_out: set[tuple[str, str]] = field(default_factory=set)
    changed_at: dict[ObjectKey, float] = field(default_factory=dict)
    needed: set[tuple[ObjectKey, SetKey]] = field(default_factory=set)
    """What routes of a set need."""
    needed_at: dict[tuple[ObjectKey, SetKey], float] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)

    def begin(self, policy_set: PolicySet) -> None:
        """Know what is wanted from now on, and take what is there as it is."""
        self.plans = policy_set.plan(self.cluster)
        if self.living - policy_set.list_owners():
            self.needed_at = {}
        self.living = policy_set.list_owners()
        self.needed_at = {
            need: at for need, at in self.needed_at.items() if not self._may_end(need[1])
        }
        snapshot = Snapshot(self.cluster, self.living)
        needs = snapshot.find_needs()
        self.tolerated = {need for need, key in needs.items() if key is None}
        self.unruled = snapshot.find_unruled()
        self.locked_out = snapshot.find_locked_out() | find_broken_tenants(needs)
        self._note_needs(snapshot, needs)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and remember what was needed until then."""
        self.cluster.now += seconds
        needed = (need for need in self.needed if not self._may_end(need[1]))
        self.needed_at |= dict.fromkeys(needed, self.cluster.now)

    def _note_needs(self, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]) -> None:
        broken = find_broken(needs) | snapshot.find_dead()
        self.before = set(needs)
        self.needed = {
            (key, need.group)
            for need, key in needs.items()
            if key is not None and need.route not in broken
        }
        self.pass_time(0.0)

    def is_closing(self, key: SetKey) -> bool:
        """Whether permission is withdrawn."""
        return any(key in plan.sets and plan.sets[key].is_closing for plan in self.plans)

    def _has_expired(self, key: SetKey) -> bool:
        """Whether the policies of a host have expired: its requests may be lost."""
        sets = [plan.sets[key] for plan in self.plans if key in plan.sets]
        return any(group.is_closing and not group.objects for group in sets)

    def _may_end(self, key: SetKey) -> bool:
        """Whether routes of a host go at once: it has expired, or is not allowed any more.

        What they needed may go at once too, whatever is asked for next.
        """
        return self._has_expired(key) or self._may_miss(key)

    def find_wanted_ports(self, key: ObjectKey) -> set[int]:
        """Return the ports of a ServiceEntry that are wanted; none while permission is withdrawn.

        Of a wildcard a gateway may refuse one port alone: it has no rule, and is closed.
        """
        return {
            port.number
            for plan in self.plans
            for group in plan.sets.values()
            if plan.scope == key.namespace and not group.is_closing
            for desired in group.objects
            if desired.key == key
            for port in desired.facts.ports
            if not desired.facts.is_closed or port.number in _list_ruled(group)
        }

    def send(self, write: Write) -> None:
        """Check a write and the state after it."""
        self._check_deletion(write)
        self.cluster.send(write)
        self.changed_at[write.key] = self.cluster.now
        self.writes.append(write)
        self._look(write)

    def _check_deletion(self, write: Write) -> None:
        """Nothing that a route needed goes within the settle time."""
        if not isinstance(write, Delete):
            return
        item = read_observed(self.cluster.objects[write.key])
        if self._is_withdrawn_permission(write.key):
            self.locked_out.add((item.tenant, item.key.namespace))
            return
        if item.set_key is None or self._may_miss(item.set_key):
            return
        needed_at = (at for (key, _), at in self.needed_at.items() if key == write.key)
        since = self.cluster.now - max(needed_at, default=NEVER)
        assert since >= SETTLE - EPSILON, f"{write.key} is deleted {since} s after it was needed"

    def _look(self, write: Write) -> None:
        snapshot = Snapshot(self.cluster, self.living)
        needs = snapshot.find_needs()
        self._check_needs(write, snapshot, needs)
        if write.key.kind is VS:
            self._check_fresh(write, needs)
        self._check_access(snapshot, needs)
        self._note_needs(snapshot, needs)
        unruled = {
            (key, port)
            for key, port in snapshot.find_unruled()
            if port in self.find_wanted_ports(key)
        }
        assert unruled <= self.unruled, f"closed without a rule: {unruled}"
        self.unruled = unruled

    def _check_access(self, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]) -> None:
        """No tenant that a gateway let in is turned away."""
        self.locked_out |= {
            pair
            for pair in snapshot.find_locked_out()
            if pair[0] in self._find_denied() or pair[1] in self._find_left()
        }
        locked = {pair for pair in snapshot.find_locked_out() if not self._is_withdrawn(pair[0])}
        led = {find_tenant(need) for need in needs if need.kind is DR}
        self.locked_out |= led - {find_tenant(need) for need in self.before if need.kind is DR}
        assert locked <= self.locked_out, f"locked out: {locked - self.locked_out}"
        self.locked_out -= snapshot.find_let_in()
        self.locked_out |= find_broken_tenants(needs)

    def _check_needs(
        self, write: Write, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]
    ) -> None:
        """No route leads to what is not there, but for one that was broken and still is."""
        missing = {
            need for need, key in needs.items() if key is None and not self._may_miss(need.group)
        }
        broken = {need.route for need in self.tolerated} - {write.key}
        broken |= snapshot.find_dead()
        fresh = {need for need in missing - self.tolerated if need.route not in broken}
        assert not fresh, f"they lead to what is not there: {fresh}"
        self.tolerated = missing

    def _may_miss(self, key: SetKey) -> bool:
        """Whether the route may lose what it leads to: it, or its tenant, is being closed."""
        return self.is_closing(key) or self._is_withdrawn(find_scope(key))

    def _find_denied(self) -> set[str]:
        """Return the tenants that a plan denies: enforcement began while they were elsewhere."""
        return {
            namespace
            for plan in self.plans
            for group in plan.sets.values()
            for namespace in (group.access.denied if group.access else ())
        }

    def _find_left(self) -> set[str]:
        """Return the namespaces where a gateway is gone: nobody has a permission there any more."""
        return {
            group.key.namespace
            for plan in self.plans
            for group in plan.sets.values()
            if group.access is not None and group.access.baseline is None
        }

    def _is_withdrawn_permission(self, key: ObjectKey) -> bool:
        """Whether it lets a tenant in that may not use the gateway any more."""
        return any(
            group.access is not None and key in group.access.withdrawn
            for plan in self.plans
            for group in plan.sets.values()
        )

    def _is_withdrawn(self, scope: Scope) -> bool:
        """Whether a gateway is not open to the namespace any more; not that a host has expired."""
        return any(
            group.is_closing and not (isinstance(key, HostSet) and self._has_expired(key))
            for plan in self.plans
            if plan.scope == scope
            for key, group in plan.sets.items()
        )

    def _check_fresh(self, write: Write, needs: Mapping[Need, ObjectKey | None]) -> None:
        """Check that what a route newly leads to has been there for the settle time.

        Also one on a gateway that is changed while clients are led to it.
        """
        for need, key in needs.items():
            if need in self.before or key is None or need.via != write.key:
                continue
            if need.via != need.route and not isinstance(write, Replace):
                continue
            if self.is_closing(need.group):
                continue
            since = self.cluster.now - self.changed_at.get(key, NEVER)
            assert since >= SETTLE - EPSILON, f"{need.route} leads to {key} after {since} s"
