"""The Sidecars of the cluster, as their watches show them: what counts of each, and no more."""

from collections.abc import Callable, Iterator, Sequence

from egress_operator.engine.cache import Cache
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.istio.sidecar import PackedSidecar, Sidecar, pack_sidecar
from egress_operator.plan.piece import Pieces
from egress_operator.plan.sidecar import MOST_READ, choose_sidecars
from egress_operator.reconcile.resource import SIDECARS

Key = tuple[str, str]
"""Namespace and name."""
SidecarChangeHook = Callable[[Key], None]
"""Called for each one that came, changed or went."""


class SidecarCache:
    """All Sidecars of the scopes: one engine cache per list that fills it.

    Only those that are looked at are read; that is done once.
    """

    def __init__(self, scopes: Sequence[str], on_change: SidecarChangeHook) -> None:
        self._on_change = on_change
        self._caches = {
            scope: Cache[Key, PackedSidecar](lambda key: key[0], self._note) for scope in scopes
        }
        self._read: dict[Key, Sidecar] = {}

    def choose(self, namespace: str, root: str) -> Pieces[tuple[Sidecar, ...]]:
        """Return those that hold in a namespace; those of the root namespace, as far as watched.

        Those that are not looked at (`MOST_READ`) come without their listeners.
        """
        places = dict.fromkeys((namespace, root))
        outlines = [item.outline for place in places for item in self._select(place)]
        found: list[Sidecar] = []
        for number, item in enumerate(choose_sidecars(outlines, namespace, root)):
            if number < MOST_READ or item.labels is None:
                found.append((yield from self._open(item)))
            else:
                found.append(item)
        return tuple(found)

    def _open(self, outline: Sidecar) -> Pieces[Sidecar]:
        """Read a Sidecar as it is now, if it is still there."""
        key = outline.namespace, outline.name
        if key not in self._read:
            yield
            held = (cache.get(key) for cache in self._caches.values())
            packed = next((item for item in held if item is not None), None)
            if packed is None:
                return outline
            self._read[key] = packed.read()
        return self._read[key]

    def _note(self, key: Key, _: PackedSidecar | None, __: PackedSidecar | None) -> None:
        self._read.pop(key, None)
        self._on_change(key)

    def _select(self, namespace: str) -> Iterator[PackedSidecar]:
        for cache in self._caches.values():
            for _, item in cache.select(namespace):
                yield item

    def build_sinks(
        self, on_unreadable: UnreadableHook
    ) -> Iterator[tuple[str, CacheSink[Key, PackedSidecar]]]:
        """Make (scope, sink) for the reflector of each scope."""
        for scope, cache in self._caches.items():
            yield (
                scope,
                CacheSink(SIDECARS, cache, _read_key, pack_sidecar, on_unreadable=on_unreadable),
            )


def _read_key(body: JsonObject) -> Key:
    metadata = body["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])
