"""Slots for requests, in virtual time."""

import asyncio
from collections.abc import Iterable

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.engine.shares import PATIENCE_S
from egress_operator.engine.slots import Slots

pytestmark = pytest.mark.looptime

SECONDS = 1.0
"""Of each request."""


async def request(slots: Slots, name: str, order: list[str], *, urgent: bool = False) -> None:
    async with slots.take(name.partition("/")[0], urgent=urgent):
        order.append(name)
        await asyncio.sleep(SECONDS)


def start(slots: Slots, names: Iterable[str], order: list[str]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(request(slots, name, order)) for name in names]


async def test_lanes_take_turns() -> None:
    slots, order = Slots(1), list[str]()
    await asyncio.gather(*start(slots, ["a/1", "a/2", "a/3", "b/1", "b/2", "c/1"], order))
    assert order == ["a/1", "a/2", "b/1", "c/1", "a/3", "b/2"]


async def test_a_request_beside_a_noisy_lane_waits_for_no_slot() -> None:
    slots, order = Slots(4), list[str]()
    noisy = start(slots, (f"noisy/{number}" for number in range(400)), order)
    await asyncio.sleep(10.5)
    await request(slots, "quiet/1", order)
    assert asyncio.get_running_loop().time() == pytest.approx(11.5)
    for task in noisy:
        task.cancel()


async def test_a_lane_takes_half_of_what_is_free_and_urgent_requests_have_one_more() -> None:
    slots, order = Slots(8), list[str]()
    tasks = start(slots, (f"{lane}/{number}" for lane in "abcde" for number in range(9)), order)
    await asyncio.sleep(SECONDS / 2)
    assert [name.partition("/")[0] for name in order] == [*"aaaa", *"bb", "c", "d"]
    urgent = [
        asyncio.create_task(request(slots, f"{lane}/urgent", order, urgent=True)) for lane in "xy"
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order[8:] == ["x/urgent"]
    for task in (*tasks, *urgent):
        task.cancel()


async def test_requests_of_a_lane_do_not_hold_up_its_urgent_ones() -> None:
    slots, order = Slots(8), list[str]()
    tasks = start(slots, (f"{lane}/{number}" for lane in "ab" for number in range(9)), order)
    await asyncio.sleep(SECONDS / 2)
    assert len(order) < 8
    tasks.append(asyncio.create_task(request(slots, "a/urgent", order, urgent=True)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order[-1] == "a/urgent"
    for task in tasks:
        task.cancel()


async def test_requests_that_hang_hand_on_their_slots_and_are_twice_as_many_at_most() -> None:
    slots, order = Slots(2), list[str]()

    async def hang(name: str) -> None:
        async with slots.take(name):
            order.append(name)
            await asyncio.sleep(100 * PATIENCE_S)

    tasks = [asyncio.create_task(hang(lane)) for lane in "abcdef"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["a", "b"]
    await asyncio.sleep(PATIENCE_S + 0.1)
    assert order == ["a", "b", "c", "d"]
    await asyncio.sleep(50 * PATIENCE_S)
    assert order == ["a", "b", "c", "d"]
    await request(slots, "g/urgent", order, urgent=True)
    assert order[-1] == "g/urgent"
    await asyncio.sleep(50 * PATIENCE_S)
    assert {*"abcdef"} <= {*order}
    for task in tasks:
        task.cancel()


async def test_urgent_requests_go_first_and_leave_one_turn_of_four() -> None:
    slots, order = Slots(1), list[str]()
    tasks = start(slots, (f"a/{number}" for number in range(4)), order)
    await asyncio.sleep(0)
    tasks += [
        asyncio.create_task(request(slots, f"urgent/{number}", order, urgent=True))
        for number in range(5)
    ]
    await asyncio.gather(*tasks)
    assert [name.partition("/")[0] for name in order] == [
        *("a", "urgent", "urgent", "a", "urgent", "urgent", "urgent", "a", "a"),
    ]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=12))
def test_no_slot_is_ever_lost(requests: list[tuple[str, bool, bool]]) -> None:
    """Whoever is cancelled, while it waits, holds a slot, or has just been given one."""

    async def play() -> None:
        slots, order = Slots(2), list[str]()
        tasks = []
        for lane, urgent, _ in requests:
            tasks.append(asyncio.create_task(request(slots, lane, order, urgent=urgent)))
            await asyncio.sleep(0.3)
        for task, (_, _, cancelled) in zip(tasks, requests, strict=True):
            if cancelled:
                task.cancel()
                await asyncio.sleep(0.1)
        await asyncio.gather(*tasks, return_exceptions=True)
        begin = asyncio.get_running_loop().time()
        await asyncio.gather(*start(slots, ["x/1", "y/2", "z/3"], order))
        assert asyncio.get_running_loop().time() - begin == pytest.approx(2 * SECONDS)

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(play())
