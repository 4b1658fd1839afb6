"""The one path of every change: change → plan(scope) → sync(set) → report(object).

Start, drift, deletion and resync take it too. No handler looks at old and new to decide what to do:
a change only tells which keys to look at again (`change.py`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from egress_operator.engine.queue import QueueLoad
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink
from egress_operator.engine.slots import Slots
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Desired
from egress_operator.istio.set_key import Scope, SetKey
from egress_operator.plan.source import Settings
from egress_operator.reconcile.change import ChangeHandler
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.dependencies import Dependencies
from egress_operator.reconcile.expiry import ExpiryTimer
from egress_operator.reconcile.kind import View
from egress_operator.reconcile.kinds import build_stores
from egress_operator.reconcile.objects import EVERYWHERE
from egress_operator.reconcile.orphan import OrphanCollector
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.queues import Queues
from egress_operator.reconcile.record import OwnKey, OwnKind, Record
from egress_operator.reconcile.refusal import RETRY_S, Retry
from egress_operator.reconcile.report import Reporter
from egress_operator.reconcile.startup import Startup
from egress_operator.reconcile.sync import SetWorker
from egress_operator.reconcile.writer import Writer
from egress_operator.status.gateway import Admission

logger = logging.getLogger(__name__)

RESUME_INTERVAL_S = 1.0


class Controller:
    """Keeps the cluster as the policies say. Make it in the running loop; feed it; `start` it."""

    def __init__(
        self,
        outside: Dependencies,
        *,
        settings: Settings,
        scopes: Sequence[str] = (EVERYWHERE,),
        workers: int = 32,
        in_flight: int = 16,
        is_missing: Callable[[Kind], bool] = lambda _: False,
        on_not_found: Callable[[Kind], None] = lambda _: None,
        on_gateways: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_gateways` is called when other gateways may be accepted than before.

        `on_not_found` is called when an answer says that an object of a kind is not there.
        """
        self._outside = outside
        self._on_gateways = on_gateways
        self._resumed_at = float("-inf")
        self._resume_timer: asyncio.TimerHandle | None = None
        self._to_compare: set[Scope] = set()
        """The scopes whose sets and statuses a resync is still to look at."""
        self.cluster = Cluster(
            scopes,
            build_stores(scopes, self._on_record),
            on_object=lambda *seen: self._follow(self._changes.on_object, *seen),
            on_namespace=lambda *seen: self._follow(self._changes.on_namespace, *seen),
            on_sidecar=lambda *seen: self._follow(self._changes.on_sidecar, *seen),
            settings=settings,
        )
        self.planner = Planner(self.cluster, outside)
        slots = Slots(in_flight)
        writer = Writer(
            outside.transport,
            self.cluster.objects,
            slots,
            is_missing=is_missing,
            on_not_found=on_not_found,
            on_not_created=self._on_not_created,
        )
        self._worker = SetWorker(
            self.cluster,
            self.planner,
            writer,
            outside,
            on_refused=lambda retry: self._queues.retries.add_after(retry, RETRY_S),
            on_late=lambda key: self._queues.sets.add(key, hurry=True),
        )
        view = View(self.cluster, self.planner, self._worker, outside.clock)
        self._queues = Queues(
            self._plan,
            self._sync,
            self._retry,
            self._report,
            self.cluster.lanes,
            self._worker.find_share,
            workers=workers,
        )
        self._reporter = Reporter(view, outside, slots, self._queues.note_status)
        self._startup = Startup(self.planner, self._queues.scopes, self.cluster.lanes.end_start)
        self._expiry = ExpiryTimer(self.planner, self._startup)
        self._changes = ChangeHandler(view, self._reporter, self._queues, self._startup)
        self._orphans = OrphanCollector(outside.transport, self.cluster)

    # The path. Each step works on a key of its queue, and returns the seconds after which to come
    # back, None when it is done. After an exception it is tried again.

    async def _plan(self, scope: Scope) -> float | None:
        """Find out what should be in a scope; then look at the sets and statuses that change."""
        self._compare_scope(scope)
        try:
            change = await self.planner.plan(scope, is_complete=self._startup.is_complete)
        except Exception:
            self._startup.note_failed_plan(scope)
            self._changes.report_gateways()
            raise
        if isinstance(change, float):
            return change
        self._startup.note_plan(scope)
        self._changes.on_plan(change)
        return None

    async def _sync(self, key: SetKey) -> float | None:
        """Write what a set lacks, as far as is safe now; then look at the statuses that change."""
        try:
            return await self._worker.sync(key, self._changes.on_writes)
        finally:
            self._startup.note_sync(key)
            if self._worker.take_news(key):
                self._changes.on_outcome(key)

    async def _retry(self, retry: Retry) -> None:
        """Try a refused write alone; then look at its set, which tells how that went."""
        try:
            await self._worker.retry(retry, self._changes.on_writes)
        finally:
            self._queues.sets.add(retry.set_key, hurry=False)

    async def _report(self, key: OwnKey) -> float | None:
        """Write the status of an object of ours if it has changed."""
        return await self._reporter.report(key)

    # What is seen.

    def build_sinks(self) -> Iterator[tuple[str, CacheSink[Any, Any]]]:
        """Make (namespace, sink) for each watch that is needed; the namespace is empty for all."""
        return self.cluster.build_sinks(self._on_unreadable, self._on_list)

    def build_service_sinks(self, namespace: str) -> tuple[CacheSink[Any, Any], ...]:
        """Make the sinks for what surrounds the gateways in a namespace."""
        return self.cluster.service_index.build_sinks(
            namespace, lambda: self._follow(self._changes.on_services), self._on_unreadable
        )

    def observe_admission(self, admission: Admission) -> None:
        """Take over whether the admission policies are in force."""
        if admission != self.cluster.admission:
            self.cluster.admission = admission
            if self._changes.is_listening:
                self._changes.on_admission()

    def change_settings(self, settings: Settings) -> None:
        """Plan everything again when what was read of the mesh has changed."""
        if settings == self.cluster.settings:
            return
        self.cluster.settings = settings
        self._on_gateways()
        self.cluster.refresh_unready()
        if self._changes.is_listening:
            for scope in self.planner.find_scopes():
                self._startup.mark(scope, background=True)

    def _on_record(self, key: OwnKey, old: Record[Any] | None, new: Record[Any] | None) -> None:
        if key.kind is OwnKind.GATEWAY:
            self._follow(self._on_gateways)
        self._follow(self._changes.on_record, key, old, new)

    def _follow(self, hook: Callable[..., None], *seen: object) -> None:
        """Call a hook of the caches; when it fails, compare everything.

        What it is told stands in a cache already, so no event and no list would tell of it again.
        """
        try:
            hook(*seen)
        except Exception:
            logger.exception("a change cannot be followed; everything is compared again")
            if self._changes.is_listening:
                self.resync()

    def _on_not_created(self, desired: Desired) -> None:
        self._changes.on_not_created(desired)

    def _on_unreadable(self, resource: Resource) -> None:
        self._outside.metrics.count_unreadable(resource.plural)

    def _on_list(self, version: str) -> None:
        """Look again at what waits for a kind when a list has come in: the kind is served."""
        if self._changes.is_listening and version:
            self._queues.resume()

    # What is done.

    def start(self) -> None:
        """Begin to plan and write; every cache holds a whole list now."""
        self.cluster.judge_gateways()
        self._changes.is_listening = True
        self._startup.begin(self.cluster.select_through_gateways())
        self._queues.start()
        self._expiry.start()

    def resync(self) -> None:
        """Compare everything again, from memory: nothing is read from the API server."""
        self._to_compare = self.planner.find_scopes()
        for scope in self._to_compare:
            self._startup.mark(scope, background=True)

    def _compare_scope(self, scope: Scope) -> None:
        """Look at all sets and statuses of a scope that a resync has not come to yet."""
        plan = self.planner.get(scope) if scope in self._to_compare else None
        self._to_compare.discard(scope)
        if plan is None:
            return
        for set_key in plan.sets:
            self._queues.sets.add(set_key, hurry=False, background=True)
        for name in plan.results:
            key = self.cluster.policies.key(scope or "", name)
            self._queues.reports.add(key, hurry=False, background=True)

    async def delete_orphans(self) -> None:
        """Have deleted what the garbage collector has left since the last call."""
        for set_key in await self._orphans.look():
            self._queues.sets.add(set_key, hurry=False)

    def resume(self) -> None:
        """Try at once what failed because the API server was away: it answers again.

        It may be away again in between: what comes too early is made up for.
        """
        rest = self._resumed_at + RESUME_INTERVAL_S - self._outside.clock()
        if rest <= 0:
            self._resume_now()
        elif self._resume_timer is None:
            loop = asyncio.get_running_loop()
            self._resume_timer = loop.call_later(rest, self._resume_now)

    def _resume_now(self) -> None:
        self._resume_timer = None
        self._resumed_at = self._outside.clock()
        self._queues.probe()
        self._queues.resume()

    async def stop(self, grace: float) -> None:
        """Pick up nothing more and let what is under way end within `grace` seconds."""
        self._changes.is_listening = False
        self._expiry.stop()
        if self._resume_timer is not None:
            self._resume_timer.cancel()
        await self._queues.stop(grace)
        await self._worker.stop()

    @property
    def load(self) -> QueueLoad:
        """The keys of all queues."""
        return self._queues.load
