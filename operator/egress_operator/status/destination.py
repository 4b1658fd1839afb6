"""The rows of `status.destinations`: what became of each host and port."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from egress_operator.api.state import MOST_ROWS
from egress_operator.diagnostic import find_rule, name_some
from egress_operator.istio.set_key import SetKey
from egress_operator.plan.result import ClaimResult, ClaimState
from egress_operator.status.condition import trim_message
from egress_operator.status.progress import NOT_BEGUN, SetProgress, SetState

SQUATTED = "EG104"


class RowState(StrEnum):
    """What became of one host and port."""

    APPLIED = "Applied"
    PENDING = "Pending"
    CONFLICTED = "Conflicted"
    SQUATTED = "Squatted"
    REFUSED = "Refused"
    PAUSED = "Paused"
    EXPIRED = "Expired"
    CLOSED = "Closed"
    """Nothing gets out: the gateway is not open to the namespace, or lets no wildcards through."""


@dataclass(frozen=True, slots=True)
class Row:
    """One host and port, its fate, and why, when it is not applied."""

    claim: ClaimResult
    state: RowState
    reason: str = ""
    message: str = ""


def compute_rows(
    claims: Iterable[ClaimResult], progress: Mapping[SetKey, SetProgress]
) -> tuple[Row, ...]:
    """Join the plan's results with what is applied, in the order of `claims`. Pure."""
    return tuple(
        _compute_row(claim, progress.get(claim.set_key, NOT_BEGUN) if claim.set_key else NOT_BEGUN)
        for claim in claims
    )


def build_rows(rows: tuple[Row, ...]) -> tuple[list[dict[str, Any]], int]:
    """Write the rows down, 64 at most, and count the rest.

    When there are too many, those that are not applied are shown first.
    """
    shown = rows
    if len(rows) > MOST_ROWS:
        chosen = sorted(range(len(rows)), key=lambda index: rows[index].state is RowState.APPLIED)
        shown = tuple(rows[index] for index in sorted(chosen[:MOST_ROWS]))
    return [_build_row(row) for row in shown], len(rows) - len(shown)


def count_hosts(rows: Iterable[Row]) -> tuple[int, int]:
    """Count the hosts of which every port is applied, and all hosts."""
    fine: dict[str, bool] = {}
    for row in rows:
        host = row.claim.host
        fine[host] = fine.get(host, True) and row.state is RowState.APPLIED
    return sum(fine.values()), len(fine)


def _compute_row(claim: ClaimResult, progress: SetProgress) -> Row:
    if claim.state is not ClaimState.CLAIMED:
        reason = find_rule(claim.code).reason if claim.code else ""
        return Row(claim, _NOT_CLAIMED[claim.state], reason, claim.message)
    if progress.squatted:
        return Row(claim, RowState.SQUATTED, find_rule(SQUATTED).reason, explain_squatter(progress))
    match progress.state:
        case SetState.APPLIED:
            return Row(claim, RowState.APPLIED)
        case SetState.FAILING:
            reason = find_rule(progress.code).reason if progress.code else ""
            return Row(claim, RowState.PENDING, reason, progress.message)
        case SetState.PENDING:
            return Row(claim, RowState.PENDING)


_NOT_CLAIMED = {
    ClaimState.CONFLICTED: RowState.CONFLICTED,
    ClaimState.WAITING: RowState.PENDING,
    ClaimState.REFUSED: RowState.REFUSED,
    ClaimState.PAUSED: RowState.PAUSED,
    ClaimState.EXPIRED: RowState.EXPIRED,
    ClaimState.CLOSED: RowState.CLOSED,
}


def explain_squatter(progress: SetProgress) -> str:
    """Name the objects that have the names of ours, and tell what to do. Pure."""
    names = name_some([str(key) for key in progress.squatted])
    if len(progress.squatted) == 1:
        return (
            f"{names} was not made by the operator and has the name it needs: rename or delete it"
        )
    return f"{names} were not made by the operator and have names it needs: rename or delete them"


def _build_row(row: Row) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if row.claim.destination:
        entry["name"] = row.claim.destination
    entry |= {
        "host": row.claim.host,
        "port": row.claim.port,
        "route": row.claim.route,
        "state": str(row.state),
    }
    if row.reason:
        entry["reason"] = row.reason
    if row.message:
        entry["message"] = trim_message(row.message)
    return entry
