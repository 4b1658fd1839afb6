"""The queues of the path: scopes to plan, sets to write, objects whose status to report.

A write of a gateway's set that is refused is tried again in a queue of its own.
"""

import asyncio
from collections.abc import Callable, Collection, Hashable
from typing import TypeVar

from egress_operator.engine.queue import Handler, Queue, QueueLoad
from egress_operator.engine.ready import Share
from egress_operator.istio.set_key import Scope, SetKey, find_scope
from egress_operator.reconcile.failure import log_failure
from egress_operator.reconcile.lane import Lanes
from egress_operator.reconcile.record import OwnKey
from egress_operator.reconcile.recovery import Recovery
from egress_operator.reconcile.refusal import Retry
from egress_operator.rollout.write import Delete, Write

K = TypeVar("K", bound=Hashable)

PLAN_WORKERS = 4
"""Namespaces that are planned side by side, in turns: a large one holds up no other."""
REPORT_WORKERS = 32
RETRY_WORKERS = 8
"""Refused writes that are tried side by side, half of them of one tenant: each may hang."""


class Queues:
    """Everything that is to be looked at again; a failed attempt is logged and repeated.

    What belongs to the gateways goes before everything else: a permission is withdrawn with it.
    `Lanes` tells what that is: anybody may write what claims to belong to one.
    """

    def __init__(
        self,
        plan: Handler[Scope],
        sync: Handler[SetKey],
        retry: Handler[Retry],
        report: Handler[OwnKey],
        lanes: Lanes,
        find_retry_share: Callable[[Retry], Share],
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
            self._follow(sync, lambda _: self._set_recovery),
            lane=lambda key: lanes.find_set_share(key).lane,
            workers=workers,
            shared=True,
            urgent=lambda key: lanes.find_set_share(key).urgent,
            on_failure=self._on_sync_failure,
        )
        self.retries = Queue[Retry](
            self._follow(retry, self._find_recovery),
            lane=lambda retry: find_retry_share(retry).lane,
            workers=RETRY_WORKERS,
            shared=True,
            urgent=lambda retry: find_retry_share(retry).urgent,
            on_failure=self._on_retry_failure,
        )
        self.reports = Queue[OwnKey](
            self._follow(report, lambda _: self._report_recovery),
            lane=lambda key: key.namespace,
            workers=REPORT_WORKERS,
            shared=True,
            on_failure=self._on_report_failure,
        )
        self._set_recovery = Recovery(self.sets)
        self._report_recovery = Recovery(self.reports)
        self._deletion_recovery = Recovery(self.retries)
        self._change_recovery = Recovery(self.retries)
        self._recoveries = (
            self._set_recovery,
            self._report_recovery,
            self._deletion_recovery,
            self._change_recovery,
        )
        self._all = (self.scopes, self.sets, self.retries, self.reports)

    def start(self) -> None:
        """Begin to work."""
        for queue in self._all:
            queue.start()

    async def stop(self, grace: float) -> None:
        """Pick up nothing more and let what is under way end within `grace` seconds."""
        for recovery in self._recoveries:
            recovery.stop()
        await asyncio.gather(*(queue.stop(grace) for queue in self._all))

    @property
    def load(self) -> QueueLoad:
        """The keys of all queues."""
        return sum((queue.load for queue in self._all), QueueLoad())

    def forget_report(self, key: OwnKey) -> None:
        """Forget an object of ours that is gone."""
        self.reports.forget(key)
        self._report_recovery.forget(key)

    def note_writes(self, key: SetKey, writes: Collection[Write]) -> None:
        """Record that writes of a set succeeded, so that failed ones are tried again.

        A webhook that fails may be asked about creations and changes only, and
        AuthorizationPolicies may have a webhook of their own.
        """
        deletions = sum(isinstance(write, Delete) for write in writes)
        is_access = find_scope(key) is None
        if is_access and deletions:
            self._deletion_recovery.note_success()
        if deletions < len(writes):
            (self._change_recovery if is_access else self._set_recovery).note_success()

    def note_status(self) -> None:
        """Record that a status was written."""
        self._report_recovery.note_success()

    def resume(self) -> None:
        """Try at once what failed because the API server, or a kind, was away."""
        for recovery in self._recoveries:
            recovery.resume()

    def probe(self) -> None:
        """Try one of each that got an answer: the API server, or the way to it, answers again."""
        for recovery in self._recoveries:
            recovery.probe()

    def _follow(self, handler: Handler[K], find_recovery: Callable[[K], Recovery[K]]) -> Handler[K]:
        """Return a handler that tells the recovery of a key when it has ended without a failure."""

        async def run(key: K) -> float | None:
            wait = await handler(key)
            find_recovery(key).note_end(key)
            return wait

        return run

    def _find_recovery(self, retry: Retry) -> Recovery[Retry]:
        is_deletion = isinstance(retry.write, Delete)
        return self._deletion_recovery if is_deletion else self._change_recovery

    def _on_sync_failure(self, key: SetKey, error: Exception, wait: float) -> None:
        self._set_recovery.note(key, error)
        log_failure(error, wait, {"namespace": key.namespace, "host": str(key)})

    def _on_retry_failure(self, retry: Retry, error: Exception, wait: float) -> None:
        self._find_recovery(retry).note(retry, error)
        log_failure(error, wait, {"namespace": retry.set_key.namespace, "host": str(retry.set_key)})

    def _on_report_failure(self, key: OwnKey, error: Exception, wait: float) -> None:
        self._report_recovery.note(key, error)
        log_failure(error, wait, key.log_fields)
