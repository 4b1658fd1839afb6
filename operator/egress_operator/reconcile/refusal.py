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
from egress_operator.reconcile.failure import Cause, find_cause
from egress_operator.reconcile.writer import BlockedError, MissingKindError, StaleError
from egress_operator.rollout.write import Write

logger = logging.getLogger(__name__)

RETRY_S = 0.25
"""Between a write's failure in its set and its first try alone."""
TOLD_S = 3.0
"""Seconds after which status reports a write that has left its step and is not answered."""


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
    """The writes of one set that are refused, or not answered in time."""

    def __init__(self) -> None:
        self._words: dict[Write, str] = {}
        self._sent: dict[Write, float] = {}
        """Those that have left their step without an answer, and when."""

    @property
    def writes(self) -> Collection[Write]:
        """The writes that are left out of steps."""
        return self._words.keys()

    def note(self, write: Write, error: Exception) -> None:
        """Record that a write failed just now in its set."""
        self._words[write] = _explain(error)
        # An object that was made anew: the watch is about to show it.
        level = logging.DEBUG if isinstance(error, StaleError) else logging.WARNING
        logger.log(level, "%s fails: %s; it is tried again alone", write.key, self._words[write])

    def note_sent(self, write: Write, now: float) -> None:
        """Record that a write leaves its step, and will be answered later."""
        logger.info("%s is not answered yet; others go on meanwhile", write.key)
        self._words[write] = "it is not answered in time"
        self._sent[write] = now

    def note_answer(self, write: Write, error: Exception | None, *, is_retry: bool = False) -> None:
        """Record the answer to a write that has left its step; it may not be wanted any more.

        `is_retry`: it was tried alone, and its queue logs that it failed.
        """
        self._sent.pop(write, None)
        if error is None:
            self._words.pop(write, None)
        elif write not in self._words:
            return
        elif is_retry:
            self._words[write] = _explain(error)
        else:
            self.note(write, error)

    def note_unsent(self, write: Write) -> None:
        """Record that a write has left its step and was not sent after all: it is tried alone."""
        self._sent.pop(write, None)

    def is_sent(self, write: Write) -> bool:
        """Whether a write that has left its step is not answered yet."""
        return write in self._sent

    def keep(self, writes: Collection[Write]) -> None:
        """Forget all but these writes, which are still wanted, and those that are not answered."""
        kept = {*writes, *self._sent}
        self._words = {write: words for write, words in self._words.items() if write in kept}

    def list(self, now: float) -> tuple[Refusal, ...]:
        """Return the writes to tell of, with the reasons, by the keys of their objects."""
        return tuple(
            Refusal(write, words)
            for write, words in sorted(self._words.items(), key=lambda item: item[0].key)
            if now - self._sent.get(write, float("-inf")) >= TOLD_S
        )


def find_failure(failures: Collection[Exception], *, is_whole: bool) -> Exception | None:
    """Return what a step fails with; None when its failures are about single writes. Pure.

    That is a bug, or, if the whole step failed, that the API server did not answer at all. Any
    answer, also 429 or 503, may be that of a webhook about one object.
    """
    for failure in failures:
        if not isinstance(failure, ApiError | BlockedError | MissingKindError | StaleError):
            return failure
        is_whole = is_whole and find_cause(failure) is Cause.AWAY
    return next(iter(failures), None) if is_whole else None


def _explain(error: Exception) -> str:
    return error.words if isinstance(error, BlockedError) else str(error)
