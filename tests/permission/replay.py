"""What happened to objects since a moment, in the order in which etcd made it happen, without gaps.

The API server tells a watch everything since a version that is not older than five minutes. So the
watch begins when all is over, and nothing is missed between two looks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from testbed.client import Client, Object

WATCH_S = 1
Kind = tuple[str, str]


@dataclass(frozen=True)
class Step:
    """One change, and all objects of the kinds that stand after it."""

    change: str
    """For messages: what was done to which object."""
    standing: dict[str, Object]
    """By uid."""


def list_standing(client: Client, kinds: Iterable[Kind]) -> tuple[dict[Kind, str], list[Object]]:
    """Return the versions from which to replay, and what stands now."""
    versions, items = {}, []
    for kind in kinds:
        page = client.list_page(*kind)
        versions[kind] = page["metadata"]["resourceVersion"]
        items += [_name_kind(item, kind) for item in page["items"]]
    return versions, items


def replay(client: Client, versions: dict[Kind, str], items: list[Object]) -> Iterator[Step]:
    """Yield what stood at first, and then after each change, in order."""
    standing = {item["metadata"]["uid"]: item for item in items}
    yield Step("at first", dict(standing))
    changes = [
        (event.type, _name_kind(event.object, kind))
        for kind, version in versions.items()
        for event in client.watch(*kind, resource_version=version, timeout_s=WATCH_S)
    ]
    for change, item in sorted(changes, key=lambda change: _read_revision(change[1])):
        metadata = item["metadata"]
        if change == "DELETED":
            standing.pop(metadata["uid"], None)
        else:
            standing[metadata["uid"]] = item
        text = f"{change} {item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        yield Step(text, dict(standing))


def _name_kind(item: Object, kind: Kind) -> Object:
    return {**item, "apiVersion": kind[0], "kind": kind[1]}


def _read_revision(item: Object) -> int:
    """Read when etcd made a change; that of a deletion is its own. Pure."""
    return int(item["metadata"]["resourceVersion"])
