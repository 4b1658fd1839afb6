"""Slots for requests that are scarce: lanes (namespaces) take turns, urgent requests go first."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from egress_operator.engine.ready import ReadySet, Share
from egress_operator.engine.shares import Holding, Shares

OTHERS_EVERY = 4
"""One turn of so many goes to those that are not urgent first."""


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
        self._urgent: ReadySet[_Waiter] = ReadySet(lambda waiter: waiter.share.lane)
        self._others: ReadySet[_Waiter] = ReadySet(lambda waiter: waiter.share.lane)
        self._turns = 0

    @asynccontextmanager
    async def take(self, lane: Hashable, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        waiter = _Waiter(Share(lane, urgent), asyncio.get_running_loop().create_future())
        waiters = self._urgent if urgent else self._others
        waiters.add(waiter, background=False)
        self._admit()
        try:
            await waiter.turn
            yield
        finally:
            if waiter.holding is None:
                waiters.discard(waiter)
            else:
                self._shares.give(waiter.holding)
                self._admit()

    def _admit(self) -> None:
        """Hand out what is free."""
        while (waiter := self._choose()) is not None:
            waiter.holding = self._shares.take(waiter.share)
            if not waiter.turn.done():
                waiter.turn.set_result(None)

    def _choose(self) -> _Waiter | None:
        """Return the one whose turn it is, if there is a slot for anybody."""
        first = (self._turns + 1) % OTHERS_EVERY != 0
        for urgent in (first, not first):
            waiters = self._urgent if urgent else self._others
            if waiters and self._shares.has_free(urgent=urgent):
                with suppress(LookupError):
                    waiter = waiters.pop(lambda row: self._may(row, urgent=urgent))  # noqa: B023 - called at once
                    self._turns += 1
                    return waiter
        return None

    def _may(self, row: Share, *, urgent: bool) -> bool:
        return self._shares.may(Share(row.lane, urgent))
