"""The objects of our own kinds, as their watches and our own status writes show them."""

import sys
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from egress_operator.engine.cache import Cache
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.istio.object import GATEWAY_KIND, POLICY_KIND
from egress_operator.plan.source import GatewaySource, PolicySource
from egress_operator.reconcile.body import read_status
from egress_operator.reconcile.listing import Listing
from egress_operator.reconcile.objects import EVERYWHERE


class OwnKind(StrEnum):
    """The kinds that users write."""

    POLICY = POLICY_KIND
    GATEWAY = GATEWAY_KIND


class OwnKey(NamedTuple):
    """An object of a kind of ours, by its place."""

    kind: OwnKind
    namespace: str
    """Empty for kinds without namespaces."""
    name: str

    @property
    def log_fields(self) -> dict[str, str]:
        """What a line of the log says of it."""
        place = {"namespace": self.namespace} if self.namespace else {}
        return {**place, self.kind.removeprefix("Egress").lower(): self.name}


S = TypeVar("S", PolicySource, GatewaySource)


@dataclass(frozen=True, slots=True)
class Record(Generic[S]):
    """An object of ours with the status that the API server has of it."""

    source: S
    packed_status: bytes
    """The status as compressed JSON, empty for none: a fifteenth of what it takes as objects."""
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
        return dict(orjson.loads(zlib.decompress(self.packed_status))) if self.packed_status else {}


def build_record(source: S, body: Mapping[str, Any]) -> Record[S]:
    """Take what counts from an object of ours, beside its source. Pure."""
    status = read_status(body)
    packed = zlib.compress(orjson.dumps(status), zlib.Z_BEST_SPEED) if status else b""
    conditions = sys.intern("\n".join(_list_conditions(status)))
    return Record(source, packed, conditions, "deletionTimestamp" in body["metadata"])


def _list_conditions(status: Mapping[str, Any]) -> Iterator[str]:
    for condition in status.get("conditions", ()):
        yield f"{condition['type']}={condition['status']}"


RecordChangeHook = Callable[[OwnKey, Record[Any] | None, Record[Any] | None], None]
"""(key, old, new): a change that no own write made. None: absent."""


class RecordStore(Generic[S]):
    """One record per object of a kind, in one engine cache per list that fills it.

    Where the operator serves single namespaces, nothing is known of kinds without namespaces: roles
    in single namespaces cannot grant to watch them.
    """

    def __init__(
        self,
        kind: OwnKind,
        resource: Resource,
        read_source: Callable[[Mapping[str, Any]], S],
        scopes: Sequence[str],
        on_change: RecordChangeHook,
        *,
        namespaced: bool = True,
    ) -> None:
        self.resource = resource
        self._kind = kind
        self._read_source: Callable[[Mapping[str, Any]], S] = read_source
        self._on_change = on_change
        self._namespaced = namespaced
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self._caches: dict[str, Cache[OwnKey, Record[S]]] = {
            scope: Cache[OwnKey, Record[S]](lambda key: key.namespace, on_change)
            for scope in scopes
            if self._everywhere or namespaced
        }

    def key(self, namespace: str, name: str) -> OwnKey:
        """Return the key of an object of this kind that is used in a namespace."""
        return OwnKey(self._kind, namespace if self._namespaced else "", name)

    def get(self, key: OwnKey) -> Record[S] | None:
        """Return the record, None when absent."""
        cache = self._find_cache(key.namespace)
        return None if cache is None else cache.get(key)

    def find(self, key: OwnKey, uid: str) -> Record[S] | None:
        """Return the record of this incarnation, being deleted or not; None when absent."""
        record = self.get(key)
        return record if record is not None and record.source.uid == uid else None

    def is_owner(self, key: OwnKey, uid: str) -> bool:
        """Whether this incarnation is there, and not being deleted."""
        record = self.find(key, uid)
        return record is not None and not record.deleting

    @property
    def is_watched(self) -> bool:
        """Whether anything can be known of this kind."""
        return bool(self._caches)

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

    def build_sinks(
        self, on_unreadable: UnreadableHook
    ) -> Iterator[tuple[str, CacheSink[OwnKey, Record[S]]]]:
        """Make (namespace, sink) for each watch; the namespace is empty for all."""
        for scope, cache in self._caches.items():
            yield (
                scope,
                CacheSink(
                    self.resource, cache, self._read_key, self._read, on_unreadable=on_unreadable
                ),
            )

    def drop_unlisted(self, known: Collection[Record[S]], listing: Listing) -> None:
        """Take over that what a list did not show is gone, reporting each.

        `known`: what was held before the list was asked for, in the namespace that is listed. The
        list shows all of it that is there, whatever the versions say: they go back when etcd is
        restored. For what has changed since then the versions decide: what is newer than the list
        stays. What a later event tells of comes back.
        """
        for record in known:
            key = self.key(record.source.namespace, record.source.name)
            cache, held = self._find_cache(key.namespace), self.get(key)
            if cache is None or held is None:
                continue
            uid = held.source.uid
            remove = cache.drop if held is record else cache.miss
            listed = listing.entries.get((key.namespace, key.name))
            if listed != uid and remove(key, uid, listing.version):
                self._on_change(key, held, None)

    def store_status(self, body: JsonObject) -> Record[S]:
        """Take over the answer to a status write, and return it; its echo is no change then.

        What else is new in the answer is left to its own event, which will come.
        """
        key, record = self._read_key(body), self._read(body)
        cache, old = self._find_cache(key.namespace), self.get(key)
        if cache is not None and old is not None and old.says_the_same(record):
            cache.store_write(key, old.source.uid, body["metadata"]["resourceVersion"], record)
        return record

    def _read(self, body: JsonObject) -> Record[S]:
        source, old = self._read_source(body), self.get(self._read_key(body))
        return build_record(source if old is None else _relate(source, old.source), body)

    def _read_key(self, body: JsonObject) -> OwnKey:
        metadata = body["metadata"]
        return OwnKey(self._kind, metadata.get("namespace", ""), metadata["name"])

    def _find_cache(self, namespace: str) -> Cache[OwnKey, Record[S]] | None:
        return self._caches.get(EVERYWHERE if self._everywhere else namespace)


def _relate(new: S, old: S) -> S:
    """Return `old` if it says the same: the plan's memory holds it, and no second copy is wanted.

    A spec that differs under the same generation gets another revision.
    """
    same = replace(new, revision=old.revision)
    if same != old:
        return new
    return old if new.spec == old.spec else replace(new, revision=old.revision + 1)
