"""How the watches of kopf end: all of them, and with nothing left behind."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any
from weakref import WeakSet

from egress_operator.runtime.slim import kopf

_HOME = f"{Path(kopf.__file__).parent}{os.sep}"
CANCEL_AGAIN_S = 0.5
STREAM = "infinite_watch"
"""The function of kopf whose generator a watch reads."""

Streams = WeakSet[AsyncGenerator[Any, Any]]
"""Of each watch the outermost generator."""


@contextmanager
def collect_streams() -> Iterator[Streams]:
    """Collect the streams of the watches that begin in this block. Run it in the loop."""
    streams = Streams()
    hooks = sys.get_asyncgen_hooks()

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        if isinstance(generator, AsyncGeneratorType) and generator.ag_code.co_name == STREAM:
            streams.add(generator)
        if hooks.firstiter is not None:
            hooks.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=note)
    try:
        yield streams
    finally:
        sys.set_asyncgen_hooks(firstiter=hooks.firstiter)


class TasksOfOthers(Collection[asyncio.Task[Any]]):
    """All tasks that are not kopf's: at its end kopf cancels every task of the loop but those."""

    def __contains__(self, task: object) -> bool:
        """Tell by where the task's code is."""
        coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
        code = getattr(coroutine, "cr_code", None)
        return code is None or not code.co_filename.startswith(_HOME)

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        """Give those of the running loop."""
        return (task for task in asyncio.all_tasks() if task in self)

    def __len__(self) -> int:
        """Count those of the running loop."""
        return sum(1 for _ in self)


async def end_watches(streams: Streams) -> None:
    """Cancel the watches of kopf that are left, until all have ended, and close their streams.

    When one of them fails it leaves the others running, and then waits for them. Only these: a
    watch takes a cancellation for a pause if what it waits for is cancelled as well. Which may
    happen without us, so one that is still there after a while is cancelled again.

    A watch that is cancelled between two events does not close its stream. What that waits for
    would go on, and kopf gives it 5 s, more than there are. The loop would close it at its end, but
    with all that it consists of at once, which may fail.
    """
    while watches := _find_watches():
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches, timeout=CANCEL_AGAIN_S)
    for stream in list(streams):
        await stream.aclose()


def _find_watches() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("watcher for ")}
