"""The namespaces of the cluster, as their watch shows them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from egress_operator.engine.cache import Cache
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.reconcile.resource import NAMESPACES


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """What counts of a namespace."""

    labels: Mapping[str, str]
    terminating: bool
    """It is being deleted: nothing can be made there, and all of it goes."""


NamespaceChangeHook = Callable[[str, NamespaceFacts | None, NamespaceFacts | None], None]
"""(name, old, new). None: absent."""


class NamespaceCache:
    """All namespaces; empty where the operator serves single ones, which it may not watch."""

    def __init__(self, on_change: NamespaceChangeHook) -> None:
        self._cache = Cache[str, NamespaceFacts](lambda _: "", on_change)

    def find(self, name: str) -> NamespaceFacts | None:
        """Return what is known of a namespace; None when it is absent."""
        return self._cache.get(name)

    def get_labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a namespace; none when it is absent."""
        facts = self._cache.get(name)
        return {} if facts is None else facts.labels

    def is_terminating(self, name: str) -> bool:
        """Whether a namespace is being deleted."""
        facts = self._cache.get(name)
        return facts is not None and facts.terminating

    def __iter__(self) -> Iterator[NamespaceFacts]:
        """Give all."""
        return (facts for _, facts in self._cache.select(""))

    def build_sink(self, on_unreadable: UnreadableHook) -> CacheSink[str, NamespaceFacts]:
        """Make the sink of their reflector."""
        return CacheSink(
            NAMESPACES, self._cache, _read_name, parse_namespace, on_unreadable=on_unreadable
        )


def parse_namespace(body: JsonObject) -> NamespaceFacts:
    """Take what counts from a namespace as the API server sent it. Pure."""
    metadata = body["metadata"]
    return NamespaceFacts(metadata.get("labels") or {}, "deletionTimestamp" in metadata)


def _read_name(body: JsonObject) -> str:
    return str(body["metadata"]["name"])
