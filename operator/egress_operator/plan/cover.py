"""Wildcards with a route, and the hosts below them, which need one of their own."""

from collections.abc import Collection, Iterable, Iterator

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.wildcard import is_wildcard, list_covering

NONE_BELOW: frozenset[ObjectKey] = frozenset()
"""One for all: Python makes each empty frozenset anew."""


class Cover:
    """The wildcards of a namespace that have a route.

    The route of a wildcard counts for every host below it that has none of its own. So these have
    one, and it is there before the wildcard's.
    """

    def __init__(self, wildcards: Iterable[str]) -> None:
        self._below: dict[str, set[ObjectKey]] = {host: set() for host in wildcards}

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._below

    def sort(self, hosts: Collection[str]) -> Iterable[str]:
        """Put wildcards after all that is below them."""
        if self.is_empty:
            return hosts
        return sorted(hosts, key=lambda host: (is_wildcard(host), -host.count(".")))

    def is_over(self, host: str) -> bool:
        """Whether one of the wildcards covers the host."""
        return next(self._list_over(host), None) is not None

    def add(self, host: str, objects: ObjectSet | None) -> None:
        """Know the objects of a host."""
        for key in () if objects is None else _list_routes(objects):
            for over in self._list_over(host):
                self._below[over].add(key)

    def list_below(self, host: str) -> frozenset[ObjectKey]:
        """Return the routes of the hosts below one of the wildcards; none for another host."""
        found = self._below.get(host)
        return frozenset(found) if found else NONE_BELOW

    def _list_over(self, host: str) -> Iterator[str]:
        return (over for over in list_covering(host) if over in self._below)


def _list_routes(objects: ObjectSet) -> Iterator[ObjectKey]:
    route = objects.virtual_service_key
    if any(item.key == route and item.key.kind is Kind.VIRTUAL_SERVICE for item in objects.objects):
        yield route
