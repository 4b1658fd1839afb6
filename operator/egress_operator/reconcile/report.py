"""The status of one policy, joined from its result and its sets, written when it changed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import PatchType, Transport
from egress_operator.istio.set_key import SetKey
from egress_operator.plan.result import PolicyResult
from egress_operator.plan.source import PolicySource
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.policy import PolicyKey, PolicyRecord
from egress_operator.reconcile.resource import POLICIES
from egress_operator.reconcile.sync import Outcome, SetWorker
from egress_operator.status.condition import Conditions, Type, read_conditions
from egress_operator.status.event import WARNING, Event, diff_events
from egress_operator.status.patch import build_status_patch
from egress_operator.status.progress import SetProgress, SetState
from egress_operator.status.report import Status, compute_status

logger = logging.getLogger(__name__)

PROGRESS_AFTER_S = 1.0
"""What settles or fails for longer than this gets a status that says so; most changes are applied
before. A policy that merely stands in line, in a burst, gets none: it would make the line longer,
and `observedGeneration` tells as much."""


class EventRecorder(Protocol):
    """Where Kubernetes events go. Never waits and never fails."""

    def announce(self, source: PolicySource, event: Event) -> None:
        """Post one event about a policy, or drop it when there are too many."""


@dataclass(frozen=True, slots=True)
class _Progress:
    since: float | None
    """Since when something is under way; None when nothing is."""
    lasting: bool
    """Something fails that will not pass by itself."""
    busy: bool
    """Something is being written: what is said now is said once more when nothing is."""
    news: tuple[str, ...]
    """What is to be said while something is under way: problems, and that it settles."""


class Reporter:
    """Writes statuses; the handler of the report queue."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        planner: Planner,
        worker: SetWorker,
        transport: Transport,
        events: EventRecorder,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._planner = planner
        self._worker = worker
        self._transport = transport
        self._events = events
        self._clock = clock
        self._now = now
        self._told: dict[PolicyKey, tuple[str, int, bool, tuple[str, ...]]] = {}
        """What was last said of a policy under way: it is said once."""

    def forget(self, key: PolicyKey) -> None:
        """Forget a policy that is gone."""
        self._told.pop(key, None)

    async def report(self, key: PolicyKey) -> float | None:
        """Write the status of a policy if it changed. Seconds: look again then. Raises ApiError."""
        record = self._cluster.policies.get(key)
        result = self._find_result(key, record)
        if record is None or result is None:
            return None
        progress = self._find_progress(result)
        if progress.since is not None:
            news = (result.uid, result.generation, progress.busy, progress.news)
            if not progress.news or self._told.get(key) == news:
                return None
            wait = progress.since + PROGRESS_AFTER_S - self._clock()
            if wait > 0 and not progress.lasting:
                return wait
            self._told[key] = news
        else:
            self._told.pop(key, None)
        previous = record.status
        status = compute_status(
            result,
            self._build_sets(result),
            previous or None,
            self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            outbound=self._cluster.settings.outbound_mode,
        )
        await self._write(key, record.source, previous, status)
        return None

    def _find_result(self, key: PolicyKey, record: PolicyRecord | None) -> PolicyResult | None:
        """Return the result if it is about this very policy: else a new plan is on its way."""
        plan = self._planner.get(key[0])
        if plan is None or record is None:
            return None
        result = plan.results.get(key[1])
        if result is None:
            return None
        source = record.source
        seen = (result.uid, result.generation, result.paused)
        return result if seen == (source.uid, source.generation, source.paused) else None

    def _find_progress(self, result: PolicyResult) -> _Progress:
        """Look at the outcomes alone: each host that is done asks whether the others are too."""
        since: list[float] = []
        lasting = False
        busy = False
        news: set[str] = set()
        for set_key in result.set_keys:
            outcome, at = self._worker.get_outcome(set_key)
            lasting = lasting or outcome.lasting
            if outcome.settled:
                continue
            since.append(at)
            if outcome.problem or outcome.settling:
                news.add(outcome.problem)
            else:
                busy = True
        return _Progress(min(since, default=None), lasting, busy, tuple(sorted(news)))

    def _build_sets(self, result: PolicyResult) -> Mapping[SetKey, SetProgress]:
        sets: dict[SetKey, SetProgress] = {}
        for set_key in result.set_keys:
            outcome, _ = self._worker.get_outcome(set_key)
            sets[set_key] = SetProgress(
                state=_judge(outcome),
                message=outcome.problem,
                code=outcome.code,
                squatted=outcome.squatted,
                objects=self._worker.find_objects(set_key),
            )
        return sets

    async def _write(
        self, key: PolicyKey, source: PolicySource, previous: Status, status: Status
    ) -> None:
        patch = build_status_patch(source.uid, previous, status)
        if patch is None:
            return
        try:
            answer = await self._transport.patch(
                POLICIES, key[0], key[1], patch, patch_type=PatchType.JSON, subresource="status"
            )
        except ApiError as error:
            # Deleted, or made anew under the same name: its own event brings what is to be done.
            if error.denies(POLICIES, key[1]) or error.is_failed_test:
                return
            raise
        self._cluster.policies.store_status(answer)
        before, after = read_conditions(previous), read_conditions(status)
        _log(source, before, after)
        for event in diff_events(previous, status):
            # A new policy that is applied at once shows that in its status: no event for it.
            if before or event[0] == WARNING:
                self._events.announce(source, event)


def _judge(outcome: Outcome) -> SetState:
    if outcome.settled:
        return SetState.APPLIED
    return SetState.FAILING if outcome.problem else SetState.PENDING


def _log(source: PolicySource, before: Conditions, after: Conditions) -> None:
    """Say in one line what became of a policy, when that is news."""
    ready = after[Type.READY]
    last = before.get(Type.READY, {})
    told = (last.get("status"), last.get("reason"), last.get("observedGeneration"))
    if told == (ready["status"], ready["reason"], ready["observedGeneration"]):
        return
    logger.log(
        logging.WARNING if Type.STALLED in after else logging.INFO,
        "%s",
        ready["message"],
        extra={
            "namespace": source.namespace,
            "policy": source.name,
            "generation": source.generation,
            "reason": ready["reason"],
            "result": f"{Type.READY}={ready['status']}",
        },
    )
