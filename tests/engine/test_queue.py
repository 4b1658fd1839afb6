"""The queue in virtual time: hours pass in milliseconds, and to the microsecond."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.engine.failure import ApiError
from egress_operator.engine.queue import BackOff, Queue

EXACT = BackOff(jitter=0.0)

pytestmark = pytest.mark.looptime


def read_lane(key: str) -> str:
    return key.partition("/")[0]


@dataclass
class Recorder:
    """A handler that takes `seconds`, answers by `answers`, and notes when it ran."""

    seconds: float = 0.0
    answers: dict[str, list[float | Exception | None]] = field(default_factory=dict)
    runs: list[tuple[str, float]] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    most: int = 0

    async def __call__(self, key: str) -> float | None:
        self.runs.append((key, asyncio.get_running_loop().time()))
        self.running[key] += 1
        assert self.running[key] == 1, "two workers on one key"
        self.most = max(self.most, self.running.total())
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running[key] -= 1
        answers = self.answers.get(key)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def times(self, key: str) -> list[float]:
        return [round(when, 6) for name, when in self.runs if name == key]

    def order(self) -> list[str]:
        return [name for name, _ in self.runs]


def build_queue(handler: Callable[[str], Awaitable[float | None]], **options: object) -> Queue[str]:
    return Queue(handler, lane=read_lane, back_off=EXACT, **options)  # type: ignore[arg-type]  # passed through


async def test_a_key_added_often_runs_once() -> None:
    recorder = Recorder()
    queue = build_queue(recorder)
    for _ in range(10):
        queue.add("a/1")
    queue.start()
    await queue.join()
    assert recorder.order() == ["a/1"]
    assert (queue.depth, queue.busy, queue.waiting) == (0, 0, 0)


async def test_adds_during_a_run_make_exactly_one_more() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(0.5)
    for _ in range(5):
        queue.add("a/1")
    await asyncio.sleep(0.4)
    assert recorder.times("a/1") == [0.0]
    await queue.join()
    assert recorder.times("a/1") == [0.0, 1.0]


async def test_back_off_doubles_up_to_its_end_and_is_reset_by_success() -> None:
    failures: list[float | Exception | None] = [OSError()] * 10
    recorder = Recorder(answers={"a/1": [*failures, None, OSError(), None]})
    seen: list[float] = []
    queue = build_queue(recorder, on_failure=lambda _key, _error, delay: seen.append(delay))
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(300)
    assert seen == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert queue.failures("a/1") == 0
    queue.add("a/1")
    await asyncio.sleep(10)
    assert seen[10:] == [0.25]
    assert len(recorder.runs) == 13


def test_jitter_spreads_within_its_share() -> None:
    rng = random.Random(1)  # noqa: S311 - the same delays in every run
    delays = [BackOff().compute_delay(1, rng) for _ in range(1000)]
    assert min(delays) >= 0.2
    assert max(delays) <= 0.3
    assert max(delays) - min(delays) > 0.09
    assert BackOff().compute_delay(10_000, rng) <= 72


async def test_retry_after_is_a_minimum_that_no_event_shortens() -> None:
    recorder = Recorder(answers={"a/1": [ApiError(429, "TooManyRequests", retry_after=7)]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(3)
    queue.add("a/1")
    await asyncio.sleep(30)
    assert recorder.times("a/1") == [0.0, 7.0]


async def test_a_short_retry_after_does_not_shorten_the_back_off() -> None:
    error = ApiError(503, "ServiceUnavailable", retry_after=0.0)
    recorder = Recorder(answers={"a/1": [error, error, error]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(10)
    assert recorder.times("a/1") == [0.0, 0.25, 0.75, 1.75]


async def test_an_event_ends_a_back_off_but_not_its_growth() -> None:
    recorder = Recorder(answers={"a/1": [OSError()] * 6})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(4)  # runs at 0, .25, .75, 1.75, 3.75; the next is due at 7.75
    queue.add("a/1")
    await asyncio.sleep(20)
    assert recorder.times("a/1") == [0.0, 0.25, 0.75, 1.75, 3.75, 4.0, 12.0]


@pytest.mark.parametrize(("hurry", "second"), [(True, 2.0), (False, 5.0)])
async def test_an_event_brings_a_settle_wait_forward_or_not(hurry: bool, second: float) -> None:  # noqa: FBT001 - a parameter of the test
    recorder = Recorder(answers={"a/1": [5.0]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(2)
    queue.add("a/1", hurry=hurry)
    await asyncio.sleep(20)
    assert recorder.times("a/1") == [0.0, second]


@pytest.mark.parametrize(("hurry", "second"), [(True, 1.0), (False, 6.0)])
async def test_an_event_during_the_run_that_asks_for_a_wait(hurry: bool, second: float) -> None:  # noqa: FBT001 - a parameter of the test
    recorder = Recorder(seconds=1, answers={"a/1": [5.0]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(0.5)
    queue.add("a/1", hurry=hurry)
    await asyncio.sleep(20)
    assert recorder.times("a/1") == [0.0, second]


async def test_an_event_during_a_failing_run_does_not_skip_the_back_off() -> None:
    recorder = Recorder(seconds=1, answers={"a/1": [OSError()]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(0.5)
    queue.add("a/1")
    await asyncio.sleep(20)
    assert recorder.times("a/1") == [0.0, 1.25]


async def test_the_earlier_of_two_waits_counts() -> None:
    recorder = Recorder()
    queue = build_queue(recorder)
    queue.start()
    queue.add_after("a/1", 10)
    queue.add_after("a/1", 3)
    queue.add_after("a/1", 7)
    await asyncio.sleep(60)
    assert recorder.times("a/1") == [3.0]
    assert queue.waiting == 0


async def test_looks_that_are_asked_for_later_do_not_shorten_a_back_off() -> None:
    recorder = Recorder(answers={"a/1": [OSError()] * 1000})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    for _ in range(600):
        await asyncio.sleep(0.5)
        queue.add_after("a/1", 0.2)
    doubled = [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75]
    assert recorder.times("a/1") == [*doubled, 63.75, 123.75, 183.75, 243.75]


async def test_a_noisy_lane_does_not_hold_up_a_quiet_one() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=4)
    queue.start()
    for number in range(1000):
        queue.add(f"noisy/{number}")
    await asyncio.sleep(10.5)
    queue.add("quiet/1")
    await asyncio.sleep(2)
    assert recorder.times("quiet/1") == [11.0]
    await queue.stop(0)


async def test_lanes_take_turns() -> None:
    recorder = Recorder()
    queue = build_queue(recorder, workers=1)
    for key in ("a/1", "a/2", "a/3", "b/1", "c/1", "c/2"):
        queue.add(key)
    queue.start()
    await queue.join()
    assert recorder.order() == ["a/1", "b/1", "c/1", "a/2", "c/2", "a/3"]


async def test_a_lane_leaves_workers_to_others() -> None:
    recorder = Recorder(seconds=10)
    queue = build_queue(recorder, workers=8, shared=True)
    queue.start()
    for lane in "abcd":
        for number in range(20):
            queue.add(f"{lane}/{number}")
    await asyncio.sleep(1)
    assert Counter(map(read_lane, recorder.order())) == {"a": 4, "b": 2, "c": 1, "d": 1}
    await asyncio.sleep(10)
    assert set(map(read_lane, recorder.order()[8:])) == set("abcd")
    await queue.stop(0)


async def test_none_is_a_key_and_a_lane_like_any_other() -> None:
    runs: list[None] = []

    async def handler(key: None) -> None:
        runs.append(key)

    queue = Queue[None](handler, lane=lambda key: key, workers=1, shared=True, back_off=EXACT)
    queue.start()
    queue.add(None)
    await queue.join()
    assert runs == [None]


async def test_a_lane_alone_with_one_worker_is_worked_on() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=1, shared=True)
    for number in range(3):
        queue.add(f"a/{number}")
    queue.start()
    await queue.join()
    assert len(recorder.runs) == 3


async def test_background_comes_behind_but_is_never_starved() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=1)
    for number in range(8):
        queue.add(f"a/{number}", background=True)
    for number in range(8):
        queue.add(f"b/{number}")
    queue.start()
    await asyncio.sleep(7.5)
    assert [read_lane(key) for key in recorder.order()] == list("bbbabbba")
    await queue.stop(0)


async def test_a_plain_add_moves_a_key_to_the_front_rows() -> None:
    recorder = Recorder()
    queue = build_queue(recorder, workers=1)
    queue.add("a/late", background=True)
    queue.add("a/wanted", background=True)
    queue.add("a/wanted")
    queue.start()
    await queue.join()
    assert recorder.order() == ["a/wanted", "a/late"]


async def test_at_most_so_many_workers() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=3)
    for number in range(10):
        queue.add(f"a/{number}")
    assert queue.depth == 10
    queue.start()
    await queue.join()
    assert recorder.most == 3
    assert queue.depth == 0


async def test_stop_lets_running_work_end() -> None:
    recorder = Recorder(seconds=3)
    queue = build_queue(recorder, workers=1)
    queue.start()
    queue.add("a/1")
    queue.add("a/2")
    await asyncio.sleep(1)
    start = asyncio.get_running_loop().time()
    await queue.stop(5)
    assert asyncio.get_running_loop().time() - start == pytest.approx(2)
    assert recorder.order() == ["a/1"]
    await asyncio.sleep(100)
    assert recorder.order() == ["a/1"]


async def test_stop_cancels_what_does_not_end() -> None:
    recorder = Recorder(seconds=1000)
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(1)
    await queue.stop(5)
    assert asyncio.get_running_loop().time() == pytest.approx(6)
    assert recorder.running["a/1"] == 0


async def test_a_key_whose_work_was_cancelled_from_within_is_not_lost() -> None:
    runs = 0

    async def handler(_key: str) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise asyncio.CancelledError

    queue = build_queue(handler)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(5)
    assert runs == 2


async def test_a_key_may_change_its_lane_and_become_urgent_while_it_waits() -> None:
    handler, moved = Recorder(1.0), set[str]()
    queue: Queue[str] = Queue(
        handler,
        lane=lambda key: "moved" if key in moved else read_lane(key),
        urgent=lambda key: key in moved,
        workers=1,
    )
    for key in ("a/1", "a/2", "a/3", "a/4"):
        queue.add(key)
    moved |= {"a/2", "a/4"}
    queue.forget("a/2")
    queue.add("a/4")
    queue.start()
    await queue.join()
    assert handler.order() == ["a/4", "a/1", "a/3"]


async def test_forget_ends_waits_and_failures() -> None:
    recorder = Recorder(answers={"a/1": [OSError()]})
    queue = build_queue(recorder)
    queue.start()
    queue.add("a/1")
    await asyncio.sleep(0.1)
    assert (queue.waiting, queue.failures("a/1")) == (1, 1)
    queue.forget("a/1")
    await asyncio.sleep(60)
    assert recorder.times("a/1") == [0.0]
    assert (queue.waiting, queue.failures("a/1")) == (0, 0)


async def test_nothing_is_remembered_of_a_key_that_is_done() -> None:
    recorder = Recorder()
    queue = build_queue(recorder)
    queue.start()
    for number in range(1000):
        queue.add(f"n{number}/1")
        queue.add_after(f"n{number}/2", 5)
        queue.add(f"n{number}/2")
    await asyncio.sleep(60)
    assert len(recorder.runs) == 2000
    assert not queue._items  # noqa: SLF001 - what must not grow is private
    assert len(queue._timers) <= 64  # noqa: SLF001 - same


async def test_urgent_keys_go_first_and_have_a_worker_of_their_own() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=2, urgent=lambda key: read_lane(key) == "urgent")
    queue.start()
    for number in range(300):
        queue.add(f"{number}/1")
    await asyncio.sleep(0.5)
    for number in range(3):
        queue.add(f"urgent/{number}", background=True)
    await asyncio.sleep(2)
    # The first at once, though both workers are busy; the others before all that waited longer.
    assert [recorder.times(f"urgent/{number}") for number in range(3)] == [[0.5], [1.0], [1.0]]
    assert recorder.most == 3
    await queue.stop(0)


async def test_urgent_keys_do_not_wait_for_the_others_of_their_lane_and_share_among_lanes() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=4, shared=True, urgent=lambda key: "!" in key)
    for number in range(9):
        queue.add(f"a/{number}")
    queue.start()
    for number in range(9):
        queue.add(f"a/!{number}")
    queue.add("b/!0")
    await queue.join()
    # Two of four workers have ordinary keys of the lane; of the others and the one that is only
    # for urgent keys, two take urgent ones of the same lane, and one that of another.
    begun = sorted(key for key, time in recorder.runs if time == 0)
    assert begun == ["a/!0", "a/!1", "a/0", "a/1", "b/!0"]


async def test_what_is_not_urgent_never_takes_the_worker_of_urgent_keys() -> None:
    recorder = Recorder(seconds=1)
    queue = build_queue(recorder, workers=1, urgent=lambda key: read_lane(key) == "urgent")
    for number in range(3):
        queue.add(f"a/{number}")
    queue.add("urgent/1")
    queue.start()
    await queue.join()
    assert recorder.order() == ["urgent/1", "a/0", "a/1", "a/2"]
    assert recorder.most == 1


KEYS = st.sampled_from([f"{lane}/{number}" for lane in "abc" for number in range(3)])
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "lazy", "background", "after", "forget"]),
        KEYS,
        st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0]),
    ),
    max_size=40,
)
ANSWERS = st.lists(st.sampled_from(["done", "done", "wait", "fail", "throttle"]), max_size=40)


async def test_a_rounding_error_is_no_wait() -> None:
    """34.5 is over at 34.5, and not by a wait that is too short to end later."""
    runs: list[float] = []

    async def handler(_: str) -> float | None:
        now = asyncio.get_running_loop().time()
        runs.append(now)
        assert len(runs) < 10
        return 7e-15 if now < 34.5005 else None

    queue = build_queue(handler)
    queue.start()
    await asyncio.sleep(34.5)
    queue.add("shop/a")
    await asyncio.sleep(1.0)
    assert len(runs) == 2


@settings(max_examples=300, deadline=None)
@given(actions=ACTIONS, answers=ANSWERS, workers=st.integers(1, 4), shared=st.booleans())
def test_no_add_is_ever_lost(
    actions: list[tuple[str, str, float]],
    answers: list[str],
    workers: int,
    shared: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    loop = looptime.new_event_loop(start=0)
    try:
        loop.run_until_complete(_play(actions, list(answers), workers, shared=shared))
    finally:
        loop.close()


async def _play(
    actions: list[tuple[str, str, float]], answers: list[str], workers: int, *, shared: bool
) -> None:
    loop = asyncio.get_running_loop()
    busy: Counter[str] = Counter()
    owed: dict[str, bool] = defaultdict(bool)

    async def handler(key: str) -> float | None:
        owed[key] = False
        busy[key] += 1
        assert busy[key] == 1
        assert busy.total() <= workers
        await asyncio.sleep(0.5)
        busy[key] -= 1
        answer = answers.pop(0) if answers else "done"
        owed[key] |= answer != "done"
        if answer == "fail":
            raise OSError
        if answer == "throttle":
            raise ApiError(429, "TooManyRequests", retry_after=2.0)
        return 1.0 if answer == "wait" else None

    rng = random.Random(0)  # noqa: S311 - the same delays in every run
    queue = Queue(handler, lane=read_lane, workers=workers, shared=shared, rng=rng)
    queue.start()
    for action, key, pause in actions:
        if action == "forget":
            queue.forget(key)
            owed[key] = False
        elif action == "after":
            queue.add_after(key, pause)
            owed[key] = True
        else:
            queue.add(key, hurry=action != "lazy", background=action == "background")
            owed[key] = True
        await asyncio.sleep(pause)
    await asyncio.sleep(3600)
    assert loop.time() >= 3600
    assert not any(owed.values())
    assert (queue.depth, queue.busy, queue.waiting) == (0, 0, 0)
    assert not queue._items  # noqa: SLF001 - what must not grow is private
    await queue.stop(0)
