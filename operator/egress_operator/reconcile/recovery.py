"""When to try again what failed for a reason that may not be its own, before its back-off ends."""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from egress_operator.engine.queue import Queue
from egress_operator.reconcile.failure import Cause, find_cause

K = TypeVar("K", bound=Hashable)

PROBE_S = 5.0
"""Seconds from a failure to the first try of a single key."""
SUCCESS_S = 5.0
"""Seconds for which a success tells that what fails does so for a reason of its own."""
PROBE_MAX_S = 60.0
"""Seconds between two tries of single keys, at most."""
PROBE_SHARE = 0.125
"""The pause between two tries, as a share of how long the outage has lasted."""
LAPSE_S = 2 * PROBE_MAX_S
"""After so many seconds without a failure, the next failure counts as a new outage."""


class Recovery(Generic[K]):
    """Keys of a queue in back-off that are tried again as soon as others succeed.

    Keys that got no answer are tried again when the API server answers. An answer may be about one
    object, or an outage, such as of a webhook for all objects: while nothing succeeds, one key is
    tried at times, seldom in the end, and all as soon as any does. A key that has nothing to do any
    more tells nothing, so the next one is tried. What fails although others have just succeeded
    waits out its back-off.
    """

    def __init__(self, queue: Queue[K]) -> None:
        self._queue = queue
        self._away: dict[K, None] = {}
        self._suspects: dict[K, None] = {}
        """The one that failed first is first."""
        self._tried: K | None = None
        """The single key that is being tried; the last one, if more are."""
        self._succeeded_at = float("-inf")
        self._failing_since = float("-inf")
        self._failed_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def note(self, key: K, error: Exception) -> None:
        """Record that a key failed just now."""
        if key == self._tried:
            self._tried = None
        cause = find_cause(error)
        if cause is Cause.AWAY:
            self._away[key] = None
        now = asyncio.get_running_loop().time()
        if cause is Cause.UNKNOWN and now - self._succeeded_at >= SUCCESS_S:
            self._suspects[key] = None
            if now - self._failed_at > LAPSE_S:
                self._failing_since = now
            self._failed_at = now
            self._arm(now)

    def note_success(self) -> None:
        """Record that a write succeeded just now; try at once what may have failed in an outage."""
        self._succeeded_at = asyncio.get_running_loop().time()
        self._disarm()
        keys, self._suspects = self._suspects, {}
        for key in keys:
            self._queue.add(key)

    def note_end(self, key: K) -> None:
        """Record that work on a key ended without a failure; a success is recorded before."""
        if key == self._tried:
            self._tried = None
            self.probe()

    def resume(self) -> None:
        """Try at once what nobody answered."""
        keys, self._away = self._away, {}
        for key in keys:
            self._queue.add(key)

    def probe(self) -> None:
        """Try one key of those that got an answer."""
        key = next(iter(self._suspects), None)
        if key is not None:
            del self._suspects[key]
            self._tried = key
            self._queue.add(key)

    def forget(self, key: K) -> None:
        """Forget a key."""
        self._away.pop(key, None)
        self._suspects.pop(key, None)
        if key == self._tried:
            self._tried = None

    def stop(self) -> None:
        """Try nothing more."""
        self._is_stopped = True
        self._disarm()

    def _arm(self, now: float) -> None:
        if self._timer is not None or self._is_stopped:
            return
        delay = min(max(PROBE_S, PROBE_SHARE * (now - self._failing_since)), PROBE_MAX_S)
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _disarm(self) -> None:
        self._failed_at = float("-inf")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        """Try one key. The next timer is set while others are left, or when a key fails again."""
        self._timer = None
        self.probe()
        if self._suspects:
            self._arm(asyncio.get_running_loop().time())
