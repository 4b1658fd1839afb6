"""Write-through cache of one resource: what the watch says, and our own writes before it does.

The watch lags behind our writes. Whoever decides by a cache that only the watch fills sees its own
past, and writes again what it has just written. So the answer to each own write is stored at once,
and what the watch says later is taken only if it is newer.

Two facts of the API server make that safe. Events of one resource come in the order of their
resource versions, so there is a version up to which everything was seen (`_seen`): an answer that
is not beyond it brings no news, even when the object is gone already. And a list is consistent and
is taken after `begin_replace`: it shows every own write that was answered before.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from egress_operator.engine.version import parse_version

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ChangeHook = Callable[[K, V | None, V | None], None]
"""(key, old, new): a change that no own write made. None: absent. Equal values are no change.

It must not raise: the change is stored already, and is reported once."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    uid: str
    version: int
    value: V
    round: int
    """Number of the list that showed it last; negative: an own write stored it during that list."""


class Cache(Generic[K, V]):
    """One resource. Objects are kept as values that the owner computes (hashes, not bodies).

    `store_write` and `drop` never call `on_change`, and the echo of an own write changes nothing.
    Resource versions are compared as integers; one that is none counts as newer than everything.
    `part` groups keys (by namespace) for `select`. Not thread-safe: for one event loop.

    Feed it by a reflector: events must come in the order of their versions, over all objects.
    """

    def __init__(
        self, part: Callable[[K], Hashable], on_change: ChangeHook[K, V] | None = None
    ) -> None:
        self._part = part
        self._on_change = on_change
        self._parts: dict[Hashable, dict[K, _Entry[V]]] = {}
        self._size = 0
        self._seen = 0
        self._round = 0
        self._replacing = False
        self._dropped: dict[str, float] = {}
        """uids that are known to be gone and whose DELETED event is still to come, each with the
        version up to which an event of it is late."""

    def get(self, key: K) -> V | None:
        """Return the value, None when absent."""
        entry = self._find(key)
        return None if entry is None else entry.value

    def select(self, part: Hashable) -> Iterator[tuple[K, V]]:
        """Give everything of one part (namespace); do not change the cache meanwhile."""
        for key, entry in self._parts.get(part, {}).items():
            yield key, entry.value

    def parts(self) -> list[Hashable]:
        """Return the parts (namespaces) that hold something."""
        return list(self._parts)

    def __len__(self) -> int:
        """Count the objects."""
        return self._size

    def observe(self, key: K, uid: str, resource_version: str, value: V) -> bool:
        """Take an object from a list or watch. False: it is no news, and was ignored."""
        entry = self._find(key)
        version = self._read_version(resource_version)
        if version <= self._dropped.get(uid, -1):
            return False
        self._dropped.pop(uid, None)
        if entry is not None and self._is_stale(entry, uid, version):
            if entry.uid == uid and entry.version == version:
                entry.round = self._round
            return False
        if not self._replacing:
            self._seen = max(self._seen, version)
        self._put(key, _Entry(uid, version, value, self._round))
        self._report(key, entry, uid, value)
        return True

    def observe_delete(self, key: K, uid: str, resource_version: str) -> bool:
        """Take a DELETED event of the watch. False: this incarnation is not here (any more)."""
        self.advance(resource_version)
        self._dropped.pop(uid, None)
        entry = self._find(key)
        if entry is None or entry.uid != uid:
            return False
        self._remove(key)
        self._report(key, entry, "", None)
        return True

    def advance(self, resource_version: str) -> None:
        """Know from the watch that everything up to this version was observed."""
        self._seen = max(self._seen, parse_version(resource_version) or 0)

    def store_write(self, key: K, uid: str, resource_version: str, value: V) -> bool:
        """Take the answer to an own POST or PATCH. False: the watch is further already."""
        if uid in self._dropped:
            return False
        version = self._read_version(resource_version)
        entry = self._find(key)
        if version <= self._seen:
            return False
        if entry is not None and entry.version >= version:
            return False
        mark = -self._round if self._replacing else self._round
        self._put(key, _Entry(uid, version, value, mark))
        return True

    def touch(self, key: K, uid: str, resource_version: str) -> bool:
        """Tell whether exactly this is held: then it need not be read, nor observed."""
        entry = self._find(key)
        if entry is None or (entry.uid, entry.version) != (uid, parse_version(resource_version)):
            return False
        entry.round = self._round
        return True

    def swap(self, key: K, value: V) -> None:
        """Hold an equal value instead, one that something else holds too. Nothing is reported."""
        entry = self._find(key)
        if entry is not None and entry.value == value:
            entry.value = value

    def drop(self, key: K, uid: str, resource_version: str = "") -> bool:
        """Remove what is known to be gone, as of a version; without one, for ever.

        Leave it out after an own DELETE that was carried out. Late echoes of `uid` do not bring it
        back. False: the cache did not hold this incarnation.
        """
        version = parse_version(resource_version)
        return self._drop(key, uid, float("inf") if version is None else version)

    def miss(self, key: K, uid: str, resource_version: str = "") -> bool:
        """Remove what an answer says is not there. A later event of `uid` proves it wrong.

        `resource_version` is that of the answer, if it has one; else an event is later that is
        newer than what is held. False: the cache holds another incarnation, or something newer.
        """
        entry = self._find(key)
        if entry is None:
            return False
        version = parse_version(resource_version)
        if version is not None and version < entry.version:
            return False
        return self._drop(key, uid, entry.version if version is None else version)

    def _drop(self, key: K, uid: str, late: float) -> bool:
        entry = self._find(key)
        if entry is None or entry.uid != uid:
            return False
        self._dropped[uid] = late
        self._remove(key)
        return True

    def begin_replace(self) -> None:
        """Start a list. Own writes from here on survive it, older state does not."""
        self._round += 1
        self._replacing = True
        self._dropped.clear()

    def finish_replace(self, resource_version: str) -> None:
        """Remove what the list did not show, but for own writes made since it began.

        `resource_version` is the list's; empty (the resource is missing) means that nothing of it
        can be there, own writes included.
        """
        version = parse_version(resource_version) or 0
        gone = [
            (key, entry)
            for entries in self._parts.values()
            for key, entry in entries.items()
            if not self._is_kept(entry, version, is_missing=not resource_version)
        ]
        for key, _ in gone:
            self._remove(key)
        self._replacing = False
        # Not the maximum: after a restored backup the versions start lower.
        self._seen = version
        for key, entry in gone:
            self._report(key, entry, "", None)

    def _find(self, key: K) -> _Entry[V] | None:
        return self._parts.get(self._part(key), {}).get(key)

    def _put(self, key: K, entry: _Entry[V]) -> None:
        entries = self._parts.setdefault(self._part(key), {})
        self._size += key not in entries
        entries[key] = entry

    def _remove(self, key: K) -> None:
        part = self._part(key)
        entries = self._parts[part]
        del entries[key]
        self._size -= 1
        if not entries:
            del self._parts[part]

    def _read_version(self, text: str) -> int:
        version = parse_version(text)
        return self._seen + 1 if version is None else version

    def _is_stale(self, entry: _Entry[V], uid: str, version: int) -> bool:
        """Whether `entry` is at least as new. Versions of one resource are ordered across uids."""
        if self._replacing and abs(entry.round) != self._round:
            # A list is right about everything that we have not written since it began, whatever
            # the versions say: they go back when etcd is restored.
            return entry.uid == uid and entry.version == version
        return entry.version >= version

    def _is_kept(self, entry: _Entry[V], version: int, *, is_missing: bool) -> bool:
        """Whether an entry outlives the list of `version`."""
        if is_missing or abs(entry.round) != self._round:
            return False
        # An own write that the list should show and does not: deleted again before its answer came.
        return entry.round > 0 or entry.version > version

    def _report(self, key: K, old: _Entry[V] | None, uid: str, new: V | None) -> None:
        if self._on_change is None:
            return
        before = None if old is None else old.value
        if old is None or old.uid != uid or before != new:
            self._on_change(key, before, new)
