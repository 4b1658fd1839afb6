"""The heartbeat in virtual time: how late the loop is, and how periods are spread."""

import asyncio
import time

import pytest

from egress_operator.runtime.heartbeat import HOLD_LOOK_S, LAG_LIMIT_S, Heartbeat, measure_holds

DRAWS = 1000


def test_a_period_is_spread_by_a_fifth_to_either_side() -> None:
    heartbeat = Heartbeat(time.monotonic)
    periods = [heartbeat.spread(600) for _ in range(DRAWS)]
    assert 480 <= min(periods) < 500
    assert 700 < max(periods) <= 720
    # Two processes that start together do not stay together.
    other = Heartbeat(time.monotonic)
    assert [other.spread(600) for _ in range(DRAWS)] != periods


@pytest.mark.looptime
async def test_a_loop_that_stands_still_is_told() -> None:
    loop = asyncio.get_running_loop()
    ahead = 0.0
    heartbeat = Heartbeat(lambda: loop.time() + ahead)
    running = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(60)
    assert heartbeat.find_lag() == ""
    # What a probe sees while something blocks the loop, and after it.
    ahead = LAG_LIMIT_S + 3
    assert "lags by" in heartbeat.find_lag()
    await asyncio.sleep(5)
    assert heartbeat.find_lag() == ""
    running.cancel()


@pytest.mark.looptime
async def test_a_held_loop_is_measured() -> None:
    loop = asyncio.get_running_loop()
    ahead = 0.0
    seen: list[float] = []
    running = asyncio.create_task(measure_holds(lambda: loop.time() + ahead, seen.append))
    await asyncio.sleep(HOLD_LOOK_S * 4.5)
    assert seen == pytest.approx([0.0] * 4)
    ahead = 0.4
    await asyncio.sleep(HOLD_LOOK_S * 2)
    running.cancel()
    assert seen[4:] == pytest.approx([0.4, 0.0])
