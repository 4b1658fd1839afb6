"""kopf keeps nothing of objects in memory."""

from egress_operator.runtime.slim import kopf
from egress_operator.runtime.storage import NoMemories


async def test_nothing_is_remembered_of_an_object() -> None:
    memories = NoMemories()
    body = kopf.RawBody(metadata={"uid": "one"})
    first = await memories.recall(body, noticed_by_listing=True)
    assert first.noticed_by_listing
    assert await memories.recall(body) is not first
    assert not list(memories.iter_all_memories())
    await memories.forget(body)
