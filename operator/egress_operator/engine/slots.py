"""Slots for requests that are scarce: lanes (namespaces) take turns, urgent requests go first."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from egress_operator.engine.ready import ReadySet, Share


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    share: Share
    turn: asyncio.Future[None]


class Slots:
    """At most `count` holders at a time. Whoever waits is let in by lanes in turn.

    A lane takes one more slot only while it has fewer than are free: a lane alone gets half of
    them, and the next one half of the rest, so that requests that hang hold up their own lane. The
    urgent requests of a lane are counted apart: its others never hold them up.

    Urgent requests go before all others, but for one turn of four, so that nobody starves. One more
    slot is only for them.
    """

    def __init__(self, count: int) -> None:
        self._free = count + 1
        """The last one is only for urgent requests."""
        self._urgent = 0
        """How many urgent requests wait."""
        self._held: Counter[Share] = Counter()
        self._waiters: ReadySet[_Waiter] = ReadySet(lambda waiter: waiter.share)

    @asynccontextmanager
    async def take(self, lane: Hashable, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        waiter = _Waiter(Share(lane, urgent), asyncio.get_running_loop().create_future())
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
                self._release(waiter.share)

    def _release(self, share: Share) -> None:
        self._free += 1
        self._held[share] -= 1
        if not self._held[share]:
            del self._held[share]
        self._admit()

    def _admit(self) -> None:
        """Hand out what is free."""
        while self._waiters and self._free > (0 if self._urgent else 1):
            try:
                waiter = self._waiters.pop(self._may_take)
            except LookupError:
                return
            self._free -= 1
            self._urgent -= waiter.share.urgent
            self._held[waiter.share] += 1
            if not waiter.turn.done():
                waiter.turn.set_result(None)

    def _may_take(self, row: Share) -> bool:
        share = cast("Share", row.lane)
        free = self._free - (not share.urgent)
        held = self._held.get(share, 0)
        return free > 0 and (not held or held < free)
