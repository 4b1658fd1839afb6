"""Slots for requests that are scarce: lanes (namespaces) take turns, urgent requests go first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from egress_operator.engine.ready import ReadySet


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    lane: Hashable
    urgent: bool
    turn: asyncio.Future[None]


class Slots:
    """At most `count` holders at a time. Whoever waits is let in by lanes in turn.

    A lane takes one more slot only while it has fewer than are free: a lane alone gets half of
    them, and the next one half of the rest, so that requests that hang hold up their own lane.

    Urgent requests go before all others, but for one turn of four, so that nobody starves. One more
    slot is there for them alone.
    """

    def __init__(self, count: int) -> None:
        self._free = count + 1
        """The last one is for urgent requests."""
        self._urgent = 0
        """How many urgent requests wait."""
        self._held: Counter[Hashable] = Counter()
        self._waiters: ReadySet[_Waiter] = ReadySet(lambda waiter: (waiter.lane, waiter.urgent))

    @asynccontextmanager
    async def take(self, lane: Hashable, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        waiter = _Waiter(lane, urgent, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter, background=not urgent)
        self._urgent += urgent
        self._admit()
        try:
            await waiter.turn
            yield
        finally:
            if waiter in self._waiters:
                self._waiters.discard(waiter)
                self._urgent -= urgent
            else:
                self._release(lane)

    def _release(self, lane: Hashable) -> None:
        self._free += 1
        self._held[lane] -= 1
        if not self._held[lane]:
            del self._held[lane]
        self._admit()

    def _admit(self) -> None:
        """Hand out what is free."""
        while self._waiters and self._free > (0 if self._urgent else 1):
            try:
                waiter = self._waiters.pop(self._may_take)
            except LookupError:
                return
            self._free -= 1
            self._urgent -= waiter.urgent
            self._held[waiter.lane] += 1
            if not waiter.turn.done():
                waiter.turn.set_result(None)

    def _may_take(self, key: Hashable) -> bool:
        lane, urgent = cast("tuple[Hashable, bool]", key)
        free = self._free if urgent else self._free - 1
        held = self._held.get(lane, 0)
        return free > 0 and (not held or held < free)
