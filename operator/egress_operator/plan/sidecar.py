"""Which Sidecar holds for the workloads of a policy, and what it takes away from the policy.

As in initSidecarScopes and doGetSidecarScope (pilot/pkg/model/push_context.go) of Istio 1.31; a
test with a mesh compares them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile

from egress_operator.diagnostic import MOST_NAMED, name_some
from egress_operator.istio.route import PRIVATE_PORT
from egress_operator.istio.sidecar import (
    MOST_ENTRIES,
    MOST_EXCLUSIONS,
    NO_NAMES,
    NOTHING_SHOWN,
    EgressListener,
    PrivateNames,
    Service,
    Sidecar,
)
from egress_operator.istio.traffic import Labels
from egress_operator.istio.wildcard import list_covering
from egress_operator.plan.piece import Pieces
from egress_operator.plan.source import OutboundMode

MOST_READ = 50
"""Sidecars with a workloadSelector that are looked at in a namespace."""
ENTRY = "NAMESPACE/HOST"
"""Stands for the entry of a Sidecar until all hosts are known that it is for."""
_LAST = "~"
"""In the place of a creationTimestamp: after all."""
_NOT_BLOCKED = "so hosts that no policy names are not blocked"
_EFFECTS = {
    OutboundMode.REGISTRY_ONLY: "sidecars block what this policy allows",
    OutboundMode.ALLOW_ANY: "calls leave as if there were no policy",
    OutboundMode.UNKNOWN: "sidecars block these calls, or let them out as if there were no policy",
}


Ports = Mapping[int, bool]
"""The ports of a host, and whether they carry HTTP."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What a namespace has that decides what its pods see."""

    sidecars: tuple[Sidecar, ...] = ()
    """Those that are looked at, in Istio's order."""
    is_cut: bool = False
    """Whether there are more."""
    wildcards: Mapping[str, Ports] = field(default_factory=dict)
    """Hosts of policies that take the calls of names below them that are hidden."""


NO_SCREEN = Screen()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a policy opens in its namespace."""

    namespace: str
    labels: Labels
    """Of its workloads (`from`)."""
    hosts: Mapping[str, Ports]
    gateway: Service | None = None
    """The Service to which its routes lead."""
    private: Mapping[str, PrivateNames] = field(default_factory=dict)
    """By host: the private names to which its routes lead, where those have another port. Those of
    the same port are known where the host is."""

    def list_services(self, host: str, port: int) -> tuple[Service, ...]:
        """Return what pods must know besides a host, to reach a port of it."""
        if self.gateway is not None:
            return (self.gateway,)
        return self.private.get(host, NO_NAMES).get(port, ())


@dataclass(frozen=True, slots=True)
class Sight:
    """What Sidecars, and the mesh, hide of a policy. Sentences."""

    hidden: tuple[str, ...] = ()
    """Hosts that none of its workloads sees but those with Sidecars of their own."""
    partly_hidden: tuple[str, ...] = ()
    """Hosts that some of its workloads do not see."""
    unblocked: str = ""
    """Why hosts that no policy names are not blocked; empty: they are, or it is not known."""
    capped: tuple[str, ...] = ()
    """What the mesh hides of the policy from all proxies."""
    unread: str = ""
    """Which Sidecars are not looked at; empty: all are."""


NO_SIDECARS = Sight()


def choose_sidecars(sidecars: Iterable[Sidecar], namespace: str, root: str) -> tuple[Sidecar, ...]:
    """Return the Sidecars that hold in a namespace, in Istio's order. Pure.

    `sidecars`: those of the namespace and of the mesh's root namespace. Those with a
    workloadSelector come first, the older before the younger; then the oldest one without, or, when
    the namespace has none, the oldest one without of the root namespace.
    """
    ordered = sorted(sidecars, key=lambda item: (item.created or _LAST, item.name))
    chosen = [item for item in ordered if item.namespace == namespace and item.labels is not None]
    general = [item for item in ordered if item.labels is None]
    for place in (namespace, root):
        found = [item for item in general if item.namespace == place]
        if found:
            return (*chosen, found[0])
    return tuple(chosen)


def build_screen(sidecars: tuple[Sidecar, ...], wildcards: Mapping[str, Ports]) -> Screen:
    """Take of the Sidecars of a namespace, as `choose_sidecars` returns them, the first. Pure.

    Whoever may write Sidecars decides how many there are, and each policy is compared with each.
    """
    general = sidecars[-1:] if sidecars and sidecars[-1].labels is None else ()
    chosen = len(sidecars) - len(general)
    if chosen <= MOST_READ:
        return Screen(sidecars, wildcards=wildcards)
    return Screen((*sidecars[:MOST_READ], *general), is_cut=True, wildcards=wildcards)


def find_sight(screen: Screen, opening: Opening, mesh_mode: OutboundMode) -> Pieces[Sight]:
    """Tell what the Sidecars of a namespace hide, one and a port in each piece. Pure."""
    labels, namespace = opening.labels, opening.namespace
    met = [item for item in screen.sidecars if not _contradict(item.labels or (), labels)]
    general = next((item for item in met if {*(item.labels or ())} <= {*labels}), None)
    special = list(takewhile(lambda item: item is not general, met))
    hidden: list[str] = []
    if general is not None:
        hidden = yield from _explain_hidden(general, screen, opening, mesh_mode)
    partly: list[str] = []
    for index, item in enumerate(special):
        if len(partly) >= MOST_NAMED:
            rest = len(special) - index
            partly.append(f"{rest} more Sidecars with a workloadSelector are not looked at")
            break
        yield
        partly += yield from _explain_hidden(item, screen, opening, mesh_mode)
    open_ones = [_explain_open(item, namespace) for item in special if _is_open(item)]
    if general is None or not general.mode:
        unblocked = _explain_mesh(mesh_mode)
    else:
        unblocked = _explain_open(general, namespace) if _is_open(general) else ""
    unread = list(_explain_unread([*special, *([general] if general else [])], namespace))
    if screen.is_cut:
        cut = f"of the Sidecars with a workloadSelector only the oldest {MOST_READ} are looked at"
        unread.append(cut)
        partly += [cut] if partly else []
    return Sight(
        tuple(hidden),
        tuple(partly),
        unblocked or next(iter(open_ones), ""),
        unread="; ".join(unread),
    )


def _explain_unread(sidecars: Iterable[Sidecar], namespace: str) -> Iterator[str]:
    """Tell of Sidecars that are too large."""
    large = [item for item in sidecars if item.is_too_large]
    for item in large[:1]:
        rest = f", like {len(large) - 1} more," if len(large) > 1 else ""
        yield (
            f"{_name(item, namespace)} is not looked at{rest} because it has more than "
            f"{MOST_ENTRIES} listeners and hosts in egress, or listeners of one port with more "
            f"than {MOST_EXCLUSIONS} different sets of exclusions"
        )


def _contradict(one: Labels, other: Labels) -> bool:
    """Whether no pod has both."""
    known = dict(other)
    return any(known.get(key, value) != value for key, value in one)


def _is_open(sidecar: Sidecar) -> bool:
    """Whether it lets everything out, whatever the mesh does."""
    return sidecar.mode not in {"", OutboundMode.REGISTRY_ONLY}


def _find_effect(sidecar: Sidecar, mesh_mode: OutboundMode) -> str:
    if not sidecar.mode:
        return _EFFECTS[mesh_mode]
    return _EFFECTS[OutboundMode.ALLOW_ANY if _is_open(sidecar) else OutboundMode.REGISTRY_ONLY]


def _explain_mesh(mode: OutboundMode) -> str:
    return (
        f"the mesh is in mode ALLOW_ANY, {_NOT_BLOCKED}" if mode is OutboundMode.ALLOW_ANY else ""
    )


def _explain_open(sidecar: Sidecar, namespace: str) -> str:
    return f"{_name(sidecar, namespace)} has mode ALLOW_ANY, {_NOT_BLOCKED}"


def _explain_hidden(
    sidecar: Sidecar, screen: Screen, opening: Opening, mesh_mode: OutboundMode
) -> Pieces[list[str]]:
    """Return a sentence for each change that would show what is hidden; a port in each piece."""
    if sidecar.ports is None:
        return []
    namespace = opening.namespace
    # A host has many ports, and the listeners of all of them may be the same.
    shows, find_fix = cache(EgressListener.shows), cache(_find_fix)
    gaps: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    lost: dict[str, list[int]] = {}
    for host, ports in sorted(opening.hosts.items()):
        covering = [name for name in list_covering(host) if name in screen.wildcards]
        for port, is_http in sorted(ports.items()):
            yield
            listener = sidecar.find_listener(port, is_http=is_http)
            if listener is None or not shows(listener, host, namespace):
                taker = next(
                    (
                        name
                        for name in covering
                        if screen.wildcards[name].get(port) is is_http
                        and listener is not None
                        and shows(listener, name, namespace)
                    ),
                    "",
                )
                gap = (*find_fix(listener, host, namespace), taker)
                gaps.setdefault(gap, {}).setdefault(host, []).append(port)
            elif not all(
                sidecar.knows(service, host, namespace, shows)
                for service in opening.list_services(host, port)
            ):
                lost.setdefault(host, []).append(port)
    name, told = _name(sidecar, namespace), []
    for (fix, place, taker), hosts in list(gaps.items())[:MOST_NAMED]:
        is_one = len(hosts) == 1 and sidecar.namespace == namespace
        entry = f"./{next(iter(hosts))}" if is_one else "./*"
        effect = _find_effect(sidecar, mesh_mode)
        if taker:
            effect = f"these calls go by {taker} instead, as the policies say for that"
        told.append(
            f"{name} does not import {_list_some(hosts)}, so {effect}; "
            f"{fix.replace(ENTRY, entry)}{place}"
        )
    if (rest := len(gaps) - MOST_NAMED) > 0:
        told.append(f"{name} hides more hosts of this policy; {_count_changes(rest)} needed")
    return [*told, f"{name} {_explain_lost(lost, opening.gateway)}"] if lost else told


def _count_changes(count: int) -> str:
    return "1 more change to it is" if count == 1 else f"{count} more changes to it are"


def _explain_lost(lost: Mapping[str, list[int]], gateway: Service | None) -> str:
    """Tell that hosts are shown and not that to which their routes lead, and what to add."""
    place = "to an egress listener without port or for port"
    if gateway is not None:
        return (
            f"does not import the gateway's Service, so {_list_some(lost)} cannot be reached; add "
            f'"{gateway.namespace}/{gateway.host}" {place} {gateway.port}'
        )
    entry = f"./{next(iter(lost))}" if len(lost) == 1 else "./*"
    return (
        f"imports {_list_some(lost)} for that port alone, and the way there has a name of its own "
        f'on port {PRIVATE_PORT}, so it cannot be reached; add "{entry}" {place} {PRIVATE_PORT}'
    )


def _find_fix(listener: EgressListener | None, host: str, namespace: str) -> tuple[str, str]:
    """Return what to write, with the place of the entry, and where."""
    if listener is None:
        return f'add an egress listener without port and with "{ENTRY}" to it', ""
    place = f" of its egress listener for port {listener.port}" if listener.port else ""
    exclusion = listener.find_exclusion(host, namespace)
    if exclusion in NOTHING_SHOWN:
        return f'write "{ENTRY}" in place of "{exclusion}" in the egress hosts', place
    if exclusion:
        return f'take "{exclusion}" out of the egress hosts', place
    return f'add "{ENTRY}" to the egress hosts', place


def _list_some(hosts: Mapping[str, list[int]]) -> str:
    names = [f"{host} ({', '.join(map(str, ports))})" for host, ports in hosts.items()]
    return name_some(names)


def _name(sidecar: Sidecar, namespace: str) -> str:
    if sidecar.namespace != namespace:
        return f"Sidecar {sidecar.namespace}/{sidecar.name}, the mesh's default,"
    if sidecar.labels is None:
        return f"Sidecar {sidecar.name}"
    labels = name_some([f"{key}={value}" for key, value in sidecar.labels])
    return f"Sidecar {sidecar.name}, for pods with {labels or 'any labels'},"
