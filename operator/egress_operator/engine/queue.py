"""Keyed work queue: one worker per key, back-off per key, round robin over lanes (namespaces)."""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from egress_operator.engine.ready import ReadySet, Share
from egress_operator.engine.shares import Holding, Shares
from egress_operator.engine.timing import TICK

K = TypeVar("K", bound=Hashable)

Handler = Callable[[K], Awaitable[float | None]]
"""Works on a key. None: done. Seconds: run again after that (a settle wait, no failure). An
exception: back-off; one with a `retry_after` attribute (ApiError) waits at least that long."""

FailureHook = Callable[[K, Exception, float], None]
"""(key, exception, seconds until the next try): log and count here."""

_COMPACT = 64
"""Timers beyond twice the waiting keys that are tolerated before the dead ones are swept."""


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """How many keys a queue holds, by what they wait for. A key may count in more than one."""

    ready: int = 0
    """Wait for a worker."""
    busy: int = 0
    """Are being worked on."""
    waiting: int = 0
    """In a settle wait or back-off."""

    def __add__(self, other: "QueueLoad") -> "QueueLoad":
        """Add the keys of another queue. Pure."""
        return QueueLoad(
            self.ready + other.ready, self.busy + other.busy, self.waiting + other.waiting
        )


@dataclass(frozen=True, slots=True)
class BackOff:
    """Exponential: doubled per failure in a row, spread by ± `jitter` (a share). Seconds."""

    first: float = 0.25
    last: float = 60.0
    jitter: float = 0.2

    def compute_delay(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after so many failures in a row (1 or more)."""
        # 2 ** 1000 is no float: the exponent is bounded first.
        delay = min(self.first * 2.0 ** min(failures - 1, 32), self.last)
        return delay * rng.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(slots=True)
class _Item:
    """A key that the queue has to remember. Without one: nothing is due and nothing failed."""

    failures: int = 0
    busy: bool = False
    again: bool = False
    """Add it once more when the present run ends."""
    again_hurry: bool = False
    again_background: bool = True
    due: float | None = None
    """Loop time at which a wait ends; None: it does not wait."""
    floor: float = 0.0
    """Loop time before which the server does not want to see the key."""

    def mark_again(self, *, hurry: bool, background: bool) -> None:
        self.again = True
        self.again_hurry |= hurry
        self.again_background &= background

    def take_again(self) -> tuple[bool, bool, bool]:
        """(again, hurry, background), and reset them."""
        marks = self.again, self.again_hurry, self.again_background
        self.again, self.again_hurry, self.again_background = False, False, True
        return marks


class Queue(Generic[K]):
    """Keys are worked on by `handler`, never one key twice at a time.

    There are so many `workers`, divided among lanes as `Shares` does it. Keys that are `urgent` go
    before all others, and one more worker is only for them: neither a full queue nor slow work on
    other keys holds them up.

    An `add` while the key is being worked on makes it run once more afterwards. Needs a running
    loop and uses its clock, so that it runs in virtual time. Keys may be added before `start`.
    """

    def __init__(
        self,
        handler: Handler[K],
        *,
        lane: Callable[[K], Hashable],
        workers: int = 16,
        shared: bool = False,
        urgent: Callable[[K], bool] = lambda _: False,
        back_off: BackOff | None = None,
        rng: random.Random | None = None,
        on_failure: FailureHook[K] | None = None,
    ) -> None:
        self._handler = handler
        self._lane = lane
        self._shares = Shares(workers, self._pump, shared=shared)
        self._urgent = urgent
        self._back_off = back_off or BackOff()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards no secret
        self._on_failure = on_failure
        self._ready: ReadySet[K] = ReadySet(lane, urgent)
        self._items: dict[K, _Item] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._waiting = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        """Loop time that the alarm is set to. A loop may round it, and `when` tells that."""
        self._tasks: dict[asyncio.Task[None], tuple[K, Holding]] = {}
        self._running = False
        self._stopped = False
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Begin to work."""
        self._running = True
        self._pump()

    def add(self, key: K, *, hurry: bool = True, background: bool = False) -> None:
        """Something changed: work on the key soon.

        `hurry` ends a settle wait or a back-off (but never a wait that the server asked for by
        Retry-After); without it a waiting key stays where it is. `background` (first list, resync)
        goes behind everything else, yet one pick of four is its own; a plain `add` afterwards
        moves the key to the front rows.
        """
        item = self._items.setdefault(key, _Item())
        if item.busy:
            item.mark_again(hurry=hurry, background=background)
            return
        if item.due is not None:
            if not hurry:
                return
            if item.floor > self._now():
                self._wait(key, item, item.floor)
                return
            self._end_wait(item)
        self._push(key, background=background)

    def add_after(self, key: K, delay: float) -> None:
        """Work on the key in `delay` seconds, or earlier if it is due earlier anyway.

        Of a key that is being worked on, this counts from now; a wait that its run asks for as well
        is merged with it, the earlier one counts. A key in back-off stays where it is.
        """
        item = self._items.setdefault(key, _Item())
        if key in self._ready or (item.failures and item.due is not None):
            return
        due = max(self._now() + max(delay, TICK), item.floor)
        if item.due is None or due < item.due:
            self._wait(key, item, due)

    def forget(self, key: K) -> None:
        """Take the key out, with its waits and failures; a run in progress ends as it does."""
        item = self._items.get(key)
        if item is None:
            return
        self._ready.discard(key)
        self._end_wait(item)
        item.failures, item.floor = 0, 0.0
        item.take_again()
        self._settle(key, item)
        self._changed()

    @property
    def depth(self) -> int:
        """Keys that are ready and wait for a worker."""
        return len(self._ready)

    @property
    def busy(self) -> int:
        """Keys that are being worked on."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """Keys in a settle wait or back-off."""
        return self._waiting

    @property
    def load(self) -> QueueLoad:
        """All three counts at once."""
        return QueueLoad(self.depth, self.busy, self.waiting)

    def failures(self, key: K) -> int:
        """Failures in a row."""
        item = self._items.get(key)
        return 0 if item is None else item.failures

    async def join(self) -> None:
        """Return when no key is ready or being worked on (waits do not count)."""
        await self._idle.wait()

    async def stop(self, grace: float) -> None:
        """Pick nothing more, let running work end within `grace` seconds, then cancel it."""
        self._running = False
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _push(self, key: K, *, background: bool) -> None:
        self._ready.add(key, background=background)
        self._pump()

    def _pump(self) -> None:
        """Give ready keys to free workers."""
        while self._running and self._ready and self._shares.has_free(urgent=True):
            urgent_only = not self._shares.has_free(urgent=False)
            try:
                key = self._ready.pop(self._shares.may, urgent_only=urgent_only)
            except LookupError:
                break
            self._items[key].busy = True
            holding = self._shares.take(Share(self._lane(key), self._urgent(key)))
            task = asyncio.get_running_loop().create_task(self._work(key))
            self._tasks[task] = key, holding
            task.add_done_callback(self._end_work)
        self._changed()

    def _changed(self) -> None:
        if self._ready or self._tasks:
            self._idle.clear()
        else:
            self._idle.set()

    async def _work(self, key: K) -> None:
        item = self._items[key]
        try:
            delay = await self._handler(key)
        except Exception as error:  # noqa: BLE001 - whatever fails is retried; the hook reports it
            self._fail(key, item, error)
        except asyncio.CancelledError:
            # By `stop`; or by something that the handler waited for, then the key must not be lost.
            self.add_after(key, self._back_off.first)
            raise
        else:
            item.failures, item.floor = 0, 0.0
            if delay is not None:
                self.add_after(key, delay)

    def _fail(self, key: K, item: _Item, error: Exception) -> None:
        item.failures += 1
        delay = self._back_off.compute_delay(item.failures, self._rng)
        wish = getattr(error, "retry_after", None)
        if wish is not None:
            delay = max(delay, wish)
            item.floor = self._now() + wish
        self._wait(key, item, self._now() + delay)
        if self._on_failure is not None:
            self._on_failure(key, error, delay)

    def _end_work(self, task: asyncio.Task[None]) -> None:
        key, holding = self._tasks.pop(task)
        self._shares.give(holding)
        item = self._items[key]
        item.busy = False
        again, hurry, background = item.take_again()
        if again:
            # What came during a failed run does not end its back-off.
            self.add(key, hurry=hurry and not item.failures, background=background)
        self._settle(key, item)
        self._pump()

    def _settle(self, key: K, item: _Item) -> None:
        """Forget a key that has nothing to remember."""
        if not item.busy and not item.failures and item.due is None and key not in self._ready:
            self._items.pop(key, None)

    def _wait(self, key: K, item: _Item, due: float) -> None:
        if item.due == due:
            return
        self._waiting += item.due is None
        item.due = due
        self._sequence += 1
        heapq.heappush(self._timers, (due, self._sequence, key))
        if len(self._timers) > 2 * self._waiting + _COMPACT:
            self._timers = [timer for timer in self._timers if self._is_live(timer)]
            heapq.heapify(self._timers)
        self._arm()

    def _end_wait(self, item: _Item) -> None:
        if item.due is not None:
            self._waiting -= 1
            item.due = None

    def _is_live(self, timer: tuple[float, int, K]) -> bool:
        item = self._items.get(timer[2])
        return item is not None and item.due == timer[0]

    def _arm(self) -> None:
        """Set the one alarm to the earliest timer."""
        while self._timers and not self._is_live(self._timers[0]):
            heapq.heappop(self._timers)
        due = self._timers[0][0] if self._timers else None
        if self._alarm is not None:
            if self._alarm_at == due:
                return
            self._alarm.cancel()
            self._alarm = None
        if due is not None and not self._stopped:
            self._alarm = asyncio.get_running_loop().call_at(due, self._ring)
            self._alarm_at = due

    def _ring(self) -> None:
        """End the waits that are over."""
        self._alarm = None
        now = self._now()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)
            if not self._is_live(timer):
                continue
            item = self._items[timer[2]]
            self._end_wait(item)
            if item.busy:
                item.mark_again(hurry=True, background=False)
            else:
                self._ready.add(timer[2], background=False)
        self._arm()
        self._pump()
