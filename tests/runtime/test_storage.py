"""kopf keeps nothing of objects in memory."""

import asyncio
from typing import Any

import pytest
from kopf._cogs.structs.ephemera import AnyMemo
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.processing import process_resource_event

from egress_operator.runtime.slim import ResourceMemories, kopf
from egress_operator.runtime.storage import NoMemories


async def test_nothing_is_remembered_of_an_object() -> None:
    memories = NoMemories()
    body = kopf.RawBody(metadata={"uid": "one"})
    first = await memories.recall(body, noticed_by_listing=True)
    assert first.noticed_by_listing
    assert await memories.recall(body) is not first
    assert not list(memories.iter_all_memories())
    await memories.forget(body)


@pytest.mark.parametrize(("memories", "count"), [(ResourceMemories(), 1), (NoMemories(), 0)])
async def test_kopf_asks_for_the_memory_of_an_object_as_it_is_replaced(
    memories: ResourceMemories, count: int
) -> None:
    """Both are private to kopf: another version may ask in another way, and remember again."""
    policy: Any = {"metadata": {"uid": "one", "name": "payments", "namespace": "shop"}}
    await process_resource_event(
        lifecycle=kopf.lifecycles.all_at_once,
        indexers=OperatorIndexers(),
        registry=kopf.OperatorRegistry(),
        settings=kopf.OperatorSettings(),
        memories=memories,
        memobase=AnyMemo(kopf.Memo()),
        resource=kopf.Resource("egress-operator.io", "v1alpha1", "egresspolicies"),
        raw_event={"type": "ADDED", "object": policy},
        event_queue=asyncio.Queue(),
    )
    assert len([*memories.iter_all_memories()]) == count
