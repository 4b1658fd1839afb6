"""Success of one ends the back-off of all who talk to the same API server."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class RetryWakeup:
    """Shared by the reflectors of one API server. A beat wakes everybody who waits to retry."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def beat(self) -> None:
        """Tell that the API server works again."""
        for waiter in self._waiters:
            waiter.set()

    @contextmanager
    def listen(self, waiter: asyncio.Event) -> Iterator[None]:
        """Set `waiter` at a beat while the context lasts."""
        self._waiters.add(waiter)
        try:
            yield
        finally:
            self._waiters.discard(waiter)
