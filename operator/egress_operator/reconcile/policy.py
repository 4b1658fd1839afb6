"""EgressPolicy: what is read of it, and its status from its result and its sets' outcomes."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Owner, pack_spec
from egress_operator.istio.set_key import Scope, SetKey
from egress_operator.plan.applied import find_nulls
from egress_operator.plan.result import PolicyResult
from egress_operator.plan.source import PackedSpec, PolicySource, is_paused, read_request
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.kind import Answer, KindRow, View
from egress_operator.reconcile.record import OwnKey, Record
from egress_operator.reconcile.resource import POLICIES
from egress_operator.reconcile.sync import Outcome
from egress_operator.status.condition import Type
from egress_operator.status.event import diff_policy_events, is_policy_alarm
from egress_operator.status.progress import SetProgress, SetState
from egress_operator.status.report import compute_status

PROGRESS_AFTER_S = 1.0
"""What settles or fails for longer than this gets a status that says so; most changes are applied
before. A policy that merely stands in line, in a burst, gets none: it would make the line longer,
and `observedGeneration` tells as much."""


def read_policy(body: Mapping[str, Any]) -> PolicySource:
    """Take what counts from an EgressPolicy as the API server sent it. Pure."""
    metadata = body["metadata"]
    return PolicySource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        spec=PackedSpec(pack_spec(body.get("spec", {}))),
        paused=is_paused(metadata),
        requested=read_request(metadata),
        nulls=find_nulls(metadata, body.get("spec")),
    )


def _find_scopes(_: Cluster, key: OwnKey) -> Iterator[Scope]:
    yield key.namespace


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


def _compute_answer(view: View, record: Record[PolicySource], note: Hashable, now: str) -> Answer:
    """Return the status; `note` is what was last said of a policy under way: it is said once."""
    result = _find_result(view, record.source)
    if result is None:
        return Answer(note=note)
    progress = _find_progress(view, result)
    news = None
    if progress.since is not None:
        # What is counted may change without any news of the sets: somebody takes a label off.
        count = _count_objects(view, result) if progress.lasting else 0
        about = (result.uid, result.generation, result.requested)
        news = (*about, progress.busy, progress.news, count)
        if not progress.news or note == news:
            return Answer(note=note)
        wait = progress.since + PROGRESS_AFTER_S - view.clock()
        if wait > 0 and not progress.lasting:
            return Answer(wait=wait, note=note)
    status = compute_status(
        result,
        {
            **{key: _build_progress(view, key, result) for key in result.set_keys},
            **{key: _build_kept(view, key, result) for key in result.kept},
        },
        record.status or None,
        now,
    )
    return Answer(status, note=news)


def _find_result(view: View, source: PolicySource) -> PolicyResult | None:
    """Return the result if it is about this very policy: else a new plan is on its way."""
    plan = view.planner.get(source.namespace)
    result = plan.results.get(source.name) if plan else None
    if result is None:
        return None
    seen = (result.uid, result.generation, result.paused, result.requested)
    known = (source.uid, source.generation, source.paused, source.requested)
    return result if seen == known else None


def _find_progress(view: View, result: PolicyResult) -> _Progress:
    """Look at the outcomes alone: each host that is done asks whether the others are too."""
    since: list[float] = []
    lasting = False
    busy = False
    news: set[str] = set()
    for key in result.set_keys:
        outcome, at = view.worker.get_outcome(key)
        lasting = lasting or outcome.lasting
        if outcome.settled:
            continue
        since.append(at)
        if outcome.problem or outcome.settling:
            news.add(outcome.problem)
        else:
            busy = True
    return _Progress(min(since, default=None), lasting, busy, tuple(sorted(news)))


def _count_objects(view: View, result: PolicyResult) -> int:
    return sum(len(view.worker.find_objects(key)) for key in result.set_keys)


def _build_progress(view: View, key: SetKey, result: PolicyResult) -> SetProgress:
    outcome, _ = view.worker.get_outcome(key)
    return SetProgress(
        state=_judge(outcome),
        message=outcome.problem,
        code=outcome.code,
        squatted=outcome.squatted,
        objects=(
            _find_own(view, key, result) if result.is_expired else view.worker.find_objects(key)
        ),
    )


def _build_kept(view: View, key: SetKey, result: PolicyResult) -> SetProgress:
    return SetProgress(SetState.PENDING, objects=_find_own(view, key, result))


def _find_own(view: View, key: SetKey, result: PolicyResult) -> tuple[ObjectKey, ...]:
    """Name what is the policy's in a set that it has no part in now: others may have one."""
    owner = Owner(result.policy, result.uid)
    found = ((item, view.cluster.objects.get(item)) for item in view.worker.find_objects(key))
    return tuple(item for item, seen in found if seen is not None and owner in seen.owners)


def _judge(outcome: Outcome) -> SetState:
    if outcome.settled:
        return SetState.APPLIED
    return SetState.FAILING if outcome.problem else SetState.PENDING


POLICY_ROW = KindRow(
    POLICIES,
    read_policy,
    _find_scopes,
    _compute_answer,
    logged=frozenset({Type.READY}),
    is_alarm=is_policy_alarm,
    diff_events=diff_policy_events,
    purpose="What users ask for. Never update: the operator cannot change a policy's spec or "
    "metadata.",
)
