"""Policies and EgressGateways, as kopf's events and our own status writes show them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson

from egress_operator.plan.source import GatewaySource, PolicySource
from egress_operator.reconcile.listing import Listing

PolicyKey = tuple[str, str]
"""(namespace, name)."""

S = TypeVar("S", PolicySource, GatewaySource)

PAUSED_ANNOTATION = "egress-operator.io/paused"


@dataclass(frozen=True, slots=True)
class Record(Generic[S]):
    """An object of ours with the status that the API server has of it."""

    source: S
    version: int
    """metadata.resourceVersion."""
    status_text: bytes
    """The status as JSON, empty for none: a sixth of what it takes as objects."""
    deleting: bool = False
    """Its deletion is under way and waits for a finalizer: it counts as gone. Else its objects,
    whose owner the garbage collector takes away in an orphaning deletion, would get it back."""

    def says_the_same(self, other: "Record[S]") -> bool:
        """Whether plans come out the same with the other one."""
        return (self.source, self.deleting) == (other.source, other.deleting)

    @property
    def status(self) -> dict[str, Any]:
        """Read the status anew; empty for none."""
        return dict(orjson.loads(self.status_text)) if self.status_text else {}


PolicyRecord = Record[PolicySource]
GatewayRecord = Record[GatewaySource]


def parse_policy(body: Mapping[str, Any]) -> PolicyRecord:
    """Take what counts from an EgressPolicy as the API server sent it. Pure."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    source = PolicySource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        spec=body.get("spec") or {},
        paused=str(annotations.get(PAUSED_ANNOTATION, "")).lower() == "true",
    )
    return _build_record(source, body)


def parse_gateway(body: Mapping[str, Any]) -> GatewayRecord:
    """Take what counts from an EgressGateway as the API server sent it. Pure."""
    metadata = body["metadata"]
    source = GatewaySource(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=metadata.get("creationTimestamp", ""),
        spec=body.get("spec") or {},
    )
    return _build_record(source, body)


def _build_record(source: S, body: Mapping[str, Any]) -> Record[S]:
    metadata, status = body["metadata"], body.get("status")
    # A copy, because orjson keeps a buffer of 4 KiB behind each of its results.
    text = bytes(memoryview(orjson.dumps(status))) if status else b""
    deleting = "deletionTimestamp" in metadata
    return Record(source, int(metadata["resourceVersion"]), text, deleting)


RecordChangeHook = Callable[[PolicyKey, Record[S] | None, Record[S] | None], None]
"""(key, old, new): a change that no own write made. None: absent."""


class RecordCache(Generic[S]):
    """One record per object.

    Not the engine's cache: that one relies on events that come in the order of their versions, and
    kopf keeps this order for one object only.
    """

    def __init__(
        self,
        parse: Callable[[Mapping[str, Any]], Record[S]],
        on_change: RecordChangeHook[S],
    ) -> None:
        self._parse: Callable[[Mapping[str, Any]], Record[S]] = parse
        self._on_change: RecordChangeHook[S] = on_change
        self._parts: dict[str, dict[str, Record[S]]] = {}
        self._gone: dict[PolicyKey, str] = {}
        """The uid of what lists showed to be gone: events from before that may still come."""

    def get(self, key: PolicyKey) -> Record[S] | None:
        """Return the record, None when absent."""
        return self._parts.get(key[0], {}).get(key[1])

    def find(self, key: PolicyKey, uid: str) -> Record[S] | None:
        """Return the record of this incarnation, being deleted or not; None when absent."""
        record = self.get(key)
        return record if record is not None and record.source.uid == uid else None

    def is_owner(self, key: PolicyKey, uid: str) -> bool:
        """Whether this incarnation is there, and not being deleted."""
        record = self.find(key, uid)
        return record is not None and not record.deleting

    def select(self, namespace: str) -> Iterator[Record[S]]:
        """Give those of a namespace."""
        yield from self._parts.get(namespace, {}).values()

    def namespaces(self) -> list[str]:
        """Namespaces that hold one."""
        return list(self._parts)

    def __iter__(self) -> Iterator[Record[S]]:
        """Give all."""
        for part in self._parts.values():
            yield from part.values()

    def observe(self, body: Mapping[str, Any]) -> None:
        """Take over what an event shows, unless more is known already."""
        record = self._parse(body)
        source = record.source
        key = (source.namespace, source.name)
        if self._gone.get(key) == source.uid:
            return
        self._gone.pop(key, None)
        old = self.get(key)
        if old is not None:
            if record.version <= old.version:
                return
            if old.source == source:
                # The plan's memory holds the old one: no second copy of the same spec.
                record = replace(record, source=old.source)
        self._parts.setdefault(source.namespace, {})[source.name] = record
        self._on_change(key, old, record)

    def observe_deletion(self, key: PolicyKey, uid: str) -> None:
        """Take over that this incarnation is gone; no event of it follows."""
        if self._gone.get(key) == uid:
            del self._gone[key]
        self._remove(key, uid)

    def _remove(self, key: PolicyKey, uid: str) -> None:
        old = self.find(key, uid)
        if old is None:
            return
        part = self._parts[key[0]]
        del part[key[1]]
        if not part:
            del self._parts[key[0]]
        self._on_change(key, old, None)

    def drop_unlisted(self, listing: Listing, namespace: str = "") -> int:
        """Take over that what a list did not show is gone, whatever late events say; count it.

        The list is of one namespace, or of all that are served. What is newer than the list was
        made after it, and stays. What a list shows again, after one that by mistake did not, is
        believed.
        """
        for key, uid in list(self._gone.items()):
            if listing.entries.get(key, ("", 0))[0] == uid:
                del self._gone[key]
        records = list(self.select(namespace) if namespace else self)
        dropped = 0
        for record in records:
            source = record.source
            key = (source.namespace, source.name)
            listed = listing.entries.get(key)
            gone = listed is None or listed[0] != source.uid
            if gone and record.version <= listing.version:
                self._gone[key] = source.uid
                self._remove(key, source.uid)
                dropped += 1
        return dropped

    def store_status(self, body: Mapping[str, Any]) -> None:
        """Take over the answer to a status write; its echo is no change then.

        A spec that is new in the answer is left to its own event, which will come.
        """
        record = self._parse(body)
        source = record.source
        old = self.get((source.namespace, source.name))
        if old is None or old.source != source or old.version >= record.version:
            return
        self._parts[source.namespace][source.name] = replace(record, source=old.source)
