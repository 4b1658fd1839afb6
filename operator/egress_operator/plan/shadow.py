"""Hand-written Istio objects for a host of a policy: seen and said, not governed."""

from collections.abc import Iterable, Mapping

from egress_operator.istio.object import Kind
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
    for item in sorted(hand_written):
        for name in item.hosts:
            for host in _match(item, name, hosts):
                if _is_squatter(item, hosts[host]):
                    continue
                found.setdefault(host, []).append(_build_sentence(item, name, host))
    return {host: tuple(sorted(set(sentences))) for host, sentences in found.items()}


def _match(item: HandWritten, name: str, hosts: Mapping[str, CompiledHost]) -> list[str]:
    if not name.startswith("*"):
        return [name] if name in hosts else []
    if item.kind != Kind.VIRTUAL_SERVICE:
        return []
    return [host for host in hosts if host.endswith(name[1:])]


def _is_squatter(item: HandWritten, host: CompiledHost) -> bool:
    return host.group is not None and any(
        desired.key.kind == item.kind and desired.key.name == item.name
        for desired in host.group.objects
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
