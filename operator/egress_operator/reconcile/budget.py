"""How often what someone else keeps changing is written again: a burst, then now and then."""

from dataclasses import dataclass

PERIOD_S = 3.0
"""One write in this time once the burst is used up: nobody who writes the same objects and statuses
can drive us to more."""


@dataclass(slots=True)
class Budget:
    """Writes of one set, or of one status, that undo what someone else has changed."""

    burst: float
    """Writes that may be made at once."""
    spent: float = 0.0
    """Writes that have been made and are not made up for yet; at most `burst`."""
    at: float = 0.0
    """When that was, in monotonic seconds."""

    def take(self, now: float) -> float:
        """Use up one write and return 0; the seconds until there is one when there is none."""
        wait = self.find_wait(now)
        if wait == 0:
            self.spent, self.at = self._find_spent(now) + 1, now
        return wait

    def find_wait(self, now: float) -> float:
        """Return the seconds until there is a write, 0 when there is one, and leave it there."""
        return max(0.0, (self._find_spent(now) - self.burst + 1) * PERIOD_S)

    def _find_spent(self, now: float) -> float:
        return max(0.0, self.spent - (now - self.at) / PERIOD_S)
