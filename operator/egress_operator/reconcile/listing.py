"""Lists of names, asked for when a watch may not have told yet what is gone."""

from collections.abc import Mapping
from dataclasses import dataclass

from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport


@dataclass(frozen=True, slots=True)
class Listing:
    """What one list showed: uids by (namespace, name)."""

    version: str
    """The resource version as of which it is complete."""
    entries: Mapping[tuple[str, str], str]


async def list_entries(
    transport: Transport,
    resource: Resource,
    namespace: str,
    *,
    terminating: bool = False,
    page: int = 200,
) -> Listing:
    """List one resource in a namespace (empty: it has none), keeping uids only. Raises ApiError.

    What is being deleted is listed only with `terminating`.
    """
    entries: dict[tuple[str, str], str] = {}
    token = ""
    while True:
        answer = await transport.list_page(resource, namespace=namespace, limit=page, token=token)
        for item in answer["items"]:
            metadata = item["metadata"]
            if terminating or "deletionTimestamp" not in metadata:
                entries[metadata.get("namespace", ""), metadata["name"]] = metadata["uid"]
        token = answer["metadata"].get("continue") or ""
        if not token:
            return Listing(answer["metadata"]["resourceVersion"], entries)
