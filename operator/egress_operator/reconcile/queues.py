"""The three queues of the path: scopes to plan, sets to write, objects whose status to report."""

import asyncio

from egress_operator.engine.queue import Handler, Queue, QueueLoad
from egress_operator.istio.set_key import Scope, SetKey, find_scope
from egress_operator.reconcile.failure import log_failure, may_resume
from egress_operator.reconcile.record import OwnKey

PLAN_WORKERS = 4
"""Namespaces that are planned side by side, in turns: a large one holds up no other."""
REPORT_WORKERS = 32


class Queues:
    """Everything that is to be looked at again; a failed attempt is logged and repeated.

    What belongs to the gateways goes before everything else: a permission is withdrawn with it.
    """

    def __init__(
        self,
        plan: Handler[Scope],
        sync: Handler[SetKey],
        report: Handler[OwnKey],
        *,
        workers: int,
    ) -> None:
        self.scopes = Queue[Scope](
            plan,
            lane=lambda scope: scope,
            workers=PLAN_WORKERS,
            urgent=lambda scope: scope is None,
            on_failure=lambda scope, error, wait: log_failure(
                error, wait, {"namespace": scope or ""}
            ),
        )
        self.sets = Queue[SetKey](
            sync,
            lane=find_scope,
            workers=workers,
            shared=True,
            urgent=lambda key: find_scope(key) is None,
            on_failure=self._on_sync_failure,
        )
        self.reports = Queue[OwnKey](
            report,
            lane=lambda key: key.namespace,
            workers=REPORT_WORKERS,
            on_failure=self._on_report_failure,
        )
        self._stalled_sets: set[SetKey] = set()
        self._stalled_reports: set[OwnKey] = set()

    def start(self) -> None:
        """Begin to work."""
        for queue in (self.scopes, self.sets, self.reports):
            queue.start()

    async def stop(self, grace: float) -> None:
        """Pick up nothing more and let what is under way end within `grace` seconds."""
        await asyncio.gather(
            *(queue.stop(grace) for queue in (self.scopes, self.sets, self.reports))
        )

    @property
    def load(self) -> QueueLoad:
        """The keys of all queues."""
        return self.scopes.load + self.sets.load + self.reports.load

    def forget_report(self, key: OwnKey) -> None:
        """Forget an object of ours that is gone."""
        self.reports.forget(key)
        self._stalled_reports.discard(key)

    def resume_sets(self) -> None:
        """Try at once the sets that failed because the API server, or a kind, was away."""
        stalled, self._stalled_sets = self._stalled_sets, set()
        for key in stalled:
            self.sets.add(key)

    def resume(self) -> None:
        """Try at once everything that failed because the API server was away."""
        self.resume_sets()
        stalled, self._stalled_reports = self._stalled_reports, set()
        for key in stalled:
            self.reports.add(key)

    def _on_sync_failure(self, key: SetKey, error: Exception, wait: float) -> None:
        if may_resume(error):
            self._stalled_sets.add(key)
        log_failure(error, wait, {"namespace": find_scope(key) or "", "host": str(key)})

    def _on_report_failure(self, key: OwnKey, error: Exception, wait: float) -> None:
        if may_resume(error):
            self._stalled_reports.add(key)
        log_failure(error, wait, key.log_fields)
