"""Something scarce, such as workers or requests, divided among lanes (namespaces)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from egress_operator.engine.ready import Share

PATIENCE_S = 1.5
"""Seconds after which work that is not done hands on what it holds."""


class _Pool:
    """So many at a time, and one more that is only for urgent shares."""

    def __init__(self, count: int, *, shared: bool) -> None:
        self._free = count + 1
        self._shared = shared
        self._held: Counter[Share] = Counter()

    def has_free(self, *, urgent: bool) -> bool:
        return self._free > (not urgent)

    def may(self, share: Share) -> bool:
        free = self._free - (not share.urgent)
        held = self._held.get(share, 0)
        return free > 0 and (not self._shared or not held or held < free)

    def take(self, share: Share) -> None:
        self._free -= 1
        self._held[share] += 1

    def give(self, share: Share) -> None:
        self._free += 1
        self._held[share] -= 1
        if not self._held[share]:
            del self._held[share]


@dataclass(slots=True, eq=False)
class Holding:
    """One that is taken: by whom, and from where."""

    share: Share
    pool: _Pool
    timer: asyncio.TimerHandle | None = None


class Shares:
    """At most `count` at a time, and one more for urgent shares. Needs a running loop.

    If `shared`, a share takes one more only while it has fewer than are free: one alone gets half
    of them, and the next one half of the rest. The urgent share of a lane is counted apart: the
    rest of it never holds that up. And whoever has held one for `PATIENCE_S` hands it on, and goes
    on without: work that hangs holds up that of others for so long at most. As many again may go on
    like that, divided in the same way.
    """

    def __init__(self, count: int, on_free: Callable[[], None], *, shared: bool = True) -> None:
        """`on_free` is called when one is handed on."""
        self._shared = shared
        self._used = _Pool(count, shared=shared)
        self._handed_on = _Pool(count, shared=shared)
        self._on_free = on_free

    def has_free(self, *, urgent: bool) -> bool:
        """Whether there is one for any share that is urgent, or that is not; look at this first."""
        return self._used.has_free(urgent=urgent)

    def may(self, share: Share) -> bool:
        """Whether there is one for this share now."""
        return self._used.may(share)

    def take(self, share: Share) -> Holding:
        """Take one, which `may` has allowed."""
        self._used.take(share)
        holding = Holding(share, self._used)
        self._arm(holding)
        return holding

    def give(self, holding: Holding) -> None:
        """Give it back."""
        if holding.timer is not None:
            holding.timer.cancel()
        holding.pool.give(holding.share)

    def _arm(self, holding: Holding) -> None:
        if self._shared:
            loop = asyncio.get_running_loop()
            holding.timer = loop.call_later(PATIENCE_S, self._hand_on, holding)

    def _hand_on(self, holding: Holding) -> None:
        if not self._handed_on.may(holding.share):
            self._arm(holding)
            return
        holding.timer = None
        holding.pool.give(holding.share)
        holding.pool = self._handed_on
        holding.pool.take(holding.share)
        self._on_free()
