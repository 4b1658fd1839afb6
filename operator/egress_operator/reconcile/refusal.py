"""Writes of a gateway's set that fail: tried again by themselves, and in nobody's way meanwhile.

A withdrawn permission is the first that the set asks for, at each try. If that write fails, or is
answered late, it must hold up no other tenant's: so it leaves the set, and has a back-off of its
own in a queue of its own.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from egress_operator.engine.failure import ApiError
from egress_operator.istio.set_key import GatewaySet
from egress_operator.reconcile.failure import is_away, is_late
from egress_operator.reconcile.writer import BlockedError, MissingKindError, StaleError
from egress_operator.rollout.write import Write

logger = logging.getLogger(__name__)

RETRY_S = 0.25
"""Between a write's failure in its set and its first try alone."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One write, and why it is refused."""

    write: Write
    words: str


@dataclass(frozen=True, slots=True)
class Retry:
    """One write to try alone. The key of the queue of retries."""

    set_key: GatewaySet
    write: Write


class Refusals:
    """The refused writes of one set."""

    def __init__(self) -> None:
        self._words: dict[Write, str] = {}

    @property
    def writes(self) -> Collection[Write]:
        """The refused writes."""
        return self._words.keys()

    def note(self, write: Write, error: Exception) -> None:
        """Know that a write failed just now in its set."""
        self._words[write] = _explain(error)
        # An object that was made anew: the watch is about to show it.
        level = logging.DEBUG if isinstance(error, StaleError) else logging.WARNING
        logger.log(level, "%s fails: %s; tried again by itself", write.key, self._words[write])

    def note_again(self, write: Write, error: Exception) -> None:
        """Know that a write failed when it was tried alone; it may not be wanted any more."""
        if write in self._words:
            self._words[write] = _explain(error)

    def forget(self, write: Write) -> None:
        """Know that a write is done."""
        self._words.pop(write, None)

    def keep(self, writes: Collection[Write]) -> tuple[Refusal, ...]:
        """Forget all but these writes, which are still wanted; return them with the reasons."""
        self._words = {write: self._words[write] for write in writes if write in self._words}
        return tuple(Refusal(write, words) for write, words in self._words.items())


def find_failure(failures: Collection[Exception], *, is_whole: bool) -> Exception | None:
    """Return what a step fails with; None when its failures are about single writes. Pure.

    That is a bug, or, if the whole step failed, that the API server did not answer at all. Any
    answer, also 429 or 503, may be that of a webhook about one object.
    """
    for failure in failures:
        if not isinstance(failure, ApiError | BlockedError | MissingKindError | StaleError):
            return failure
        is_whole = is_whole and is_away(failure) and not is_late(failure)
    return next(iter(failures), None) if is_whole else None


def _explain(error: Exception) -> str:
    return error.words if isinstance(error, BlockedError) else str(error)
