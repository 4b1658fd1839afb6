"""What the controller is given from outside, so that tests can give something else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from egress_operator.engine.transport import Transport
from egress_operator.reconcile.record import OwnKey
from egress_operator.status.event import Event


class Metrics(Protocol):
    """Counts of the controller. Every call is cheap, never fails, and names no host or policy."""

    def count_drift(self, kind: str) -> None:
        """Count one object that was repaired because somebody else had changed it."""

    def count_unreadable(self, resource: str) -> None:
        """Count one object of a resource (its plural) that cannot be read."""

    def observe_plan(self, seconds: float) -> None:
        """Take the time of one plan, in which nothing else is done."""

    def count_reconcile(self, result: str, seconds: float) -> None:
        """Count one attempt at a host; `result` is settled, waiting, blocked or error."""


class EventRecorder(Protocol):
    """Where Kubernetes events go. Never waits and never fails."""

    def announce(self, key: OwnKey, uid: str, event: Event) -> None:
        """Post one event about an object of ours, or drop it when there are too many."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The API server, the clocks, and those who are told what is done."""

    transport: Transport
    metrics: Metrics
    events: EventRecorder
    clock: Callable[[], float]
    """Monotonic seconds, from the same moment as those of the running loop; `time.monotonic`."""
    now: Callable[[], datetime]
    """UTC, for transition times."""
