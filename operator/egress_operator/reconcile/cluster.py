"""What the operator knows of the cluster: policies, Istio objects, names of namespaces.

Only this memory is read to decide. It is filled by watches and by the answers to our own writes.
"""

import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from egress_operator.compiler.object import (
    Kind,
    ObjectKey,
    Observed,
    build_hand_written,
    read_observed,
)
from egress_operator.compiler.source import NamespaceInput, Settings
from egress_operator.engine.cache import Cache
from egress_operator.engine.transport import JsonObject
from egress_operator.reconcile.policy import PolicyCache, PolicyChangeHook

ObjectChangeHook = Callable[[ObjectKey, Observed | None, Observed | None], None]
"""(key, old, new): a change that no own write made. None: absent."""

T = TypeVar("T", bound=Hashable)

POOL_LIMIT = 20_000

EVERYWHERE = ""
"""The scope of a watch over all namespaces."""


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
            host=sys.intern(observed.host),
            policies=sys.intern(observed.policies),
            hosts=tuple(sys.intern(host) for host in observed.hosts),
            owners=self.share(observed.owners),
            ports=self.share(observed.ports),
            needs=self.share(observed.needs),
        )


class ObjectCache:
    """The Istio objects of all kinds and scopes: one engine cache per list that fills it."""

    def __init__(
        self,
        scopes: Sequence[str],
        on_change: ObjectChangeHook,
    ) -> None:
        self._pool = _Pool()
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self._caches = {
            (kind, scope): Cache[ObjectKey, Observed](lambda key: key.namespace, on_change)
            for kind in Kind
            for scope in scopes
        }

    def get(self, key: ObjectKey) -> Observed | None:
        """Return what is known of one object."""
        return self._cache(key).get(key)

    def select(self, namespace: str) -> Iterator[Observed]:
        """Everything known in a namespace, ours or not."""
        scope = EVERYWHERE if self._everywhere else namespace
        for kind in Kind:
            cache = self._caches.get((kind, scope))
            if cache is not None:
                for _, observed in cache.select(namespace):
                    yield observed

    def namespaces(self) -> set[str]:
        """Name the namespaces that hold something."""
        return {str(part) for cache in self._caches.values() for part in cache.parts()}

    def store(self, body: JsonObject) -> Observed:
        """Take over the answer to an own write."""
        observed = self._pool.read(body)
        self._cache(observed.key).store_write(
            observed.key, observed.uid, body["metadata"]["resourceVersion"], observed
        )
        return observed

    def drop(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that an own request found or made absent."""
        self._cache(key).drop(key, uid)

    def build_sink(
        self, kind: Kind, scope: str, on_finish: Callable[[Kind, str], None]
    ) -> "ObjectSink":
        """Make the sink of the reflector of one kind in one scope."""
        return ObjectSink(
            self._caches[kind, scope], self._pool, lambda version: on_finish(kind, version)
        )

    def count(self) -> Mapping[Kind, int]:
        """Our objects by kind."""
        counts = dict.fromkeys(Kind, 0)
        for (kind, _), cache in self._caches.items():
            for part in cache.parts():
                counts[kind] += sum(observed.ours for _, observed in cache.select(part))
        return counts

    def _cache(self, key: ObjectKey) -> Cache[ObjectKey, Observed]:
        return self._caches[key.kind, EVERYWHERE if self._everywhere else key.namespace]


class ObjectSink:
    """Turns what a reflector sees into facts and hashes. Implements `engine.reflector.Sink`."""

    def __init__(
        self, cache: Cache[ObjectKey, Observed], pool: _Pool, on_finish: Callable[[str], None]
    ) -> None:
        self._cache = cache
        self._pool = pool
        self._on_finish = on_finish

    def begin(self) -> None:
        """Start of a list."""
        self._cache.begin_replace()

    def upsert(self, obj: JsonObject) -> None:
        """Take over an object that is there."""
        observed = self._pool.read(obj)
        self._cache.observe(
            observed.key, observed.uid, obj["metadata"]["resourceVersion"], observed
        )

    def delete(self, obj: JsonObject) -> None:
        """Forget an object that is gone."""
        observed = read_observed(obj)
        self._cache.observe_delete(observed.key, observed.uid, obj["metadata"]["resourceVersion"])

    def advance(self, resource_version: str) -> None:
        """Note how far the watch has come."""
        self._cache.advance(resource_version)

    def finish(self, resource_version: str) -> None:
        """Drop what the list did not show."""
        self._cache.finish_replace(resource_version)
        self._on_finish(resource_version)


class Cluster:
    """All of it, and the input of a plan."""

    def __init__(
        self,
        scopes: Sequence[str],
        *,
        on_policy: PolicyChangeHook,
        on_object: ObjectChangeHook,
        settings: Settings,
    ) -> None:
        self.policies = PolicyCache(on_policy)
        self.objects = ObjectCache(scopes, on_object)
        self.namespaces: frozenset[str] = frozenset()
        self.terminating: set[str] = set()
        """Namespaces that are being deleted: nothing can be made there, and all of it goes."""
        self.settings = settings

    def build_input(self, namespace: str) -> NamespaceInput:
        """Gather everything that the plan of a namespace depends on."""
        policies = tuple(
            record.source for record in self.policies.select(namespace) if not record.deleting
        )
        hand_written = tuple(
            build_hand_written(observed)
            for observed in self.objects.select(namespace)
            if not observed.ours and observed.hosts
        )
        return NamespaceInput(
            namespace=namespace,
            policies=policies,
            settings=self.settings,
            hand_written=hand_written,
            namespaces=self.namespaces,
        )

    def select_mentioning(self, name: str) -> set[str]:
        """Find the namespaces with a policy that has a text ending in `.name`.

        Only their plans can change when a namespace of that name comes or goes.
        """
        suffix = "." + name
        return {
            record.source.namespace
            for record in self.policies
            if _mentions(record.source.spec, suffix)
        }


def _mentions(value: object, suffix: str) -> bool:
    match value:
        case str():
            return value.endswith(suffix)
        case Mapping():
            return any(_mentions(item, suffix) for item in value.values())
        case list():
            return any(_mentions(item, suffix) for item in value)
        case _:
            return False
