"""Keys of a queue that failed for a reason that may not be theirs: tried again when it has gone."""

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from egress_operator.engine.queue import Queue

K = TypeVar("K", bound=Hashable)

PROBE_S = 5.0
"""From a failure to the first try of a single key, and for how long one success counts for all."""
PROBE_MAX_S = 60.0
PROBE_SHARE = 0.125
"""Of the time for which nothing has succeeded: until the next try of a single key."""


class Stalled(Generic[K]):
    """Keys in back-off that need not wait for its end."""

    def __init__(self, queue: Queue[K]) -> None:
        self._queue = queue
        self._keys: dict[K, None] = {}
        """The one that failed first is first."""

    def note(self, key: K) -> None:
        """Know that a key failed just now."""
        self._keys.setdefault(key)

    def discard(self, key: K) -> None:
        """Forget a key."""
        self._keys.pop(key, None)

    def resume(self) -> None:
        """Try all at once."""
        keys, self._keys = self._keys, {}
        for key in keys:
            self._queue.add(key)

    def probe(self) -> None:
        """Try the first."""
        key = next(iter(self._keys), None)
        if key is not None:
            del self._keys[key]
            self._queue.add(key)


class Suspects(Generic[K]):
    """Keys of which an answer said that they fail, while no write of their queue succeeded.

    That may be an outage, such as of a webhook for all objects, or about these alone. One of them
    is tried at times, seldom in the end, and all as soon as any write succeeds. What fails although
    others have just succeeded is no suspect, and waits out its back-off.
    """

    def __init__(self, queue: Queue[K]) -> None:
        self._stalled = Stalled(queue)
        self._succeeded_at = float("-inf")
        self._failing_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, key: K) -> None:
        """Know that a write failed just now."""
        now = asyncio.get_running_loop().time()
        if now - self._succeeded_at < PROBE_S:
            return
        if self._failing_since is None:
            self._failing_since = now
        self._stalled.note(key)
        self._arm()

    def note_success(self) -> None:
        """Know that a write succeeded just now."""
        self._succeeded_at = asyncio.get_running_loop().time()
        self._failing_since = None
        self._stalled.resume()

    def probe(self) -> None:
        """Try one key."""
        self._stalled.probe()

    def stop(self) -> None:
        """Try nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None or self._failing_since is None:
            return
        loop = asyncio.get_running_loop()
        elapsed = loop.time() - self._failing_since
        delay = min(max(PROBE_S, PROBE_SHARE * elapsed), PROBE_MAX_S)
        self._timer = loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.probe()
        self._arm()
