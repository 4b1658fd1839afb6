"""Permissions are withdrawn while the operator runs, is stopped, or is killed: what comes of it."""

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from testbed.audit import Record
from testbed.controlplane import ControlPlane
from testbed.deadline import DeadlineError, wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .batch import Batch, Key, Way
from .gateway import serving_gateway
from .state import ELSEWHERE, MOVING, STEADY, State

LIMIT_S = 2.0
"""From the moment that the operator can see a withdrawal until the last permission is gone."""
GRACE_S = 1.0
"""How much longer the test looks."""
SOON = OperatorOption(settings={"EGRESS_SETTLE": "0.2"})
LATE = OperatorOption(settings={"EGRESS_SETTLE": "60"})
"""So late that a route which is being led elsewhere is still on its way."""
EXTRA_POLICIES = 4
"""Of a bystander, still to be written when an operator starts."""


class Mode(StrEnum):
    """What the operator does meanwhile."""

    RUNNING = "running"
    STOPPED = "stopped"
    KILLED = "killed"


@dataclass(frozen=True)
class Outcome:
    """What became of one tenant's permissions."""

    delay_s: float | None
    """Until the last one was gone; None: some are still there."""
    left: int
    """How many there are at the end, when a deleted namespace is there again without its label."""


@dataclass
class Result:
    """All cases of one mode."""

    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    """Whose permissions stood when the operator wrote something for somebody else."""
    touched: list[str] = field(default_factory=list)
    """Permissions of others that were changed."""


def find_states(mode: Mode) -> tuple[State, ...]:
    """List the states of a mode. Pure.

    What has settled when an operator is killed is chance, so a long settle time is left out there.
    """
    return tuple(state for state in State if (mode, state) != (Mode.KILLED, State.SETTLING))


def run_mode(plane: ControlPlane, mode: Mode, keys: Collection[Key]) -> Result:
    """Run cases of a mode, all at once; then those that need a long settle time."""
    result = Result()
    steady, moving = (
        Batch(plane, f"{mode}-{name}", [key for key in keys if key[1] in states])
        for name, states in (("steady", STEADY), ("moving", MOVING))
    )
    with contextlib.ExitStack() as stack:
        with start_operator(plane, SOON) as operator:
            stack.enter_context(serving_gateway(plane.admin, ELSEWHERE, namespaces={}))
            for batch in (steady, moving):
                stack.callback(batch.end)
                batch.begin(stack)
            steady.enter()
            _withdraw(steady, mode, operator, SOON, result)
        with start_operator(plane, LATE) as operator:
            moving.enter()
            _withdraw(moving, mode, operator, LATE, result)
    return result


def _withdraw(
    batch: Batch, mode: Mode, operator: Operator, option: OperatorOption, result: Result
) -> None:
    """Withdraw while the operator does what the mode says, and look at what comes of it."""
    names = {key: {item["metadata"]["name"] for item in batch.find(key)} for key in batch.tenants}
    others = batch.list_others()
    mark = batch.plane.audit.position()
    if mode is Mode.STOPPED:
        operator.stop()
    batch.withdraw()
    if mode is Mode.KILLED:
        operator.kill()
    with _working(batch, mode, option):
        ready = time.time()
        with contextlib.suppress(DeadlineError):
            wait_until(
                lambda: not any(batch.find(key) for key in batch.tenants),
                LIMIT_S + GRACE_S,
                "permissions are still there",
            )
        batch.recreate()
        for tenant in batch.bystanders.values() if mode is not Mode.RUNNING else ():
            for number in range(EXTRA_POLICIES):
                tenant.wait_condition(f"more-{number}", "Ready", "True")
        writes = batch.plane.audit.records(since=mark, writes=True)
        gone = _find_deletions(batch, names, writes)
        for key in batch.tenants:
            begun = ready if mode is not Mode.RUNNING else _find_withdrawal(batch, key, writes)
            left = len(batch.find(key))
            # The answer to an operator that is killed meanwhile is logged as an error.
            seen = len(gone[key]) == len(names[key]) or (mode is Mode.KILLED and not left)
            delay = max(0.0, max(gone[key], default=begun) - begun) if seen else None
            result.outcomes[key] = Outcome(delay, left)
        if mode is not Mode.RUNNING:
            result.orders += _find_late(batch, gone, writes, operator.user)
    after = batch.list_others()
    result.touched += [name for name, version in others.items() if after.get(name) != version]


@contextlib.contextmanager
def _working(batch: Batch, mode: Mode, option: OperatorOption) -> Iterator[None]:
    """Start another operator where the first one has ended, with more to do than withdrawals."""
    if mode is Mode.RUNNING:
        yield
        return
    for tenant in batch.bystanders.values():
        for number in range(EXTRA_POLICIES):
            tenant.apply(f"more-{number}", f"more-{number}.example.com")
    with start_operator(batch.plane, option):
        yield


def _find_withdrawal(batch: Batch, key: Key, writes: Sequence[Record]) -> float:
    """Find the Unix time of the write that withdrew a permission."""
    way, _ = key
    resource, name = (
        ("namespaces", batch.tenants[key].namespace)
        if way in {Way.LABEL, Way.DELETED}
        else ("egressgateways", batch.gateways[way].name)
    )
    return next(
        read_time(record)
        for record in writes
        if (record.resource, record.name, record.subresource) == (resource, name, "")
    )


def _find_deletions(
    batch: Batch, names: Mapping[Key, set[str]], writes: Sequence[Record]
) -> dict[Key, list[float]]:
    """Find the Unix times at which permissions were deleted, by tenant."""
    return {
        key: [
            read_time(record)
            for record in writes
            if record.verb == "delete"
            and record.resource == "authorizationpolicies"
            and record.namespace == batch.gateways[key[0]].namespace
            and record.name in names[key]
            and record.code == 200
        ]
        for key in batch.tenants
    }


def _find_late(
    batch: Batch,
    gone: Mapping[Key, Sequence[float]],
    writes: Sequence[Record],
    user: str,
) -> list[str]:
    """Name the tenants whose permissions stood when something was written for a bystander."""
    bystanders = {tenant.namespace for tenant in batch.bystanders.values()}
    first = min(
        read_time(record)
        for record in writes
        if record.user == user
        and record.group.endswith(".istio.io")
        and record.namespace in bystanders
    )
    return [
        batch.tenants[key].namespace
        for key in batch.tenants
        if batch.find(key) or max(gone[key], default=first) > first
    ]


def read_time(record: Record) -> float:
    """Read when the server received a request, as a Unix time. Pure."""
    return datetime.fromisoformat(record.time).timestamp()
