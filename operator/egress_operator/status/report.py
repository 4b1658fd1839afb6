"""`compute_status`: the status of one policy, by the table of situations in the design.

| situation | Accepted | ResolvedRefs | Programmed | Ready | also |
|---|---|---|---|---|---|
| all applied | True | True | True | True | |
| being applied, settling, API trouble | True | True | False/Pending | False/Pending | Reconciling |
| the author's fault | False/reason | Unknown | last | False/reason | Stalled |
| gateway missing or closed | True | False/reason | False/reason | False/reason | Stalled |
| gateway without pods | True | True | True | False/reason | Stalled |
| a DestinationRule counts in place of ours | True | True | True | False/Overridden | Stalled |
| a Sidecar, or the mesh, hides a host | True | True | True | False/Hidden | Stalled |
| part conflicted or squatted | True | True | False/Conflicted | False/Conflicted | Stalled |
| beside a hand-written object | as above | | | | Shadowed |
| beside an open policy, or a restricted one | as above | | | | RestrictionLifted |
| a Sidecar hides a host from some workloads | as above | | | | PartlyHidden |
| paused | last | last | last | last | Paused; Reconciling unless Ready or Stalled |
| paused, a shared host expired | Unknown | Unknown | Unknown | Unknown | Paused, Reconciling |
| paused, gateway closed | last | False/reason | False/reason | False/reason | Paused, Stalled |
| expires within a day | as above | | | | Expiring |
| expired, paused or not | False/Expired | Unknown | False/Expired | False/Expired | Stalled |
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from egress_operator.api.state import Truth
from egress_operator.diagnostic import Diagnostic, find_rule, name_some
from egress_operator.istio.kind import Kind
from egress_operator.istio.set_key import SetKey
from egress_operator.plan.reference import NOT_ALLOWED, NOT_READY
from egress_operator.plan.result import CAPPED, HIDDEN, OVERRIDDEN, ClaimState, PolicyResult
from egress_operator.status.condition import (
    ALWAYS,
    Condition,
    Conditions,
    Reason,
    Type,
    build_condition,
    read_conditions,
    trim_message,
)
from egress_operator.status.destination import (
    Row,
    RowState,
    build_rows,
    compute_rows,
    count_hosts,
    explain_squatter,
)
from egress_operator.status.expiry import has_expired, judge_expired
from egress_operator.status.progress import NOT_BEGUN, SetProgress, SetState

Status = dict[str, Any]

PAUSED_ENDING = "; Paused: nothing is changed until the annotation is removed"
"""Ends the message of Ready while a policy is paused: `kubectl get` shows no other condition."""
HANDLED = "lastHandledReconcileAt"
"""The field that confirms a request, under the name that Flux gives it."""
MOST_NAMED = 3
"""Findings that a message names; the rest is counted."""

_STUCK = (RowState.CONFLICTED, RowState.SQUATTED)


def compute_status(
    result: PolicyResult,
    progress: Mapping[SetKey, SetProgress],
    previous: Mapping[str, Any] | None,
    now: str,
) -> Status:
    """Compute the whole `status` of a policy. Pure.

    `progress`: by set key; a set that is missing counts as not begun. `previous`: the status as
    the API server has it, None for none. `now`: RFC 3339, only for transitions. The result equals
    `previous` when nothing is to be written.
    """
    status = _compute(result, progress, previous, now)
    handled = result.requested or (previous or {}).get(HANDLED, "")
    return {**status, HANDLED: handled} if handled else status


def _compute(
    result: PolicyResult,
    progress: Mapping[SetKey, SetProgress],
    previous: Mapping[str, Any] | None,
    now: str,
) -> Status:
    """Compute all of it but what was asked for."""
    before = read_conditions(previous)
    rows = compute_rows(result.claims, progress)
    keys = (*result.set_keys, *result.kept)
    counts = _count(rows, [progress[key] for key in keys if key in progress])
    if result.is_on_pause:
        ended = [key for key in result.ending if not progress.get(key, NOT_BEGUN).objects]
        return _build_paused(result, rows, counts, previous, now, ended)
    conditions: Iterable[Condition | Mapping[str, Any]]
    if result.expiry is not None and result.is_expired:
        conditions = judge_expired(result, result.expiry, _explain_rest(progress, counts))
    elif result.accepted:
        conditions = _judge_accepted(result, rows, progress, counts)
    else:
        conditions = _judge_refused(result, before, counts)
        if previous and before and not has_expired(before):
            counts["hosts"] = previous.get("hosts", counts["hosts"])
    shown, rest = build_rows(rows)
    status: Status = {
        "observedGeneration": result.generation,
        "conditions": _build_conditions(conditions, before, now),
        **counts,
        "destinations": shown,
    }
    if rest:
        status["moreDestinations"] = rest
    return status


def _build_conditions(
    conditions: Iterable[Condition | Mapping[str, Any]], before: Conditions, now: str
) -> list[dict[str, Any]]:
    """Write them down in their order; a condition that is kept from before is taken as it is."""
    built = [
        build_condition(item, before, now) if isinstance(item, Condition) else dict(item)
        for item in conditions
    ]
    order = list(Type)
    return sorted(built, key=lambda condition: order.index(condition["type"]))


def _count(rows: tuple[Row, ...], sets: Iterable[SetProgress]) -> Status:
    fine, total = count_hosts(rows)
    kinds = Counter(key.kind for set_key in sets for key in set_key.objects)
    return {
        "hosts": f"{fine}/{total}",
        "objectCount": kinds.total(),
        "objects": [{"kind": str(kind), "count": kinds[kind]} for kind in Kind if kinds[kind]],
    }


def _judge_accepted(
    result: PolicyResult,
    rows: tuple[Row, ...],
    progress: Mapping[SetKey, SetProgress],
    counts: Status,
) -> list[Condition]:
    generation = result.generation
    accepted = Condition(
        Type.ACCEPTED, Truth.TRUE, Reason.ACCEPTED, _explain_accepted(result), generation
    )
    reference = result.reference
    if reference is not None and reference.code != NOT_READY:
        reason, message = find_rule(reference.code).reason, _explain_diagnostics([reference])
        if result.kept:
            message += _explain_kept(counts)
        unresolved = (Type.RESOLVED_REFS, Type.PROGRAMMED, Type.READY)
        return [
            accepted,
            *(Condition(type_, Truth.FALSE, reason, message, generation) for type_ in unresolved),
            Condition(Type.STALLED, Truth.TRUE, reason, message, generation),
            *_judge_company(result),
        ]
    resolved = Condition(
        Type.RESOLVED_REFS,
        Truth.TRUE,
        Reason.RESOLVED_REFS,
        "everything that the policy refers to is there",
        generation,
    )
    return [
        accepted,
        resolved,
        *_judge_progress(result, rows, progress),
        *_judge_company(result),
    ]


def _judge_progress(
    result: PolicyResult, rows: tuple[Row, ...], progress: Mapping[SetKey, SetProgress]
) -> list[Condition]:
    """Return Programmed and Ready, and what stands beside them."""
    generation = result.generation
    stuck = [row for row in rows if row.state in _STUCK]
    pending = [row for row in rows if row.state is RowState.PENDING]
    if stuck:
        message = _explain_rows([*stuck, *(row for row in pending if row.message)])
        return _build_unready(Type.STALLED, Reason.CONFLICTED, message, generation)
    if pending:
        message = _explain_pending(rows, pending)
        return _build_unready(Type.RECONCILING, Reason.PENDING, message, generation)
    sets = [progress.get(key, NOT_BEGUN) for key in result.set_keys]
    # A host may be applied, and what serves all hosts of the namespace at the gateway not be.
    for item in sets:
        if item.squatted:
            message = explain_squatter(item)
            return _build_unready(Type.STALLED, Reason.CONFLICTED, message, generation)
        if item.state is not SetState.APPLIED:
            message = item.message or "some objects are still being applied"
            return _build_unready(Type.RECONCILING, Reason.PENDING, message, generation)
    message = _explain_applied(rows, sets) + _explain_company(result)
    programmed = Condition(Type.PROGRAMMED, Truth.TRUE, Reason.PROGRAMMED, message, generation)
    if hindrance := _find_hindrance(result):
        reason, text = hindrance
        return [programmed, *_build_unready(Type.STALLED, reason, text, generation)[1:]]
    for sentence in filter(None, (result.sight.unblocked, result.sight.unread)):
        message += f"; {sentence}"
    return [programmed, Condition(Type.READY, Truth.TRUE, Reason.APPLIED, message, generation)]


def _find_hindrance(result: PolicyResult) -> tuple[str, str] | None:
    """Return why what is applied does not do what the policy asks: reason and message."""
    if result.reference is not None:
        reason = find_rule(result.reference.code).reason
        return reason, _explain_diagnostics([result.reference])
    found = (
        (CAPPED, result.sight.capped),
        (OVERRIDDEN, result.overridden),
        (HIDDEN, result.sight.hidden),
    )
    for code, sentences in found:
        if sentences:
            return find_rule(code).reason, f"{_join(sentences)} ({code})"
    return None


def _build_unready(also: Type, reason: str, message: str, generation: int) -> list[Condition]:
    """Return Programmed and Ready as False, and the condition that tells why in one word."""
    return [
        Condition(type_, truth, reason, message, generation)
        for type_, truth in (
            (Type.PROGRAMMED, Truth.FALSE),
            (Type.READY, Truth.FALSE),
            (also, Truth.TRUE),
        )
    ]


def _judge_refused(
    result: PolicyResult, before: Conditions, counts: Status
) -> list[Condition | Mapping[str, Any]]:
    generation = result.generation
    reason = find_rule(result.diagnostics[0].code).reason
    message = _explain_diagnostics(result.diagnostics) + _explain_kept(counts)
    last = None if has_expired(before) else before.get(Type.PROGRAMMED)
    return [
        Condition(Type.ACCEPTED, Truth.FALSE, reason, message, generation),
        Condition(
            Type.RESOLVED_REFS,
            Truth.UNKNOWN,
            Reason.NOT_ACCEPTED,
            "not looked at, because the policy is not accepted",
            generation,
        ),
        last
        or Condition(
            Type.PROGRAMMED,
            Truth.FALSE,
            Reason.NOT_ACCEPTED,
            "nothing is applied, because the policy is not accepted",
            generation,
        ),
        Condition(Type.READY, Truth.FALSE, reason, message, generation),
        Condition(Type.STALLED, Truth.TRUE, reason, message, generation),
        *_judge_company(result),
    ]


def _build_paused(
    result: PolicyResult,
    rows: tuple[Row, ...],
    counts: Status,
    previous: Mapping[str, Any] | None,
    now: str,
    ended: list[SetKey],
) -> Status:
    """As it was last, `observedGeneration` too; objects are counted anew, and Ready says it.

    `ended`: the sets of its hosts in which it has nothing, and a policy that has expired had a
    part.
    """
    before = read_conditions(previous)
    paused = Condition(
        Type.PAUSED,
        Truth.TRUE,
        Reason.PAUSED,
        "the annotation egress-operator.io/paused is true: nothing is changed until it is removed",
        result.generation,
    )
    known = all(type_ in before for type_ in ALWAYS)
    lost = ended if known and before[Type.PROGRAMMED]["status"] == Truth.TRUE else []
    if previous and known and not lost and not _is_restored(result, before):
        withdrawn = _judge_withdrawn(result, before)
        expiring = [item for item in _judge_company(result) if item.type == Type.EXPIRING]
        replaced = {
            Type.RECONCILING,
            Type.PAUSED,
            Type.EXPIRING,
            *(item.type for item in withdrawn),
        }
        kept = [condition for type_, condition in before.items() if type_ not in replaced]
        is_told = withdrawn or Type.STALLED in before
        waiting = (
            []
            if is_told or before[Type.READY]["status"] == Truth.TRUE
            else [_build_waiting(result)]
        )
        return {
            **previous,
            **counts,
            "hosts": previous.get("hosts", counts["hosts"]),
            "conditions": [
                _tell_paused(condition)
                for condition in _build_conditions(
                    [*withdrawn, *waiting, *expiring, paused, *kept], before, now
                )
            ],
        }
    shown, rest = build_rows(rows)
    unknown = [
        Condition(
            type_,
            Truth.UNKNOWN,
            Reason.PAUSED,
            "not looked at, because the policy is paused" + _explain_lost(lost),
            result.generation,
        )
        for type_ in ALWAYS
    ]
    status: Status = {
        "observedGeneration": result.generation,
        "conditions": _build_conditions(
            [*unknown, _build_waiting(result), *_judge_company(result), paused], before, now
        ),
        **counts,
        "destinations": shown,
    }
    if rest:
        status["moreDestinations"] = rest
    return status


def _build_waiting(result: PolicyResult) -> Condition:
    """Tell that a paused policy is not applied as it asks: else waiting tools took it for done."""
    return Condition(
        Type.RECONCILING,
        Truth.TRUE,
        Reason.PAUSED,
        "not applied as the policy asks, and nothing is changed while it is paused",
        result.generation,
    )


def _tell_paused(condition: dict[str, Any]) -> dict[str, Any]:
    """Say it once in the message of Ready, unless the policy was paused from the beginning."""
    if condition["type"] != Type.READY or condition["reason"] == Reason.PAUSED:
        return condition
    said = condition["message"].removesuffix(PAUSED_ENDING)
    return {**condition, "message": trim_message(said, PAUSED_ENDING)}


def _is_restored(result: PolicyResult, before: Conditions) -> bool:
    """Whether a policy has again what it had lost when it was last looked at: permission, time."""
    if has_expired(before):
        return True
    reason = find_rule(NOT_ALLOWED).reason
    lost = before[Type.RESOLVED_REFS]["reason"] == reason
    return lost and (result.reference is None or result.reference.code != NOT_ALLOWED)


def _judge_withdrawn(result: PolicyResult, before: Conditions) -> list[Condition]:
    """Return what is false of a paused policy too: that it may use its gateway."""
    reference, accepted = result.reference, before[Type.ACCEPTED]
    if reference is None or reference.code != NOT_ALLOWED or accepted["status"] != Truth.TRUE:
        return []
    generation = accepted["observedGeneration"]
    reason, message = find_rule(reference.code).reason, _explain_diagnostics([reference])
    return [
        *(
            Condition(type_, Truth.FALSE, reason, message, generation)
            for type_ in (Type.RESOLVED_REFS, Type.PROGRAMMED, Type.READY)
        ),
        Condition(Type.STALLED, Truth.TRUE, reason, message, generation),
    ]


def _judge_company(result: PolicyResult) -> list[Condition]:
    """Return the conditions about what others write for the same hosts, and about the time."""
    return [
        Condition(type_, Truth.TRUE, reason, _join(sentences), result.generation)
        for type_, reason, sentences in _list_company(result)
    ]


def _list_company(result: PolicyResult) -> Iterator[tuple[Type, str, tuple[str, ...]]]:
    """Give the type, the reason and the sentences of each of these conditions."""
    if result.shadowed:
        yield Type.SHADOWED, Reason.SHADOWED, result.shadowed
    if result.lifted:
        sentences = tuple(sorted(item.message for item in result.lifted))
        yield Type.RESTRICTION_LIFTED, Reason.RESTRICTION_LIFTED, sentences
    if result.expiry is not None:
        message = _explain_diagnostics([replace(result.expiry, path="")])
        yield Type.EXPIRING, find_rule(result.expiry.code).reason, (message,)
    if result.sight.partly_hidden:
        yield Type.PARTLY_HIDDEN, Reason.PARTLY_HIDDEN, result.sight.partly_hidden


def _explain_accepted(result: PolicyResult) -> str:
    if result.diagnostics:
        return "accepted, with warnings: " + _explain_diagnostics(result.diagnostics)
    return "the policy is valid"


def _explain_diagnostics(diagnostics: Iterable[Diagnostic]) -> str:
    return _join(
        f"{item.path}: {item.message} ({item.code})"
        if item.path
        else f"{item.message} ({item.code})"
        for item in diagnostics
    )


def _explain_rows(rows: Iterable[Row]) -> str:
    """Name what is wrong, each sentence once; that of a conflict names its host itself."""
    return _join(
        dict.fromkeys(
            row.message if row.state is RowState.CONFLICTED else f"{row.claim.host}: {row.message}"
            for row in rows
        )
    )


def _explain_pending(rows: tuple[Row, ...], pending: list[Row]) -> str:
    fine, total = count_hosts(rows)
    waiting: dict[str, set[str]] = {}
    for row in pending:
        if row.claim.state is ClaimState.WAITING:
            waiting.setdefault(row.message, set()).add(row.claim.host)
    failing = [row for row in pending if row.message and row.message not in waiting]
    parts = [
        f"{fine} of {_number(total, 'host')} applied",
        *(f"{_number(len(hosts), 'host')} {message}" for message, hosts in waiting.items()),
    ]
    if failing:
        parts.append(_explain_rows(failing))
    return "; ".join(parts)


def _explain_applied(rows: tuple[Row, ...], sets: Iterable[SetProgress]) -> str:
    _, total = count_hosts(rows)
    objects = sum(len(set_key.objects) for set_key in sets)
    return f"applied: {_number(objects, 'object')} for {_number(total, 'host')}"


def _explain_kept(counts: Status) -> str:
    """Tell that a policy on hold still has objects."""
    count = counts["objectCount"]
    return f"; kept from before: {_number(count, 'object')}" if count else ""


def _explain_lost(sets: Iterable[SetKey]) -> str:
    """Tell that objects of a paused policy went with an expired one."""
    hosts = name_some([str(key) for key in sets])
    why = "because another policy for the same host has expired"
    return f"; it has no objects any more for {hosts}, {why}" if hosts else ""


def _explain_rest(progress: Mapping[SetKey, SetProgress], counts: Status) -> str:
    """Tell that objects are still to be deleted, and what is in the way."""
    count = counts["objectCount"]
    problems = dict.fromkeys(item.message for item in progress.values() if item.message)
    told = ": " + _join(problems) if problems else ""
    return f"; still there: {_number(count, 'object')}{told}" if count else ""


def _explain_company(result: PolicyResult) -> str:
    """Name one of each: `kubectl get` shows the message of Ready, and no other condition."""
    warned = [_explain_diagnostics([item]) for item in result.diagnostics]
    told = [(str(type_), sentences) for type_, _, sentences in _list_company(result)]
    told += [("Warning", tuple(warned))] if warned else []
    return "".join(f"; {name}: {_join(sentences, most=1)}" for name, sentences in told)


def _join(sentences: Iterable[str], *, most: int = MOST_NAMED) -> str:
    listed = list(sentences)
    text = ". ".join(listed[:most])
    rest = len(listed) - most
    return f"{text}. And {rest} more" if rest > 0 else text


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
