"""Slots for requests that are scarce: lanes (namespaces) take turns, urgent requests go first."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from egress_operator.engine.ready import ReadySet, Share
from egress_operator.engine.shares import Holding, Shares


@dataclass(slots=True, eq=False)
class _Waiter:
    share: Share
    turn: asyncio.Future[None]
    holding: Holding | None = None


class Slots:
    """Slots for `count` requests, and one more for urgent ones, divided among lanes as by `Shares`.

    Whoever waits is let in by lanes in turn. Urgent requests go before all others, but for one turn
    of four, so that nobody starves. A request that hangs behind a webhook hands on its slot, so
    there are at most twice as many requests.
    """

    def __init__(self, count: int) -> None:
        self._shares = Shares(count, self._admit)
        self._waiters: ReadySet[_Waiter] = ReadySet(lambda waiter: waiter.share)

    @asynccontextmanager
    async def take(self, lane: Hashable, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        waiter = _Waiter(Share(lane, urgent), asyncio.get_running_loop().create_future())
        self._waiters.add(waiter, background=not urgent)
        self._admit()
        try:
            await waiter.turn
            yield
        finally:
            if waiter.holding is None:
                self._waiters.discard(waiter)
            else:
                self._shares.give(waiter.holding)
                self._admit()

    def _admit(self) -> None:
        """Hand out what is free."""
        while self._waiters:
            try:
                waiter = self._waiters.pop(self._may_take)
            except LookupError:
                return
            waiter.holding = self._shares.take(waiter.share)
            if not waiter.turn.done():
                waiter.turn.set_result(None)

    def _may_take(self, row: Share) -> bool:
        return self._shares.may(cast("Share", row.lane))
