"""Kubernetes events in virtual time: the budget, and what becomes of those that exceed it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import JsonObject
from egress_operator.reconcile.record import OwnKey, OwnKind
from egress_operator.runtime.event_recorder import (
    BURST,
    NOTE_LIMIT,
    PERIOD_S,
    WAITING_LIMIT,
    EventRecorder,
    build_event,
)

pytestmark = pytest.mark.looptime

POLICY = OwnKey(OwnKind.POLICY, "shop", "payments")
GATEWAY = OwnKey(OwnKind.GATEWAY, "", "shared")


@dataclass
class Recorder:
    """Takes what is posted, with the time; refuses all when it is told to."""

    posts: list[tuple[float, str]] = field(default_factory=list)
    refuses: bool = False

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        assert (resource.plural, namespace) == ("events", "shop")
        self.posts.append((asyncio.get_running_loop().time(), body["note"]))
        if self.refuses:
            raise ApiError(403, "Forbidden")
        return body

    def notes(self) -> list[str]:
        return [note for _, note in self.posts]


@asynccontextmanager
async def announcing(recorder: Recorder) -> AsyncIterator[Callable[..., None]]:
    """Run an event recorder; the function announces a message, or each number of a range."""
    events = EventRecorder(
        recorder,  # type: ignore[arg-type]  # it needs this one call
        clock=asyncio.get_running_loop().time,
    )

    def announce(*messages: object) -> None:
        for message in messages:
            events.announce(POLICY, "u", ("Warning", "Refused", str(message)))

    running = asyncio.create_task(events.run())
    try:
        yield announce
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_burst_goes_at_once_and_the_rest_by_and_by() -> None:
    recorder = Recorder()
    async with announcing(recorder) as announce:
        begin = asyncio.get_running_loop().time()
        announce(*range(BURST + 10))
        await asyncio.sleep(PERIOD_S / 2)
        assert recorder.notes() == [str(number) for number in range(BURST)]
        # A wait may end a rounding error too early for the budget, and is then taken once more.
        await asyncio.sleep(2 * 10 * PERIOD_S)
    assert recorder.notes() == [str(number) for number in range(BURST + 10)]
    for number, (when, _) in enumerate(recorder.posts[BURST:], start=1):
        assert round(when - begin, 6) >= round(number * PERIOD_S, 6)


async def test_the_budget_comes_back_and_does_not_pile_up() -> None:
    recorder = Recorder()
    async with announcing(recorder) as announce:
        announce(*range(BURST))
        await asyncio.sleep(BURST * PERIOD_S / 2)
        announce(*range(BURST))
        await asyncio.sleep(PERIOD_S / 2)
        assert len(recorder.posts) == BURST + BURST // 2
        # A day later there is one burst in hand, not more.
        await asyncio.sleep(86400)
        recorder.posts.clear()
        announce(*range(2 * BURST))
        await asyncio.sleep(PERIOD_S / 2)
        assert len(recorder.posts) == BURST


async def test_the_oldest_that_waits_gives_way() -> None:
    recorder = Recorder()
    async with announcing(recorder) as announce:
        announce(*range(WAITING_LIMIT + 7))
        await asyncio.sleep(WAITING_LIMIT * PERIOD_S)
    assert recorder.notes() == [str(number) for number in range(7, WAITING_LIMIT + 7)]


async def test_a_refused_event_is_not_tried_again_and_holds_nobody_up() -> None:
    recorder = Recorder(refuses=True)
    async with announcing(recorder) as announce:
        announce("first", "second")
        await asyncio.sleep(1)
        assert recorder.notes() == ["first", "second"]
        recorder.refuses = False
        announce("third")
        await asyncio.sleep(3600)
    assert recorder.notes() == ["first", "second", "third"]


async def test_a_long_note_is_cut_between_characters() -> None:
    recorder = Recorder()
    async with announcing(recorder) as announce:
        announce("a" + "é" * NOTE_LIMIT)
        await asyncio.sleep(1)
    (note,) = recorder.notes()
    assert note == "a" + "é" * ((NOTE_LIMIT - 1) // 2)
    assert len(note.encode()) <= NOTE_LIMIT


@pytest.mark.parametrize(
    ("key", "namespace", "place"),
    [(POLICY, "shop", {"namespace": "shop"}), (GATEWAY, "default", {})],
)
async def test_an_event_refers_to_its_object(
    key: OwnKey, namespace: str, place: dict[str, str]
) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    event = build_event(key, "u", ("Normal", "Applied", "done"), at, "one")
    assert event["metadata"]["namespace"] == namespace
    assert event["metadata"]["name"].startswith(f"{key.name}.")
    assert event["regarding"] == {
        "apiVersion": "egress-operator.io/v1alpha1",
        "kind": str(key.kind),
        "name": key.name,
        "uid": "u",
        **place,
    }
