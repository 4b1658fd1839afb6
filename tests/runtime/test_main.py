"""The end of a run of kopf."""

import asyncio

from kopf._cogs.aiokits.aiotoggles import ToggleSet
from kopf._cogs.clients.watching import streaming_block
from kopf._cogs.structs.references import Resource

from egress_operator.runtime.main import end_watches

NAMESPACES = Resource(group="", version="v1", plural="namespaces")


async def test_what_a_watch_leaves_behind_ends_too() -> None:
    """One that is cancelled between two events is not closed until the garbage collector comes."""
    mine = asyncio.all_tasks()
    toggles = ToggleSet(any)
    async with asyncio.timeout(10):
        waiters = []
        block = streaming_block(resource=NAMESPACES, namespace=None, operator_paused=toggles)

        async def watch() -> None:
            waiters.append(await block.__aenter__())
            await asyncio.Event().wait()

        watcher = asyncio.create_task(watch(), name="watcher for namespaces.v1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await end_watches(mine)
        assert watcher.cancelled()
        (waiter,) = waiters
        await asyncio.wait([waiter])
        assert waiter.cancelled()
