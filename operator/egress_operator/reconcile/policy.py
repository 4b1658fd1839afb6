"""Policies and EgressGateways, as their watches and our own status writes show them."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson

from egress_operator.engine.cache import Cache
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.plan.source import GatewaySource, PolicySource
from egress_operator.reconcile.listing import Listing
from egress_operator.reconcile.objects import EVERYWHERE

CLUSTER = ""
"""The namespace in the keys of EgressGateways: they stand in none."""

PolicyKey = tuple[str, str]
"""(namespace, name)."""

S = TypeVar("S", PolicySource, GatewaySource)

PAUSED_ANNOTATION = "egress-operator.io/paused"


@dataclass(frozen=True, slots=True)
class Record(Generic[S]):
    """An object of ours with the status that the API server has of it."""

    source: S
    status_text: bytes
    """The status as JSON, empty for none: a sixth of what it takes as objects."""
    conditions: str
    """Its conditions, one line `Ready=True` for each, and one text for all objects with the same:
    metrics count them, and are not to read the status for it."""
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
    conditions = sys.intern("\n".join(_list_conditions(status or {})))
    return Record(source, text, conditions, "deletionTimestamp" in metadata)


def _list_conditions(status: Mapping[str, Any]) -> Iterator[str]:
    for condition in status.get("conditions") or ():
        yield f"{condition.get('type')}={condition.get('status')}"


RecordChangeHook = Callable[[PolicyKey, Record[S] | None, Record[S] | None], None]
"""(key, old, new): a change that no own write made. None: absent."""


class RecordStore(Generic[S]):
    """One record per object of a kind, in one engine cache per list that fills it."""

    def __init__(
        self,
        resource: Resource,
        scopes: Sequence[str],
        parse: Callable[[Mapping[str, Any]], Record[S]],
        on_change: RecordChangeHook[S],
    ) -> None:
        self._resource = resource
        self._parse: Callable[[Mapping[str, Any]], Record[S]] = parse
        self._on_change: RecordChangeHook[S] = on_change
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self._caches: dict[str, Cache[PolicyKey, Record[S]]] = {
            scope: Cache[PolicyKey, Record[S]](lambda key: key[0], on_change) for scope in scopes
        }

    def get(self, key: PolicyKey) -> Record[S] | None:
        """Return the record, None when absent."""
        cache = self._find_cache(key[0])
        return None if cache is None else cache.get(key)

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
        cache = self._find_cache(namespace)
        if cache is not None:
            for _, record in cache.select(namespace):
                yield record

    def namespaces(self) -> list[str]:
        """Namespaces that hold one."""
        return [str(part) for cache in self._caches.values() for part in cache.parts()]

    def __iter__(self) -> Iterator[Record[S]]:
        """Give all."""
        for namespace in self.namespaces():
            yield from self.select(namespace)

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self._caches.values()))

    def count_conditions(self) -> Mapping[tuple[str, str], int]:
        """Count the objects by (condition, its status); no status is read for it."""
        counts: Counter[tuple[str, str]] = Counter()
        for conditions, number in Counter(record.conditions for record in self).items():
            for condition in conditions.splitlines():
                type_, _, status = condition.rpartition("=")
                counts[type_, status] += number
        return counts

    def build_sink(
        self, scope: str, on_unreadable: UnreadableHook
    ) -> CacheSink[PolicyKey, Record[S]]:
        """Make the sink of the reflector of one scope."""
        return CacheSink(
            self._resource,
            self._caches[scope],
            _read_key,
            self._read,
            on_unreadable=on_unreadable,
        )

    def drop_unlisted(self, listing: Listing, namespace: str) -> None:
        """Take over that what a list of a namespace did not show is gone, reporting each.

        What is newer than the list stays, and what a later event tells of comes back.
        """
        cache = self._find_cache(namespace)
        if cache is None:
            return
        for key, record in list(cache.select(namespace)):
            uid = record.source.uid
            if listing.entries.get(key) != uid and cache.miss(key, uid, listing.version):
                self._on_change(key, record, None)

    def store_status(self, body: JsonObject) -> None:
        """Take over the answer to a status write; its echo is no change then.

        What else is new in the answer is left to its own event, which will come.
        """
        key, record = _read_key(body), self._read(body)
        cache, old = self._find_cache(key[0]), self.get(key)
        if cache is not None and old is not None and old.says_the_same(record):
            cache.store_write(key, old.source.uid, body["metadata"]["resourceVersion"], record)

    def _read(self, body: JsonObject) -> Record[S]:
        record, old = self._parse(body), self.get(_read_key(body))
        return record if old is None else replace(record, source=_relate(record.source, old.source))

    def _find_cache(self, namespace: str) -> Cache[PolicyKey, Record[S]] | None:
        return self._caches.get(EVERYWHERE if self._everywhere else namespace)


def _relate(new: S, old: S) -> S:
    """Return `old` if it says the same: the plan's memory holds it, and no second copy is wanted.

    A spec that differs under the same generation gets another revision.
    """
    same = replace(new, revision=old.revision)
    if same != old:
        return new
    return old if new.spec == old.spec else replace(new, revision=old.revision + 1)


def _read_key(body: JsonObject) -> PolicyKey:
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
