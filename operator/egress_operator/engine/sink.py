"""Where a reflector puts what it sees."""

import logging
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from egress_operator.engine.cache import Cache
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import JsonObject

_LOG = logging.getLogger(__name__)

_TOLD_MAX = 1000
"""Unreadable objects that are remembered, so that each is logged once."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

UnreadableHook = Callable[[Resource], None]
"""Called once for each object that cannot be read."""


class Sink(Protocol):
    """Plain calls in the loop; they must be quick and should not raise.

    A list is `begin`, `upsert` per object, `finish`: what was not upserted is gone. A list that
    fails half-way is not finished; the next one starts with `begin`. Nothing else comes in between.
    """

    def begin(self) -> None:
        """Start a list: it will show the state of this moment or later."""

    def upsert(self, obj: JsonObject) -> None:
        """Take an object as listed, added or modified."""

    def delete(self, obj: JsonObject) -> None:
        """Take a deleted object as it was last; its resourceVersion is that of the deletion."""

    def advance(self, resource_version: str) -> None:
        """Know that everything up to this version was delivered (a bookmark)."""

    def finish(self, resource_version: str) -> None:
        """End the list, complete as of this version; empty when the resource is missing."""


class CacheSink(Generic[K, V]):
    """Fills a cache with what is read of each object. Implements `Sink`.

    `read_key` needs the metadata alone and must not fail. An object that `read` cannot read counts
    as one that says nothing (no spec, no status): it must not stop the mirror of its kind.
    """

    def __init__(
        self,
        resource: Resource,
        cache: Cache[K, V],
        read_key: Callable[[JsonObject], K],
        read: Callable[[JsonObject], V],
        *,
        on_unreadable: UnreadableHook = lambda _: None,
        on_finish: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.resource = resource
        self._cache = cache
        self._read_key = read_key
        self._read = read
        self._on_unreadable = on_unreadable
        self._on_finish = on_finish
        self._told: set[str] = set()

    def begin(self) -> None:
        """See Sink."""
        self._cache.begin_replace()

    def upsert(self, obj: JsonObject) -> None:
        """See Sink. What is held already is not read again."""
        key, metadata = self._read_key(obj), obj["metadata"]
        uid, version = metadata["uid"], metadata["resourceVersion"]
        if not self._cache.touch(key, uid, version):
            self._cache.observe(key, uid, version, self._read_any(obj))

    def delete(self, obj: JsonObject) -> None:
        """See Sink."""
        metadata = obj["metadata"]
        self._told.discard(metadata["uid"])
        self._cache.observe_delete(
            self._read_key(obj), metadata["uid"], metadata["resourceVersion"]
        )

    def advance(self, resource_version: str) -> None:
        """See Sink."""
        self._cache.advance(resource_version)

    def finish(self, resource_version: str) -> None:
        """See Sink."""
        self._cache.finish_replace(resource_version)
        self._on_finish(resource_version)

    def _read_any(self, obj: JsonObject) -> V:
        try:
            return self._read(obj)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one object
            self._note_unreadable(obj, error)
        words = ("apiVersion", "kind", "metadata")
        return self._read({word: obj[word] for word in words if word in obj})

    def _note_unreadable(self, obj: JsonObject, error: Exception) -> None:
        metadata = obj["metadata"]
        if metadata["uid"] in self._told:
            return
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told.add(metadata["uid"])
        self._on_unreadable(self.resource)
        _LOG.error(
            "%s %s cannot be read and counts as empty (%s: %s)",
            self.resource.label,
            "/".join(filter(None, (metadata.get("namespace"), metadata["name"]))),
            type(error).__name__,
            error,
        )
