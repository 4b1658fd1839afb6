"""What the reconciler reports while it works. No names of hosts or policies go into counts."""

from typing import Protocol


class Metrics(Protocol):
    """Counts of the reconciler. Every call is cheap and never fails."""

    def count_drift(self, kind: str) -> None:
        """Count one object that was put right although no policy had changed."""

    def count_unreadable(self, resource: str) -> None:
        """Count one object of a resource (its plural) that cannot be read."""

    def observe_plan(self, seconds: float) -> None:
        """Take the time of one plan, in which nothing else is done."""

    def count_reconcile(self, result: str, seconds: float) -> None:
        """Count one attempt at a host; `result` is settled, waiting, blocked or error."""
