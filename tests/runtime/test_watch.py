"""The end of the watches of kopf."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from kopf._cogs.aiokits.aiotoggles import ToggleSet
from kopf._cogs.clients import watching
from kopf._cogs.configs.configuration import OperatorSettings
from kopf._cogs.structs.references import Resource

from egress_operator.runtime.watch import collect_streams, end_watches

NAMESPACES = Resource(group="", version="v1", plural="namespaces")
WATCHES = 20


async def list_one(**_: object) -> AsyncIterator[watching.Bookmark]:
    yield watching.Bookmark.LISTED


async def watch(toggles: ToggleSet) -> None:
    """Watch as kopf does: in a frame that knows its own task, so that only a collection ends it."""
    me = asyncio.current_task()
    assert me is not None
    stream = watching.infinite_watch(
        settings=OperatorSettings(), resource=NAMESPACES, namespace=None, operator_paused=toggles
    )
    async for _ in stream:
        await asyncio.Event().wait()


def test_what_watches_leave_behind_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is cancelled between two events does not close its stream."""
    monkeypatch.setattr(watching, "continuous_watch", list_one)
    trouble = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: trouble.append(what))
        mine = asyncio.all_tasks()
        toggles = ToggleSet(any)
        async with asyncio.timeout(10):
            with collect_streams() as streams:
                watches = [
                    asyncio.create_task(watch(toggles), name=f"watcher for {NAMESPACES}")
                    for _ in range(WATCHES)
                ]
                await asyncio.sleep(0.1)
                await end_watches(streams)
            assert all(task.cancelled() for task in watches)
            # What a stream has from others is closed in tasks of the loop.
            if left := asyncio.all_tasks() - mine:
                await asyncio.wait(left)

    asyncio.run(run())
    assert not trouble
