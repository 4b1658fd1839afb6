"""Measures whether the event loop still turns in time."""

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

BEAT_S = 1.0
LAG_LIMIT_S = 10.0
HOLD_LOOK_S = 0.025
"""How often it is looked whether the loop is held; the hold may have begun as long before."""


class Heartbeat:
    """Wakes each second and notes how late it was."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expected = clock() + BEAT_S
        self._lag = 0.0
        self._random = random.SystemRandom()

    async def run(self) -> NoReturn:
        """Beat until cancelled."""
        while True:
            self._expected = self._clock() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lag = self._clock() - self._expected

    def find_lag(self) -> str:
        """Say by how much the loop lags when that is too much; else empty."""
        lag = max(self._lag, self._clock() - self._expected)
        return f"the event loop lags by {lag:.0f} s" if lag > LAG_LIMIT_S else ""

    def spread(self, period: float) -> float:
        """Return the period plus or minus 20 %, so that replicas and restarts do not align."""
        return period * self._random.uniform(0.8, 1.2)


async def measure_holds(clock: Callable[[], float], observe: Callable[[float], None]) -> NoReturn:
    """Tell again and again for how many seconds the loop was late; until cancelled."""
    while True:
        expected = clock() + HOLD_LOOK_S
        await asyncio.sleep(HOLD_LOOK_S)
        observe(max(0.0, clock() - expected))
