"""Slots for requests that are scarce: lanes (namespaces) take turns, urgent requests go first."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from egress_operator.engine.ready import ReadySet


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    lane: Hashable
    turn: asyncio.Future[None]


class Slots:
    """At most `count` holders at a time. Whoever waits is let in by lanes in turn.

    Urgent requests go before all others, but for one turn of four, so that nobody starves.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: ReadySet[_Waiter] = ReadySet(lambda waiter: waiter.lane)

    @asynccontextmanager
    async def take(self, lane: Hashable, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(_Waiter(lane, asyncio.get_running_loop().create_future()), urgent)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, waiter: _Waiter, urgent: bool) -> None:  # noqa: FBT001 - passed on
        self._waiters.add(waiter, background=not urgent)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.discard(waiter)
            elif not waiter.turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        """Hand the slot to who is next, or keep it for who comes."""
        while len(self._waiters):
            waiter = self._waiters.pop()
            if not waiter.turn.done():
                waiter.turn.set_result(None)
                return
        self._free += 1
