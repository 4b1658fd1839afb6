"""Writes that the API server refuses: tried again by themselves, and in nobody's way meanwhile."""

import logging
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.engine.queue import BackOff
from egress_operator.reconcile.writer import BlockedError
from egress_operator.rollout.write import Write

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One write, and why it is refused."""

    write: Write
    words: str


@dataclass(slots=True)
class _Entry:
    words: str
    tries: int
    due: float
    """When the next try is due."""


class Refusals:
    """The refused writes of one set. Each has a back-off of its own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._back_off = BackOff()
        self._rng = random.Random()  # noqa: S311 - spreads retries, guards no secret
        self._entries: dict[Write, _Entry] = {}

    def note(self, write: Write, words: str) -> None:
        """Know that a write was refused just now."""
        known = self._entries.get(write)
        tries = 1 if known is None else known.tries + 1
        wait = self._back_off.compute_delay(tries, self._rng)
        self._entries[write] = _Entry(words, tries, self._clock() + wait)
        logger.warning("%s is refused: %s; tried again in %.1f s", write.key, words, wait)

    def list_waiting(self) -> frozenset[Write]:
        """Return the writes whose next try is not due yet."""
        now = self._clock()
        return frozenset(write for write, entry in self._entries.items() if entry.due > now)

    def keep(self, writes: Collection[Write]) -> tuple[Refusal, ...]:
        """Forget all but these writes, which are still wanted; return them with the reasons."""
        self._entries = {write: self._entries[write] for write in writes if write in self._entries}
        return tuple(Refusal(write, entry.words) for write, entry in self._entries.items())

    def compute_wait(self) -> float | None:
        """Return the seconds until the next try, None when nothing is refused."""
        due = min((entry.due for entry in self._entries.values()), default=None)
        return None if due is None else max(due - self._clock(), 0.0)


def find_refusal(error: BaseException) -> str:
    """Return why a write was refused for what it is; empty for what would befall any write. Pure.

    A webhook that does not answer shows as a 500.
    """
    if isinstance(error, BlockedError):
        return error.words
    if isinstance(error, ApiError) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return str(error)
    return ""
