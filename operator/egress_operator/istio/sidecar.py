"""The Sidecar, which we read and never write: what it shows to the pods that it is for.

As in convertIstioListenerToWrapper and selectServices (pilot/pkg/model/sidecar.go) and
buildSidecarOutboundListeners (pilot/pkg/networking/core/listener.go) of Istio 1.31; a test with a
mesh compares them.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from egress_operator.istio.kind import NETWORKING
from egress_operator.istio.object import pack_spec
from egress_operator.istio.traffic import Labels

API_VERSION = NETWORKING
PLURAL = "sidecars"
SIDECAR = "Sidecar"
"""The kind."""

REGISTRY_ONLY = "REGISTRY_ONLY"
NOTHING_SHOWN = frozenset({"~/*", "~*/*"})
"""The entries that hide all that a listener shows."""
MOST_ENTRIES = 2000
"""Listeners and their hosts in one Sidecar; one with more is not looked at."""
MOST_EXCLUSIONS = 16
"""Different sets of exclusions that listeners of one port have in a Sidecar that is looked at."""
_EXCLUSION = "~"
"""Begins an entry that hides what others show."""
_HERE, _ANYWHERE, _ANY = ".", "*", "*"
_LONGEST = 253
"""The length of a host."""
_PROXY = "HTTP_PROXY"
"""The protocol of a listener that clients are told to use as their proxy."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Hosts of listeners as written, `namespace/host`, some by wildcard.

    A look-up does not depend on how many there are.
    """

    texts: frozenset[str]
    lengths: tuple[int, ...]
    """Of `ends`, the longest first."""
    ends: frozenset[str]
    """What stands behind the asterisk in those with a wildcard."""

    def find(self, host: str, places: Iterable[str]) -> str:
        """Return one that stands for a host, empty for none (SubsetOf in pkg/config/host).

        `places`: the namespaces, and words for them, that may stand in it.
        """
        size = len(host)
        found = [
            end
            for length in self.lengths
            if length <= size and (end := host[size - length :]) in self.ends
        ]
        names = (host, *(f"{_ANY}{end}" for end in found))
        texts = (f"{place}/{name}" for place in places for name in names)
        return next((text for text in texts if text in self.texts), "")


@dataclass(frozen=True, slots=True)
class EgressListener:
    """One of `egress`, or several of one port: what pods see there."""

    port: int
    """0: every port that has no listener of its own."""
    shown: Entries
    excluded: Entries
    """What is hidden of that, from Istio 1.31 on; without the tilde."""

    def find_exclusion(self, host: str, namespace: str, *, is_here: bool = True) -> str:
        """Return the entry that hides a host of a namespace, empty when none does."""
        text = self.excluded.find(host, (*_list_places(namespace, is_here=is_here), ""))
        return text and f"{_EXCLUSION}{text}"

    def shows(self, host: str, namespace: str, *, is_here: bool = True) -> bool:
        """Whether pods see a host that is declared in a namespace; `is_here`: in their own."""
        is_shown = self.shown.find(host, _list_places(namespace, is_here=is_here))
        return bool(is_shown) and not self.find_exclusion(host, namespace, is_here=is_here)


def _list_places(namespace: str, *, is_here: bool) -> tuple[str, ...]:
    """List what may stand in an entry for a namespace."""
    return (_HERE, namespace, _ANYWHERE) if is_here else (namespace, _ANYWHERE)


@dataclass(frozen=True, slots=True)
class PortListeners:
    """All listeners of a port."""

    first: EgressListener
    dialled: EgressListener | None
    """The first one that takes what programs dial anyway. The others have an address or socket of
    their own, or are a proxy: programs must be told of them."""
    together: tuple[EgressListener, ...]
    """All: those with the same exclusions are one."""


@dataclass(frozen=True, slots=True)
class Service:
    """A port of a Service to which routes of other hosts lead."""

    namespace: str
    host: str
    port: int


PrivateNames = Mapping[int, tuple[Service, ...]]
"""Names of the operator's to which the routes of a host lead, by the port of the host."""
NO_NAMES: PrivateNames = {}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What counts of a Sidecar."""

    namespace: str
    name: str
    created: str
    labels: Labels | None
    """Those of the pods that it is for, sorted; None: of all in its namespace."""
    ports: Mapping[int, PortListeners] | None
    """The listeners by their port; None: the pods see everything."""
    mode: str
    """`outboundTrafficPolicy.mode`; empty: that of the mesh."""
    is_too_large: bool = False
    """Whether its listeners are not looked at: it has none then."""

    def find_listener(self, port: int, *, is_http: bool) -> EgressListener | None:
        """Return the listener that decides for a port, None when there is none.

        The hosts of HTTP are those of the first listener of the port, whatever its address
        (GetEgressListenerForRDS).
        """
        ports = self.ports or {}
        own, rest = ports.get(port), ports.get(0)
        found = None if own is None else own.first if is_http else own.dialled
        return found or (None if rest is None else rest.dialled)

    def knows(
        self,
        service: Service,
        host: str,
        namespace: str,
        shows: Callable[..., bool] = EgressListener.shows,
    ) -> bool:
        """Whether pods of a namespace know the Service to which routes of a host there lead.

        It comes with the routes, but to a listener of a port only with that port of its own
        (collectImportedServices). `shows`: or the same with a memory.
        """
        is_here = service.namespace == namespace
        ports = self.ports or {}
        found = [
            item for port in (0, service.port) if port in ports for item in ports[port].together
        ]
        return any(shows(item, host, namespace) for item in found) or any(
            shows(item, service.host, service.namespace, is_here=is_here) for item in found
        )


def read_sidecar(obj: Mapping[str, Any]) -> Sidecar:
    """Take what counts from a Sidecar as the API server sent it. Pure.

    An `outboundTrafficPolicy` without mode is REGISTRY_ONLY, its zero value; an empty list of
    `egress` is none. Raises `KeyError` for an object without name or namespace.
    """
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    selector, policy = spec.get("workloadSelector"), spec.get("outboundTrafficPolicy")
    egress = spec.get("egress") or ()
    ports = _read_ports(egress)
    return Sidecar(
        namespace=sys.intern(metadata["namespace"]),
        name=sys.intern(metadata["name"]),
        created=metadata.get("creationTimestamp", ""),
        labels=None if selector is None else _read_labels(selector.get("labels") or {}),
        ports=ports or None,
        mode="" if policy is None else str(policy.get("mode") or REGISTRY_ONLY),
        is_too_large=ports is None,
    )


@dataclass(frozen=True, slots=True)
class PackedSidecar:
    """A Sidecar with its listeners as JSON: a tenth of what they take, and few are looked at."""

    outline: Sidecar
    """Without its listeners."""
    spec: bytes
    """Empty: it has no listeners, or is not looked at."""

    def read(self) -> Sidecar:
        """Return it with its listeners."""
        if not self.spec:
            return self.outline
        return replace(self.outline, ports=_read_ports(orjson.loads(self.spec)["egress"]))


def pack_sidecar(obj: Mapping[str, Any]) -> PackedSidecar:
    """Take what counts from a Sidecar as `read_sidecar` does, with its errors. Pure."""
    sidecar = read_sidecar(obj)
    spec = pack_spec(obj["spec"]) if sidecar.ports else b""
    return PackedSidecar(replace(sidecar, ports=None), spec)


def _read_labels(labels: Mapping[str, Any]) -> Labels:
    return tuple(sorted((sys.intern(key), sys.intern(str(labels[key]))) for key in labels))


def _read_ports(egress: Sequence[Mapping[str, Any]]) -> Mapping[int, PortListeners] | None:
    """Return the listeners by their port, None if they are too many."""
    if sum(1 + len(listener.get("hosts") or ()) for listener in egress) > MOST_ENTRIES:
        return None
    known: dict[frozenset[str], Entries] = {}
    listeners: dict[int, list[tuple[EgressListener, bool]]] = {}
    for listener in egress:
        port = listener.get("port") or {}
        texts = [str(entry) for entry in listener.get("hosts") or ()]
        hidden = [text for text in texts if text.startswith(_EXCLUSION)]
        found = EgressListener(
            int(port.get("number") or 0),
            _share_entries((text for text in texts if not text.startswith(_EXCLUSION)), known),
            _share_entries((text.removeprefix(_EXCLUSION) for text in hidden), known),
        )
        is_dialled = not (
            listener.get("bind")
            or listener.get("captureMode") == "NONE"
            or port.get("protocol") == _PROXY
        )
        listeners.setdefault(found.port, []).append((found, is_dialled))
    ports = {port: _merge(items, known) for port, items in listeners.items()}
    if any(len(item.together) > MOST_EXCLUSIONS for item in ports.values()):
        return None
    return ports


def _merge(
    listeners: Sequence[tuple[EgressListener, bool]], known: dict[frozenset[str], Entries]
) -> PortListeners:
    """Put the listeners of one port together: one look-up is enough for all of them."""
    first = listeners[0][0]
    dialled = next((item for item, is_dialled in listeners if is_dialled), None)
    alike: dict[Entries, list[Entries]] = {}
    for item, _ in listeners:
        alike.setdefault(item.excluded, []).append(item.shown)
    together = tuple(
        first
        if len(listeners) == 1
        else EgressListener(
            first.port,
            _share_entries((text for entries in shown for text in entries.texts), known),
            excluded,
        )
        for excluded, shown in alike.items()
    )
    return PortListeners(first, dialled, together)


def _share_entries(texts: Iterable[str], known: dict[frozenset[str], Entries]) -> Entries:
    """Index entries; those of listeners with the same hosts are one value."""
    found = frozenset(texts)
    if found not in known:
        names = (text.partition("/")[2] for text in found)
        ends = {name.removeprefix(_ANY) for name in names if name.startswith(_ANY)}
        fitting = {len(end) for end in ends if len(end) <= _LONGEST}
        known[found] = Entries(found, tuple(sorted(fitting, reverse=True)), frozenset(ends))
    return known[found]
