"""The one path: event → cache → plan → set → status; start, drift and deletion take the same.

No handler looks at old and new to decide what to do: a change only says what to look at again.
"""

import asyncio
import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.queue import Queue, QueueLoad
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink
from egress_operator.engine.slots import Slots
from egress_operator.engine.transport import Transport
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Observed
from egress_operator.istio.set_key import (
    GatewaySet,
    HostSet,
    Scope,
    SetKey,
    TenantSet,
    find_scope,
    sort_key,
)
from egress_operator.plan.gateway import Authorization
from egress_operator.plan.plan import Plan, PlanCache, plan_namespace
from egress_operator.plan.source import Settings
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.gateway_report import GatewayReporter
from egress_operator.reconcile.metrics import Metrics
from egress_operator.reconcile.namespace import NamespaceFacts
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.orphan import OrphanCollector
from egress_operator.reconcile.owner_check import OwnerCheck
from egress_operator.reconcile.planner import PlanChange, Planner, is_urgent
from egress_operator.reconcile.policy import (
    CLUSTER,
    GatewayRecord,
    PolicyKey,
    PolicyRecord,
    Record,
    S,
)
from egress_operator.reconcile.report import EventRecorder, Reporter
from egress_operator.reconcile.sync import Hooks, SetWorker
from egress_operator.reconcile.writer import MissingKindError, StaleError, Writer
from egress_operator.rollout.write import Delete, Replace, Write

logger = logging.getLogger(__name__)

REPORT_WORKERS = 32
RESUME_INTERVAL_S = 1.0
GATEWAY_REPORT_PAUSE_S = 0.2
"""Between what changes at a gateway and its status: many hosts come and go together."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the reconciler is given from outside, so that tests can give something else."""

    transport: Transport
    metrics: Metrics
    events: EventRecorder
    clock: Callable[[], float]
    """Seconds that only grow; the running loop's clock."""
    now: Callable[[], datetime]
    """UTC, for transition times."""


class Reconciler:
    """Keeps the cluster as the policies say. Make it in the running loop; feed it; `start` it."""

    def __init__(
        self,
        dependencies: Dependencies,
        *,
        settings: Settings,
        scopes: Sequence[str] = (EVERYWHERE,),
        workers: int = 32,
        in_flight: int = 16,
        is_missing: Callable[[Kind], bool] = lambda _: False,
        on_gateways: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_gateways` is called when other gateways may be accepted than before."""
        self._clock = dependencies.clock
        self._metrics = dependencies.metrics
        self._on_gateways = on_gateways
        self._settle = settings.settle
        self._started = False
        self._stalled: set[SetKey] = set()
        self._withdrawals: set[GatewaySet | None] | None = set()
        """The gateways whose withdrawn permissions go before namespaces are planned at a start;
        None: they are planned."""
        self._unplanned: set[Scope] = set()
        """The namespaces that use a gateway and are not planned yet since the start."""
        self._stalled_reports: set[PolicyKey] = set()
        self._resumed_at = float("-inf")
        self.cluster = Cluster(
            scopes,
            on_policy=self._on_policy,
            on_gateway=self._on_gateway,
            on_object=self._on_object,
            on_namespace=self._on_namespace,
            settings=settings,
        )
        everywhere = tuple(scopes) == (EVERYWHERE,)
        self._orphans = OrphanCollector(
            dependencies.transport, self.cluster, sees_gateways=everywhere
        )
        self._memo = PlanCache()
        self.planner = Planner(
            self.cluster,
            self._plan,
            clock=dependencies.clock,
            on_change=self._on_plan,
            on_failure=self._on_plan_failure,
        )
        self._writer = Writer(
            dependencies.transport, self.cluster.objects, is_missing, Slots(in_flight)
        )
        self._worker = SetWorker(
            cluster=self.cluster,
            planner=self.planner,
            writer=self._writer,
            confirmation=OwnerCheck(dependencies.transport, self.cluster),
            metrics=dependencies.metrics,
            clock=dependencies.clock,
            settle=settings.settle,
            hooks=Hooks(self._on_outcome, self._on_write),
        )
        self._reporter = Reporter(
            cluster=self.cluster,
            planner=self.planner,
            worker=self._worker,
            transport=dependencies.transport,
            events=dependencies.events,
            clock=dependencies.clock,
            now=dependencies.now,
        )
        self._gateway_reporter = GatewayReporter(
            cluster=self.cluster,
            planner=self.planner,
            worker=self._worker,
            transport=dependencies.transport,
            now=dependencies.now,
        )
        self.sets = Queue[SetKey](
            self._worker.work,
            lane=find_scope,
            workers=workers,
            shared=True,
            urgent=lambda key: is_urgent(find_scope(key)),
            on_failure=self._on_set_failure,
        )
        self.reports = Queue[PolicyKey](
            self._report,
            lane=lambda key: key[0],
            workers=REPORT_WORKERS,
            on_failure=self._on_report_failure,
        )

    async def _report(self, key: PolicyKey) -> float | None:
        if key[0] != CLUSTER:
            return await self._reporter.report(key)
        await self._gateway_reporter.report(key[1])
        return None

    def _report_gateways(self) -> None:
        for record in self.cluster.gateways:
            self.reports.add_after((CLUSTER, record.source.name), GATEWAY_REPORT_PAUSE_S)

    # What is seen.

    def build_sinks(self) -> Iterator[tuple[str, CacheSink[Any, Any]]]:
        """Make (namespace, sink) for each watch that is needed; the namespace is empty for all."""
        return self.cluster.build_sinks(self._on_unreadable, self._on_list)

    def observe_services(self) -> None:
        """Take over that something around the gateways has changed: Services, endpoints."""
        if self.cluster.refresh_unready() and self._started:
            self._mark_gateways()

    def observe_admission(self, problem: str) -> None:
        """Take over whether the admission policy is in force: why not, empty when it is."""
        if problem != self.cluster.admission:
            self.cluster.admission = problem
            if self._started:
                self._report_gateways()

    def _mark_gateways(self) -> None:
        """Plan everything again that depends on the gateways."""
        self.planner.mark(None)
        for namespace in self.cluster.select_through_gateways():
            self.planner.mark(namespace)

    def _plan(self, scope: Scope) -> Plan:
        start = self._clock()
        try:
            if scope is None:
                return self.cluster.plan_gateways(
                    self.planner.collect_allows(), is_complete=not self._unplanned
                )
            return plan_namespace(self.cluster.build_input(scope), self._memo)
        finally:
            self._metrics.observe_plan(self._clock() - start)

    def change_settings(self, settings: Settings) -> None:
        """Plan everything again when what was read of the mesh has changed."""
        if settings == self.cluster.settings:
            return
        self.cluster.settings = settings
        self._on_gateways()
        self.cluster.refresh_unready()
        if self._started:
            for scope in self._find_scopes():
                self.planner.mark(scope, background=True)

    def build_service_sinks(self, namespace: str) -> tuple[CacheSink[Any, Any], ...]:
        """Make the sinks for what surrounds the gateways in a namespace."""
        return self.cluster.service_index.build_sinks(
            namespace, self.observe_services, self._on_unreadable
        )

    # What is done.

    def start(self) -> None:
        """Begin to plan and write; every cache holds a whole list now.

        Permissions that were withdrawn meanwhile go before anything is written for anybody.
        """
        self.cluster.judge_gateways()
        self._started = True
        self._unplanned = {*self.cluster.select_through_gateways()}
        self.planner.mark(None)
        self.planner.queue.start()
        self.sets.start()
        self.reports.start()

    def resync(self) -> None:
        """Compare everything again, from memory: nothing is read from the API server."""
        for scope in self._find_scopes():
            self.planner.mark(scope, background=True)
            plan = self.planner.get(scope)
            if plan is None:
                continue
            for set_key in plan.sets:
                self.sets.add(set_key, hurry=False, background=True)
            for name in plan.results:
                self.reports.add((scope or CLUSTER, name), hurry=False, background=True)

    async def delete_orphans(self) -> None:
        """Have deleted what the garbage collector has left since the last call. Raises ApiError."""
        for set_key in await self._orphans.look():
            self.sets.add(set_key, hurry=False)

    def resume(self) -> None:
        """Try at once what failed because the API server was away: it answers again."""
        now = self._clock()
        if now - self._resumed_at < RESUME_INTERVAL_S:
            return
        self._resumed_at = now
        sets, self._stalled = self._stalled, set()
        reports, self._stalled_reports = self._stalled_reports, set()
        for set_key in sets:
            self.sets.add(set_key)
        for report in reports:
            self.reports.add(report)

    async def stop(self, grace: float) -> None:
        """Pick up nothing more and let what is under way end within `grace` seconds."""
        self._started = False
        await asyncio.gather(
            self.planner.queue.stop(grace), self.sets.stop(grace), self.reports.stop(grace)
        )

    @property
    def load(self) -> QueueLoad:
        """The keys of all queues."""
        return self.planner.queue.load + self.sets.load + self.reports.load

    def _find_scopes(self) -> set[Scope]:
        planned: set[Scope] = {None, *self.cluster.policies.namespaces()}
        return planned | self.cluster.objects.find_scopes() | set(self.planner.scopes())

    # What follows from a change.

    def _on_policy(
        self, key: PolicyKey, old: PolicyRecord | None, new: PolicyRecord | None
    ) -> None:
        if self._note_record(key, old, new) and self._withdrawals is None:
            self.planner.mark(key[0])

    def _note_record(self, key: PolicyKey, old: Record[S] | None, new: Record[S] | None) -> bool:
        """Look after the report of an object of ours; whether plans change with it."""
        if not self._started:
            return False
        if old is not None and new is not None and old.says_the_same(new):
            # Somebody else wrote the status, or labels: ours is compared with it and restored.
            self.reports.add(key)
            return False
        if new is None:
            self.reports.forget(key)
            self._reporter.forget(key)
            self._stalled_reports.discard(key)
        return True

    def _on_namespace(
        self, name: str, old: NamespaceFacts | None, new: NamespaceFacts | None
    ) -> None:
        if not self._started:
            return
        # First: a permission that is withdrawn goes before anything else is written.
        self.planner.mark(None)
        same = new is None or (old is not None and old.labels == new.labels)
        if not same and name in self.cluster.select_through_gateways():
            self.planner.mark(name)

    def _on_object(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        if not self._started:
            return
        sets = {
            observed.set_key
            for observed in (old, new)
            if observed is not None and observed.set_key is not None
        }
        desired = self.planner.find_desired(key)
        if desired is not None:
            sets.add(desired.set_key)
        if (
            old is None
            and new is not None
            and new.ours
            and desired is not None
            and is_as_desired(new, desired, desired.owners)
        ):
            # What we have just written: the watch may be ahead of the answer.
            self._release_gateway(key)
            return
        if sets:
            self._worker.note_seen(key)
            self._report_gateways()
        for set_key in sets:
            # A host that waits, because it settles or somebody fights for it, goes on waiting.
            self.sets.add(set_key, hurry=isinstance(set_key, GatewaySet))
            self._release(find_scope(set_key))
        if new is None:
            self._writer.forget(key)
        if (old is None or new is None) and sets:
            self._release_gateway(key)
        foreign = any(observed is not None and not observed.ours for observed in (old, new))
        if foreign and self.planner.get(key.namespace) is not None:
            self.planner.mark(key.namespace)
        if foreign and key.kind is Kind.GATEWAY:
            self.observe_services()

    def _on_write(self, set_key: SetKey, write: Write) -> None:
        """Look at what waited for this write: others may go on, or have nothing to wait for."""
        if not isinstance(write, Replace):
            self._report_gateways()
            self._release_gateway(write.key)
        if not isinstance(set_key, HostSet):
            for waiting in self._worker.list_settling(find_scope(set_key)):
                self.sets.add(waiting)
        if isinstance(write, Delete):
            self._release(find_scope(set_key))

    def _release_gateway(self, key: ObjectKey) -> None:
        """Plan permission again when what stands at a gateway has changed."""
        if KINDS[key.kind].for_gateways:
            self.planner.mark(None)

    def _release(self, scope: Scope) -> None:
        """Look at the objects of gateways that nothing of this scope wants any more."""
        plan = self.planner.get(scope)
        for set_key in self.cluster.objects.find_gateway_sets(scope):
            if plan is None or set_key not in plan.sets:
                self.sets.add(set_key, hurry=False)

    def _on_gateway(
        self, key: PolicyKey, old: GatewayRecord | None, new: GatewayRecord | None
    ) -> None:
        self._on_gateways()
        if self._note_record(key, old, new):
            self.cluster.refresh_unready()
            self._mark_gateways()

    def _on_unreadable(self, resource: Resource) -> None:
        self._metrics.count_unreadable(resource.plural)

    def _on_list(self, version: str) -> None:
        """Look again at what waits for a kind when a list has come in: the kind is served."""
        if self._started and version:
            for key in list(self._stalled):
                self._stalled.discard(key)
                self.sets.add(key)

    def _begin_namespaces(self, done: GatewaySet | None = None) -> None:
        """Plan the namespaces once the permissions that were withdrawn are gone, or were tried."""
        if self._withdrawals is None:
            return
        self._withdrawals.discard(done)
        if not self._withdrawals:
            self._withdrawals = None
            for scope in self._find_scopes() - {None}:
                self.planner.mark(scope, background=True)

    def _note_planned(self, scope: Scope) -> None:
        """Know that a namespace is planned, or cannot be; with the last one permission is whole."""
        if scope in self._unplanned:
            self._unplanned.discard(scope)
            if not self._unplanned:
                self.planner.mark(None)

    def _await_withdrawals(self) -> None:
        plan = self.planner.get(None)
        self._withdrawals = {
            key
            for key, set_key in (plan.sets.items() if plan else ())
            if isinstance(key, GatewaySet) and set_key.access and set_key.access.withdrawn
        }
        self._begin_namespaces()

    def _on_plan(self, change: PlanChange) -> None:
        if self._withdrawals is not None and change.scope is None:
            self._await_withdrawals()
        self._note_planned(change.scope)
        if change.permission:
            self.planner.mark(None)
        waiting = self._find_denied(change)
        # What serves a tenant first: a permission that is withdrawn goes before everything else.
        for set_key in sorted(change.sets, key=sort_key):
            self._worker.note_change(set_key)
            if set_key in waiting:
                self.sets.add_after(set_key, self._settle)
            else:
                self.sets.add(set_key, background=change.first)
        for name in change.policies:
            self.reports.add((change.scope or CLUSTER, name), background=change.first)
        self._report_gateways()

    def _find_denied(self, change: PlanChange) -> set[HostSet]:
        """Find the hosts of a plan that lose a permission which a gateway enforces.

        They close one settle time later, when the gateway denies them: istiod gathers changes until
        there is a pause, so theirs, if they are many, would hold up the one that denies.
        """
        plan = self.planner.get(change.scope)
        if plan is None:
            return set()
        closing = {key for key in change.sets if key in plan.sets and plan.sets[key].is_closing}
        labels = {key.gateway for key in closing if isinstance(key, TenantSet)}
        hosts = {key for key in closing if isinstance(key, HostSet)}
        return hosts if self._enforces(labels) else set()

    def _enforces(self, labels: Container[str]) -> bool:
        """Whether a gateway with one of these labels denies those who have no permission."""
        return any(
            result.gateway is not None
            and result.gateway.label in labels
            and result.gateway.authorization is Authorization.MANAGED
            for result in self.cluster.judge_gateways().values()
        )

    def _on_outcome(self, key: SetKey) -> None:
        if isinstance(key, GatewaySet):
            self._begin_namespaces(key)
            self._report_gateways()
        for name in self.planner.find_claimants(key):
            self.reports.add((find_scope(key) or CLUSTER, name))

    def _on_plan_failure(self, scope: Scope, error: Exception, wait: float) -> None:
        self._begin_namespaces()
        self._note_planned(scope)
        self._report_gateways()
        _log_failure(error, wait, {"namespace": scope or CLUSTER})

    def _on_set_failure(self, key: SetKey, error: Exception, wait: float) -> None:
        if isinstance(key, GatewaySet):
            self._begin_namespaces(key)
        if _may_resume(error) or isinstance(error, MissingKindError):
            self._stalled.add(key)
        _log_failure(error, wait, {"namespace": find_scope(key) or CLUSTER, "host": str(key)})

    def _on_report_failure(self, key: PolicyKey, error: Exception, wait: float) -> None:
        if _may_resume(error):
            self._stalled_reports.add(key)
        where = {"namespace": key[0], "policy": key[1]} if key[0] else {"gateway": key[1]}
        _log_failure(error, wait, where)


def _may_resume(error: Exception) -> bool:
    """Whether the API server, or the way to it, was away: not an answer about this object."""
    return isinstance(error, ApiError) and (
        error.status == 0
        or error.status
        in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.UNAUTHORIZED}
    )


def _log_failure(error: Exception, wait: float, fields: Mapping[str, str]) -> None:
    if isinstance(error, StaleError):
        logger.debug("%s", error, extra=fields)
        return
    extra = {**fields, "result": "error", "reason": type(error).__name__}
    if isinstance(error, ApiError):
        extra["reason"] = error.reason
    expected = isinstance(error, ApiError) or type(error).__module__.startswith(
        "egress_operator.reconcile"
    )
    logger.log(
        logging.WARNING if expected else logging.ERROR,
        "%s; tried again in %.1f s",
        error,
        wait,
        extra=extra,
        exc_info=None if expected else error,
    )
