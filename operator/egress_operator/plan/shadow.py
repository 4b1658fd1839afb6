"""Hand-written Istio objects for a host of a policy: seen and said, not governed."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from egress_operator.istio.kind import Kind
from egress_operator.plan.host import CompiledHost
from egress_operator.plan.source import HandWritten


def find_shadows(
    hand_written: Iterable[HandWritten], hosts: Mapping[str, CompiledHost]
) -> dict[str, tuple[str, ...]]:
    """Sentences by host that name the objects beside ours, sorted. Pure.

    A VirtualService with a wildcard counts too: for a host without a VirtualService of its own
    Istio takes the most specific one that matches. An object that has the name of one of ours is
    no shadow: it is squatted, which `next_step` says.
    """
    found: dict[str, list[str]] = {}
    index = _SuffixIndex(hosts)
    for item in hand_written:
        for name in item.hosts:
            for host in _match(item, name, index):
                if _is_squatter(item, hosts[host]):
                    continue
                found.setdefault(host, []).append(_build_sentence(item, name, host))
    return {host: tuple(sorted(set(sentences))) for host, sentences in found.items()}


class _SuffixIndex:
    """Hosts sorted by their reversed names: those with one end stand side by side."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(hosts)
        self._reversed = sorted(host[::-1] for host in self.hosts)

    def find(self, suffix: str) -> Iterator[str]:
        """Give the hosts that end with `suffix`; n log n in all, and what is found."""
        start = suffix[::-1]
        first = bisect_left(self._reversed, start)
        for index in range(first, len(self._reversed)):
            if not self._reversed[index].startswith(start):
                return
            yield self._reversed[index][::-1]


def _match(item: HandWritten, name: str, index: _SuffixIndex) -> Iterable[str]:
    if not name.startswith("*"):
        return [name] if name in index.hosts else []
    return index.find(name[1:]) if item.kind == Kind.VIRTUAL_SERVICE else ()


def _is_squatter(item: HandWritten, host: CompiledHost) -> bool:
    return host.object_set is not None and any(
        desired.key.kind == item.kind and desired.key.name == item.name
        for desired in host.object_set.objects
    )


def _build_sentence(item: HandWritten, name: str, host: str) -> str:
    what = host if name == host else f"{host} (by {name})"
    if item.kind == Kind.VIRTUAL_SERVICE:
        effect = "Istio may route by it and not by this policy"
    elif item.kind == Kind.SERVICE_ENTRY:
        effect = "Istio mixes its endpoints and ports with those of this policy"
    else:
        effect = "it may change what this policy does"
    return f"{item.kind} {item.name}, written by hand, also names {what}: {effect}, so remove one"
