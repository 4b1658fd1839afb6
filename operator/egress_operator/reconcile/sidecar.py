"""The Sidecars of the cluster, as their watches show them: what counts of each, and no more."""

from collections.abc import Callable, Iterator, Sequence

from egress_operator.engine.cache import Cache
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.istio.sidecar import Sidecar, read_sidecar
from egress_operator.plan.sidecar import choose_sidecars
from egress_operator.reconcile.resource import SIDECARS

Key = tuple[str, str]
"""Namespace and name."""
SidecarChangeHook = Callable[[Key, Sidecar | None, Sidecar | None], None]
"""(key, old, new). None: absent."""


class SidecarCache:
    """All Sidecars of the scopes: one engine cache per list that fills it."""

    def __init__(self, scopes: Sequence[str], on_change: SidecarChangeHook) -> None:
        self._caches = {
            scope: Cache[Key, Sidecar](lambda key: key[0], on_change) for scope in scopes
        }

    def choose(self, namespace: str, root: str) -> tuple[Sidecar, ...]:
        """Return those that hold in a namespace; those of the root namespace, as far as watched."""
        places = dict.fromkeys((namespace, root))
        found = (item for place in places for item in self._select(place))
        return choose_sidecars(found, namespace, root)

    def _select(self, namespace: str) -> Iterator[Sidecar]:
        for cache in self._caches.values():
            for _, item in cache.select(namespace):
                yield item

    def build_sinks(
        self, on_unreadable: UnreadableHook
    ) -> Iterator[tuple[str, CacheSink[Key, Sidecar]]]:
        """Make (scope, sink) for the reflector of each scope."""
        for scope, cache in self._caches.items():
            yield (
                scope,
                CacheSink(SIDECARS, cache, _read_key, read_sidecar, on_unreadable=on_unreadable),
            )


def _read_key(body: JsonObject) -> Key:
    metadata = body["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])
