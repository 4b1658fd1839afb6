"""Lists that are compared with a cache: what a watch has not told yet, or never will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport


@dataclass(frozen=True, slots=True)
class Listing:
    """What one list showed: uid and version by (namespace, name)."""

    version: int
    entries: Mapping[tuple[str, str], tuple[str, int]]


async def list_entries(
    transport: Transport,
    resource: Resource,
    scopes: Sequence[str],
    *,
    terminating: bool = False,
    page: int = 200,
) -> Listing:
    """List one resource in every scope, keeping names and versions only. Raises ApiError.

    What is being deleted is listed only with `terminating`.
    """
    entries: dict[tuple[str, str], tuple[str, int]] = {}
    versions: list[int] = []
    for scope in scopes:
        token = ""
        while True:
            answer = await transport.list_page(resource, namespace=scope, limit=page, token=token)
            for item in answer["items"]:
                metadata = item["metadata"]
                if not terminating and "deletionTimestamp" in metadata:
                    continue
                key = (metadata.get("namespace", ""), metadata["name"])
                entries[key] = (metadata["uid"], int(metadata["resourceVersion"]))
            token = answer["metadata"].get("continue") or ""
            if not token:
                versions.append(int(answer["metadata"]["resourceVersion"]))
                break
    return Listing(min(versions), entries)
