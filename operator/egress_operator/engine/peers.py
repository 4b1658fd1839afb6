"""What one reflector learns of the API server and the others need to know too."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Peers:
    """Shared by all reflectors of one API server."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()
        self._members: set[Callable[[], None]] = set()

    def report_success(self) -> None:
        """Wake everybody who waits to retry: the API server works again."""
        for waiter in self._waiters:
            waiter.set()

    def report_rollback(self, by: Callable[[], None]) -> None:
        """Call every member but `by`: etcd was restored from a backup.

        The versions of a restored etcd soon pass those from before. Where they have, a resource
        cannot notice by its own versions that its watch continues another history.
        """
        for member in self._members - {by}:
            member()

    @contextmanager
    def join(self, on_rollback: Callable[[], None]) -> Iterator[None]:
        """Be a member while the context lasts."""
        self._members.add(on_rollback)
        try:
            yield
        finally:
            self._members.discard(on_rollback)

    @contextmanager
    def listen(self, waiter: asyncio.Event) -> Iterator[None]:
        """Set `waiter` at a success while the context lasts."""
        self._waiters.add(waiter)
        try:
            yield
        finally:
            self._waiters.discard(waiter)
