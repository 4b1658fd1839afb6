"""When what failed is tried again before its back-off ends, in virtual time."""

import asyncio
from itertools import pairwise

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.queue import BackOff, Queue
from egress_operator.reconcile.recovery import PROBE_MAX_S, PROBE_S, Recovery

pytestmark = pytest.mark.looptime

ANSWER = ApiError(500, "InternalError", "failed calling webhook")
LATE = ApiError(0, "Timeout", "no whole answer within 15 s")
NOBODY = ApiError(0, "ConnectionFailed")
HOURS_S = 3 * 3600.0


class Bench:
    """A queue whose keys fail while there is an error; its own back-off is endless."""

    def __init__(self) -> None:
        self.error: Exception | None = ANSWER
        self.tries: list[tuple[str, float]] = []
        self.queue = Queue[str](
            self._work,
            lane=lambda key: key,
            back_off=BackOff(first=1e6, last=1e6, jitter=0),
            on_failure=lambda key, error, _: self.recovery.note(key, error),
        )
        self.recovery = Recovery(self.queue)
        self.queue.start()

    async def _work(self, key: str) -> None:
        self.tries.append((key, asyncio.get_running_loop().time()))
        if self.error is not None:
            raise self.error
        self.recovery.note_end(key)

    async def fail(self, *keys: str) -> None:
        for key in keys:
            self.queue.add(key)
        await asyncio.sleep(0.01)
        self.tries.clear()

    def list_tries(self, key: str) -> list[float]:
        return [at for each, at in self.tries if each == key]

    async def stop(self) -> None:
        self.recovery.stop()
        await self.queue.stop(0)


@pytest.mark.parametrize("error", [ANSWER, LATE], ids=["answer", "late"])
async def test_one_of_those_that_got_an_answer_is_tried_less_and_less(error: Exception) -> None:
    bench = Bench()
    bench.error = error
    await bench.fail("a", "b")
    await asyncio.sleep(PROBE_S + 1)
    assert len(bench.tries) == 1
    await asyncio.sleep(HOURS_S)
    times = [at for _, at in bench.tries]
    pauses = [round(later - at, 3) for at, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert max(pauses) == pytest.approx(PROBE_MAX_S, abs=1)
    assert abs(len(bench.list_tries("a")) - len(bench.list_tries("b"))) <= 1
    await bench.stop()


async def test_all_are_tried_when_one_succeeds_and_the_next_outage_is_a_new_one() -> None:
    bench = Bench()
    await bench.fail("a", "b", "c")
    await asyncio.sleep(HOURS_S)
    bench.error = None
    bench.tries.clear()
    bench.recovery.note_success()
    await asyncio.sleep(0.01)
    assert {key for key, _ in bench.tries} == {"a", "b", "c"}
    await asyncio.sleep(PROBE_S)
    bench.error = ANSWER
    await bench.fail("d")
    await asyncio.sleep(PROBE_S + 1)
    assert len(bench.list_tries("d")) == 1
    await bench.stop()


async def test_what_fails_although_others_have_just_succeeded_waits_out_its_back_off() -> None:
    bench = Bench()
    bench.recovery.note_success()
    await bench.fail("a")
    await asyncio.sleep(HOURS_S)
    assert not bench.tries
    await bench.stop()


async def test_what_is_forgotten_is_tried_no_more_and_the_next_outage_is_a_new_one() -> None:
    bench = Bench()
    await bench.fail("a")
    bench.recovery.forget("a")
    bench.queue.forget("a")
    await asyncio.sleep(HOURS_S)
    assert not bench.tries
    await bench.fail("b")
    await asyncio.sleep(PROBE_S + 1)
    assert len(bench.list_tries("b")) == 1
    await bench.stop()


async def test_an_outage_of_a_single_key_that_is_not_wanted_any_more_is_over() -> None:
    """It was tried, there was nothing to do, and nobody told of a success."""
    bench = Bench()
    await bench.fail("a")
    bench.error = None
    await asyncio.sleep(HOURS_S)
    assert len(bench.list_tries("a")) == 1
    bench.error = ANSWER
    await bench.fail("b")
    await asyncio.sleep(PROBE_S + 1)
    assert len(bench.list_tries("b")) == 1
    await bench.stop()


async def test_what_nobody_answered_is_tried_when_the_api_server_is_back() -> None:
    bench = Bench()
    bench.error = NOBODY
    await bench.fail("a", "b")
    await asyncio.sleep(HOURS_S)
    assert not bench.tries
    bench.recovery.resume()
    await asyncio.sleep(0.01)
    assert len(bench.tries) == 2
    await bench.stop()


async def test_a_key_that_has_nothing_to_do_any_more_hands_on_to_the_next() -> None:
    bench = Bench()
    await bench.fail("a", "b", "c")
    bench.error = None
    bench.recovery.probe()
    await asyncio.sleep(0.01)
    assert {key for key, _ in bench.tries} == {"a", "b", "c"}
    await bench.stop()


async def test_nothing_is_tried_after_the_end() -> None:
    bench = Bench()
    bench.recovery.stop()
    await bench.fail("a")
    await asyncio.sleep(HOURS_S)
    assert not bench.tries
    await bench.stop()
