"""What to look at again after a change; what is to be done there is found anew from the caches."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Desired, Observed
from egress_operator.istio.set_key import (
    GatewaySet,
    HostSet,
    Scope,
    SetKey,
    TenantSet,
    find_scope,
    sort_key,
)
from egress_operator.plan.closing import find_denied
from egress_operator.plan.foreign import may_take_calls
from egress_operator.plan.visibility import UNCAPPED
from egress_operator.reconcile.kind import View
from egress_operator.reconcile.kinds import OWN_KINDS
from egress_operator.reconcile.namespace import NamespaceFacts
from egress_operator.reconcile.planner import PlanChange
from egress_operator.reconcile.queues import Queues
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.reconcile.report import Reporter
from egress_operator.reconcile.startup import Startup
from egress_operator.rollout.write import Delete, Replace, Write

GATEWAY_REPORT_PAUSE_S = 0.2
"""Between what changes at a gateway and its status: many hosts come and go together."""
FOREIGN_REPORT_PAUSE_S = 3.0
"""The same for objects of others, which tenants may write as often as they like."""


class ChangeHandler:
    """Puts keys into the queues after a change in a cache, a new plan, a write or an outcome."""

    def __init__(self, view: View, reporter: Reporter, queues: Queues, startup: Startup) -> None:
        self._cluster = view.cluster
        self._planner = view.planner
        self._worker = view.worker
        self._reporter = reporter
        self._queues = queues
        self._startup = startup
        self.is_listening = False
        """Whether changes of the caches count; until the start they are only filled."""

    # The caches have changed.

    def on_record(self, key: OwnKey, old: Record[Any] | None, new: Record[Any] | None) -> None:
        """Plan what depends on an object of a kind of ours, or look at its status again."""
        if not self.is_listening:
            return
        if old is not None and new is not None and old.says_the_same(new):
            # Somebody else wrote the status, or labels: ours is compared with it and restored.
            self._queues.reports.add(key)
            return
        if new is None:
            self._queues.forget_report(key)
            self._reporter.forget(key)
        for scope in OWN_KINDS[key.kind].find_scopes(self._cluster, key):
            self._startup.mark(scope)

    def on_services(self) -> None:
        """Plan again when what surrounds a gateway has made it able or unable to serve."""
        changed = self._cluster.refresh_unready()
        if not self.is_listening:
            return
        if changed:
            for scope in self._cluster.find_gateway_scopes():
                self._startup.mark(scope)
        # Objects of others are judged by what the Services say.
        self.report_gateways(FOREIGN_REPORT_PAUSE_S)

    def on_admission(self) -> None:
        """Plan again what depends on the admission policies, when these have changed."""
        for scope in self._cluster.find_gateway_scopes():
            self._startup.mark(scope)
        self.report_gateways()

    def on_namespace(
        self, name: str, old: NamespaceFacts | None, new: NamespaceFacts | None
    ) -> None:
        """Plan the permissions, and a namespace whose labels have changed if it uses a gateway.

        Nothing was written for a namespace that was being deleted: when it is gone, what is of it
        in other namespaces is looked at.
        """
        if not self.is_listening:
            return
        self._startup.mark(None)
        if old is not None and old.terminating:
            for item in self._cluster.objects.select(name):
                if item.set_key is not None:
                    self._queues.sets.add(item.set_key, hurry=False)
        same = new is None or (old is not None and old.labels == new.labels)
        is_capped = self._cluster.settings.entry_visibility != UNCAPPED
        if not same and (is_capped or self._cluster.goes_through_gateway(name)):
            self._startup.mark(name)

    def on_sidecar(self, key: tuple[str, str]) -> None:
        """Plan the policies that a Sidecar may hold for: those of its namespace, or of all."""
        if not self.is_listening:
            return
        namespace = key[0]
        if namespace == self._cluster.settings.root_namespace:
            for place in self._cluster.policies.namespaces():
                self._startup.mark(place, background=True)
        elif self._planner.get(namespace) is not None:
            self._startup.mark(namespace)

    def on_object(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        """Look at the sets that an object of Istio's was, is or should be part of."""
        if not self.is_listening:
            return
        self._note_kept(new)
        self._note_unplanned(new)
        self._note_age(key, old, new)
        desired = self._planner.find_desired(key)
        if _is_own_write(old, new, desired):
            # The answer may be lost: then nothing else tells when it was written.
            self._worker.note_seen(key)
            self._mark_permission(key)
            self.report_gateways()
            return
        sets = _find_sets(old, new, desired)
        if sets:
            self._worker.note_seen(key)
            self.report_gateways()
        for set_key in sets:
            # A host that waits, because it settles or somebody fights for it, goes on waiting.
            self._queues.sets.add(set_key, hurry=isinstance(set_key, GatewaySet))
            self._release(find_scope(set_key))
            # What a status counts has come, gone or changed its owners.
            self._report_policies(set_key, self._planner.find_claimants(set_key))
            self._report_policies(set_key, self._planner.find_keepers(set_key))
        self._report_dependents({key})
        if new is None:
            self._worker.forget(key)
        if new is None and old is not None and old.set_key is not None:
            self._make_room(find_scope(old.set_key))
        if _find_role(old) != _find_role(new):
            self._mark_permission(key)
        if any(observed is not None and not observed.ours for observed in (old, new)):
            self._on_foreign(key, old, new)

    def _on_foreign(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        """Look at what an object of somebody else may concern."""
        if any(item is not None and may_take_calls(item) for item in (old, new)):
            self.report_gateways(FOREIGN_REPORT_PAUSE_S)
        if self._planner.get(key.namespace) is not None:
            self._startup.mark(key.namespace)
        if key.kind is Kind.GATEWAY:
            self.on_services()

    def report_gateways(self, pause_s: float = GATEWAY_REPORT_PAUSE_S) -> None:
        """Look at the statuses of all gateways, a moment later."""
        for record in self._cluster.gateways:
            key = self._cluster.gateways.key("", record.source.name)
            self._queues.reports.add_after(key, pause_s)

    # A step of the path is done.

    def on_plan(self, change: PlanChange) -> None:
        """Look at the sets and the statuses that a new plan changes."""
        if change.permission:
            self._startup.mark(None)
        waiting = self._find_denied(change)
        # What serves a tenant first.
        for set_key in sorted(change.sets, key=sort_key):
            self._worker.note_change(set_key)
            wait = self._worker.doubt(set_key) if set_key in change.requested else 0.0
            if set_key in waiting:
                wait = max(wait, self._cluster.settings.settle)
            if wait > 0:
                self._queues.sets.add_after(set_key, wait)
            else:
                self._queues.sets.add(set_key, background=change.first)
        for name in change.policies:
            key = self._cluster.policies.key(change.scope or "", name)
            self._queues.reports.add(key, background=change.first)
        self.report_gateways()
        if change.sets or change.policies:
            # Objects that this plan counted may be gone by now, or were never created.
            self._make_room(change.scope)

    def on_writes(self, set_key: SetKey, writes: Sequence[Write]) -> None:
        """Look at what waited for the writes of a step: others go on, or need not wait any more."""
        self._queues.note_writes(set_key, writes)
        self.report_gateways()
        self._report_policies(set_key, self._planner.find_keepers(set_key))
        if isinstance(set_key, GatewaySet):
            self._report_dependents({write.key for write in writes})
        for write in writes:
            written = self._cluster.objects.get(write.key)
            self._note_kept(written)
            self._note_unplanned(written)
            if not isinstance(write, Replace):
                self._mark_permission(write.key)
        if self._is_needed(set_key):
            for waiting in self._worker.list_settling(find_scope(set_key)):
                self._queues.sets.add(waiting)
        if any(isinstance(write, Delete) for write in writes):
            self._release(find_scope(set_key))
            self._make_room(find_scope(set_key))

    def _is_needed(self, key: SetKey) -> bool:
        """Whether sets may wait for this one: what serves a tenant, or lets it in at a gateway."""
        if isinstance(key, GatewaySet):
            return self._cluster.lanes.is_place(key)
        return isinstance(key, TenantSet)

    def on_not_created(self, desired: Desired) -> None:
        """Plan a namespace again when an object that it does not want any more was not created."""
        if self._planner.find_desired(desired.key) is None:
            self._make_room(find_scope(desired.set_key))

    def on_outcome(self, key: SetKey) -> None:
        """Look at the statuses that tell of a set, and at the sets that need what it lacks."""
        if isinstance(key, GatewaySet):
            self.report_gateways()
            for dependent in self._planner.find_dependents(self._worker.take_lacking(key)):
                self._queues.sets.add(dependent, hurry=False)
        self._report_policies(key, self._planner.find_claimants(key))

    def _report_policies(self, key: SetKey, names: Iterable[str]) -> None:
        """Look at the statuses of policies in the namespace of a set."""
        for name in names:
            self._queues.reports.add(self._cluster.policies.key(find_scope(key) or "", name))

    def _report_dependents(self, keys: Collection[ObjectKey]) -> None:
        """Look at the statuses that count these AuthorizationPolicies of a gateway."""
        for set_key in self._planner.find_dependents(keys):
            self._report_policies(set_key, self._planner.find_claimants(set_key))

    def _mark_permission(self, key: ObjectKey) -> None:
        """Plan permission again when what stands at a gateway has changed."""
        if KINDS[key.kind].for_gateways:
            self._startup.mark(None)

    def _note_kept(self, item: Observed | None) -> None:
        """Plan a namespace again when a policy on hold has something that its result lacks."""
        set_key = None if item is None else item.set_key
        if item is None or not isinstance(set_key, HostSet):
            return
        if self._planner.has_new_keeper(set_key, item.owners):
            self._startup.mark(set_key.namespace)

    def _note_unplanned(self, item: Observed | None) -> None:
        """Plan the scope of an object of ours that has none: nothing else looks at its sets."""
        if item is None or item.set_key is None:
            return
        scope = find_scope(item.set_key)
        if self._planner.get(scope) is None:
            self._startup.mark(scope, background=True)

    def _note_age(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        """Plan a namespace again when a DestinationRule that has rivals has come, or anew."""
        plan = self._planner.get(key.namespace)
        if plan is None or key not in plan.rivals or new is None:
            return
        if old is None or old.created != new.created:
            self._startup.mark(key.namespace)

    def _release(self, scope: Scope) -> None:
        """Look at the objects at gateways that nothing of this namespace wants any more."""
        if scope is None:
            # Its plan has a set for all that stands, wanted or not.
            return
        plan = self._planner.get(scope)
        for set_key in self._cluster.objects.find_gateway_sets(scope):
            if plan is None or set_key not in plan.sets:
                self._queues.sets.add(set_key, hurry=False)

    def _make_room(self, scope: Scope) -> None:
        """Plan a namespace again where something went: a policy beyond a limit may fit now."""
        plan = self._planner.get(scope)
        if scope is not None and plan is not None and plan.is_limited:
            self._startup.mark(scope)

    def _find_denied(self, change: PlanChange) -> set[HostSet]:
        plan = self._planner.get(change.scope)
        gateways = self._cluster.judge_gateways()
        return set() if plan is None else find_denied(plan, change.sets, gateways)


def _is_own_write(old: Observed | None, new: Observed | None, desired: Desired | None) -> bool:
    """Whether an object has come just as it should be: the watch may be ahead of the answer."""
    if old is not None or new is None or desired is None:
        return False
    return new.ours and is_as_desired(new, desired, desired.owners)


def _find_role(item: Observed | None) -> tuple[SetKey | None, str]:
    return (None, "") if item is None else item.role


def _find_sets(old: Observed | None, new: Observed | None, desired: Desired | None) -> set[SetKey]:
    found = (item.set_key for item in (old, new, desired) if item is not None)
    return {set_key for set_key in found if set_key is not None}
