"""The queues of the path: scopes to plan, sets to write, objects whose status to report.

A write of a gateway's set that is refused is tried again in a queue of its own.
"""

import asyncio

from egress_operator.engine.queue import Handler, Queue, QueueLoad
from egress_operator.istio.set_key import Scope, SetKey, find_scope
from egress_operator.reconcile.failure import (
    is_away,
    is_late,
    log_failure,
    may_pass,
    may_resume,
)
from egress_operator.reconcile.record import OwnKey
from egress_operator.reconcile.refusal import Retry
from egress_operator.reconcile.stalled import Stalled, Suspects

PLAN_WORKERS = 4
"""Namespaces that are planned side by side, in turns: a large one holds up no other."""
REPORT_WORKERS = 32
RETRY_WORKERS = 8
"""Refused writes that are tried side by side, half of them of one tenant: each may hang."""


class Queues:
    """Everything that is to be looked at again; a failed attempt is logged and repeated.

    What belongs to the gateways goes before everything else: a permission is withdrawn with it.
    """

    def __init__(
        self,
        plan: Handler[Scope],
        sync: Handler[SetKey],
        retry: Handler[Retry],
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
            lane=lambda key: key.namespace,
            workers=workers,
            shared=True,
            urgent=lambda key: find_scope(key) is None,
            on_failure=self._on_sync_failure,
        )
        self.retries = Queue[Retry](
            retry,
            lane=lambda retry: retry.lane,
            workers=RETRY_WORKERS,
            shared=True,
            on_failure=self._on_retry_failure,
        )
        self.reports = Queue[OwnKey](
            report,
            lane=lambda key: key.namespace,
            workers=REPORT_WORKERS,
            on_failure=self._on_report_failure,
        )
        self._away_sets = Stalled(self.sets)
        self._away_retries = Stalled(self.retries)
        self._away_reports = Stalled(self.reports)
        self._suspect_sets = Suspects(self.sets)
        self._suspect_retries = Suspects(self.retries)
        self._all = (self.scopes, self.sets, self.retries, self.reports)

    def start(self) -> None:
        """Begin to work."""
        for queue in self._all:
            queue.start()

    async def stop(self, grace: float) -> None:
        """Pick up nothing more and let what is under way end within `grace` seconds."""
        self._suspect_sets.stop()
        self._suspect_retries.stop()
        await asyncio.gather(*(queue.stop(grace) for queue in self._all))

    @property
    def load(self) -> QueueLoad:
        """The keys of all queues."""
        return sum((queue.load for queue in self._all), QueueLoad())

    def forget_report(self, key: OwnKey) -> None:
        """Forget an object of ours that is gone."""
        self.reports.forget(key)
        self._away_reports.discard(key)

    def note_success(self, key: SetKey) -> None:
        """Know that a write of a set succeeded: what failed before is tried again at once.

        The AuthorizationPolicies of gateways and all other kinds may be out of order alone.
        """
        if find_scope(key) is None:
            self._suspect_retries.note_success()
        else:
            self._suspect_sets.note_success()

    def resume_sets(self) -> None:
        """Try at once the sets that failed because the API server, or a kind, was away."""
        self._away_sets.resume()
        self._away_retries.resume()

    def resume(self) -> None:
        """Try at once everything that failed because the API server was away."""
        self.resume_sets()
        self._away_reports.resume()
        self._suspect_sets.probe()
        self._suspect_retries.probe()

    def _on_sync_failure(self, key: SetKey, error: Exception, wait: float) -> None:
        if is_away(error):
            self._away_sets.note(key)
        elif may_pass(error):
            self._suspect_sets.note(key)
        log_failure(error, wait, {"namespace": find_scope(key) or "", "host": str(key)})

    def _on_retry_failure(self, retry: Retry, error: Exception, wait: float) -> None:
        # Not one that was answered too late: a webhook that hangs would end its own back-off.
        if is_away(error) and not is_late(error):
            self._away_retries.note(retry)
        elif may_pass(error):
            self._suspect_retries.note(retry)
        log_failure(error, wait, {"namespace": "", "host": str(retry.set_key)})

    def _on_report_failure(self, key: OwnKey, error: Exception, wait: float) -> None:
        if may_resume(error):
            self._away_reports.note(key)
        log_failure(error, wait, key.log_fields)
