"""The Istio objects of the cluster: facts and hashes, filled by watches and by our own writes."""

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from egress_operator.engine.cache import Cache
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.istio.name import build_group_name
from egress_operator.istio.object import Kind, ObjectKey, Observed, is_host
from egress_operator.istio.observed import read_observed
from egress_operator.reconcile.resource import RESOURCES

ObjectChangeHook = Callable[[ObjectKey, Observed | None, Observed | None], None]
"""(key, old, new): a change that no own write made. None: absent."""

T = TypeVar("T", bound=Hashable)

POOL_LIMIT = 20_000

EVERYWHERE = ""
"""The scope of a watch over all namespaces."""

GATEWAY_KINDS = frozenset({Kind.GATEWAY, Kind.AUTHORIZATION_POLICY})
"""What only gateways need: left out where the operator serves single namespaces."""


def list_kinds(scopes: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds that are watched in these scopes."""
    everywhere = tuple(scopes) == (EVERYWHERE,)
    return tuple(kind for kind in Kind if everywhere or kind not in GATEWAY_KINDS)


class _Pool:
    """One value in place of many equal ones: the objects of a policy share most of what they say.

    It halves what an observed object takes. Emptied when it is full, which costs nothing but that.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}

    def share(self, value: T) -> T:
        """Return the first value that was equal."""
        if len(self._values) > POOL_LIMIT:
            self._values.clear()
        shared: T = self._values.setdefault(value, value)
        return shared

    def read(self, obj: JsonObject) -> Observed:
        """Take the facts of an object, sharing what can be shared."""
        observed = read_observed(obj)
        key = observed.key
        return replace(
            observed,
            key=ObjectKey(key.kind, sys.intern(key.namespace), sys.intern(key.name)),
            created=sys.intern(observed.created),
            group=sys.intern(observed.group),
            policies=sys.intern(observed.policies),
            hosts=tuple(sys.intern(host) for host in observed.hosts),
            owners=self.share(observed.owners),
            ports=self.share(observed.ports),
            needs=self.share(observed.needs),
            refs=self.share(observed.refs),
            tenant=sys.intern(observed.tenant),
            export_to=self.share(observed.export_to),
            selector=self.share(observed.selector),
        )


class _Index:
    """Where our objects are that their group's name does not tell."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, set[ObjectKey]]] = {}
        self._tenants: dict[str, dict[str, set[ObjectKey]]] = {}
        """The same for the groups of gateways."""
        self._guests: dict[str, set[ObjectKey]] = {}

    def note(self, old: Observed | None, new: Observed | None) -> None:
        """Take over a change of one object."""
        if old is not None and old.ours:
            self._remove(old)
        if new is not None and new.ours:
            self._add(new)

    def find_members(self, part: str, group: str) -> Iterable[ObjectKey]:
        """Return the objects of a group that do not have its name."""
        return self._choose(group).get(part, {}).get(group, ())

    def find_labels(self, part: str) -> list[str]:
        """Return the groups of gateways in a part."""
        return list(self._tenants.get(part, ()))

    def find_tenants(self) -> Iterator[ObjectKey]:
        """Give the objects of all groups of gateways."""
        for groups in self._tenants.values():
            for keys in groups.values():
                yield from keys

    def find_guests(self, part: str) -> Iterable[ObjectKey]:
        """Return what is of a part and stands in another namespace."""
        return self._guests.get(part, ())

    def _add(self, item: Observed) -> None:
        part = item.part
        if not is_host(item.group) or item.key.name != build_group_name(item.group):
            groups = self._choose(item.group).setdefault(part, {})
            groups.setdefault(item.group, set()).add(item.key)
        if part != item.key.namespace:
            self._guests.setdefault(part, set()).add(item.key)

    def _remove(self, item: Observed) -> None:
        parts = self._choose(item.group)
        groups = parts.get(item.part, {})
        _discard(groups, item.group, item.key)
        if not groups:
            parts.pop(item.part, None)
        _discard(self._guests, item.part, item.key)

    def _choose(self, group: str) -> dict[str, dict[str, set[ObjectKey]]]:
        return self._members if is_host(group) else self._tenants


def _discard(sets: dict[str, set[ObjectKey]], name: str, key: ObjectKey) -> None:
    found = sets.get(name)
    if found is not None:
        found.discard(key)
        if not found:
            del sets[name]


class ObjectCache:
    """The Istio objects of all kinds and scopes: one engine cache per list that fills it.

    A part is the namespace whose plan decides on an object of ours; empty for what serves a gateway
    as a whole. Of what is not ours it is the object's own namespace.
    """

    def __init__(self, scopes: Sequence[str], on_change: ObjectChangeHook) -> None:
        self._pool = _Pool()
        self._index = _Index()
        self._on_change = on_change
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self._caches = {
            (kind, scope): Cache[ObjectKey, Observed](lambda key: key.namespace, self._note)
            for kind in list_kinds(scopes)
            for scope in scopes
        }

    def get(self, key: ObjectKey) -> Observed | None:
        """Return what is known of one object; None also for what is not watched."""
        cache = self._find(key)
        return None if cache is None else cache.get(key)

    def select(self, part: str) -> Iterator[Observed]:
        """Everything known of a part, and in its namespace what is not ours."""
        scope = EVERYWHERE if self._everywhere else part
        for kind in Kind if part else ():
            cache = self._caches.get((kind, scope))
            if cache is not None:
                for _, observed in cache.select(part):
                    if observed.part == part or not observed.ours:
                        yield observed
        yield from self._get_all(self._index.find_guests(part))

    def select_kind(self, kind: Kind, namespace: str) -> Iterator[Observed]:
        """Everything of one kind in a namespace, whatever part it is of."""
        cache = self._caches.get((kind, EVERYWHERE if self._everywhere else namespace))
        if cache is not None:
            for _, observed in cache.select(namespace):
                yield observed

    def select_group(self, part: str, group: str) -> Iterator[Observed]:
        """Our objects of a group whose names are not the group's."""
        yield from self._get_all(self._index.find_members(part, group))

    def find_labels(self, part: str) -> list[str]:
        """Return the labels of the gateways that have objects in a part."""
        return self._index.find_labels(part)

    def select_tenants(self) -> Iterator[Observed]:
        """Everything of ours that serves gateways and their tenants, and no host alone."""
        yield from self._get_all(self._index.find_tenants())

    def select_ours(self) -> Iterator[Observed]:
        """Everything of ours."""
        for cache in self._caches.values():
            for namespace in cache.parts():
                for _, observed in cache.select(namespace):
                    if observed.ours:
                        yield observed

    def parts(self) -> set[str]:
        """Name the parts that hold something of ours."""
        return {observed.part for observed in self.select_ours()}

    def store(self, body: JsonObject) -> Observed:
        """Take over the answer to an own write."""
        observed = self._pool.read(body)
        cache = self._caches[self._place(observed.key)]
        before = cache.get(observed.key)
        if cache.store_write(
            observed.key, observed.uid, body["metadata"]["resourceVersion"], observed
        ):
            self._index.note(before, observed)
        return observed

    def drop(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that an own request has deleted."""
        before = self.get(key)
        if self._caches[self._place(key)].drop(key, uid):
            self._index.note(before, None)

    def miss(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that an own request did not find; a later event may bring it back."""
        before = self.get(key)
        if self._caches[self._place(key)].miss(key, uid):
            self._index.note(before, None)

    def build_sink(
        self,
        kind: Kind,
        scope: str,
        *,
        on_unreadable: UnreadableHook,
        on_finish: Callable[[str], None],
    ) -> CacheSink[ObjectKey, Observed]:
        """Make the sink of the reflector of one kind in one scope."""

        def read_key(obj: JsonObject) -> ObjectKey:
            return ObjectKey(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])

        return CacheSink(
            RESOURCES[kind],
            self._caches[kind, scope],
            read_key,
            self._pool.read,
            on_unreadable=on_unreadable,
            on_finish=on_finish,
        )

    def count(self) -> Mapping[Kind, int]:
        """Our objects by kind."""
        counts = dict.fromkeys(Kind, 0)
        for observed in self.select_ours():
            counts[observed.key.kind] += 1
        return counts

    def _note(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        self._index.note(old, new)
        self._on_change(key, old, new)

    def _get_all(self, keys: Iterable[ObjectKey]) -> Iterator[Observed]:
        found = (self.get(key) for key in tuple(keys))
        return (observed for observed in found if observed is not None)

    def _place(self, key: ObjectKey) -> tuple[Kind, str]:
        return key.kind, EVERYWHERE if self._everywhere else key.namespace

    def _find(self, key: ObjectKey) -> Cache[ObjectKey, Observed] | None:
        return self._caches.get(self._place(key))
