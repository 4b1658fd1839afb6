"""The Sidecar, which we read and never write: what it shows to the pods that it is for.

As in convertIstioListenerToWrapper and selectServices (pilot/pkg/model/sidecar.go) and
buildSidecarOutboundListeners (pilot/pkg/networking/core/listener.go) of Istio 1.31; a test with a
mesh compares them.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from egress_operator.istio.kind import NETWORKING

API_VERSION = NETWORKING
PLURAL = "sidecars"
SIDECAR = "Sidecar"
"""The kind."""

REGISTRY_ONLY = "REGISTRY_ONLY"
NOTHING_SHOWN = "~/*"
"""The entry of a listener that shows nothing."""
_EXCLUSION = "~"
"""Begins an entry that hides what others show."""
_HERE, _ANYWHERE, _ANY = ".", "*", "*"
_PROXY = "HTTP_PROXY"
"""The protocol of a listener that clients are told to use as their proxy."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of hosts, some by wildcard. A look-up does not depend on how many there are."""

    exact: frozenset[str]
    ends: frozenset[str]
    """What stands behind the asterisk."""

    def find(self, host: str) -> str:
        """Return a name that stands for a host (SubsetOf in pkg/config/host), empty for none."""
        if host in self.exact:
            return host
        ends = (host[start:] for start in range(len(host) + 1))
        return next((f"*{end}" for end in ends if end in self.ends), "")


@dataclass(frozen=True, slots=True)
class EgressListener:
    """One of `egress`: what pods see on a port."""

    port: int
    """0: every port that has no listener of its own."""
    shown: Mapping[str, Names]
    """By namespace, as it is written: also `.` and `*`."""
    excluded: Mapping[str, Names]
    """What is hidden of that, from Istio 1.31 on."""
    is_own: bool = False
    """Whether programs must be told of it: an address or socket of its own, or a proxy. It takes
    nothing of what they dial anyway."""

    def find_exclusion(self, host: str, namespace: str, *, is_here: bool = True) -> str:
        """Return the entry that hides a host of a namespace, empty when none does."""
        for place, name in _find(self.excluded, host, namespace, is_here=is_here):
            return f"{_EXCLUSION}{'' if place == _ANYWHERE else place}/{name}"
        return ""

    def shows(self, host: str, namespace: str, *, is_here: bool = True) -> bool:
        """Whether pods see a host that is declared in a namespace; `is_here`: in their own."""
        is_shown = any(_find(self.shown, host, namespace, is_here=is_here))
        return is_shown and not self.find_exclusion(host, namespace, is_here=is_here)


def _find(
    names: Mapping[str, Names], host: str, namespace: str, *, is_here: bool
) -> Iterator[tuple[str, str]]:
    """Give the entries that stand for a host of a namespace: place and name."""
    for place in (*((_HERE,) if is_here else ()), namespace, _ANYWHERE):
        if place in names and (name := names[place].find(host)):
            yield place, name


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
    listeners: tuple[EgressListener, ...] | None
    """None: the pods see everything."""
    mode: str
    """`outboundTrafficPolicy.mode`; empty: that of the mesh."""
    _by_port: Mapping[int, tuple[EgressListener, ...]] = field(
        init=False, compare=False, repr=False
    )
    """A look-up does not depend on how many ports have listeners."""

    def __post_init__(self) -> None:
        """Sort the listeners by port."""
        found: dict[int, list[EgressListener]] = {}
        for item in self.listeners or ():
            found.setdefault(item.port, []).append(item)
        by_port = {port: tuple(items) for port, items in found.items()}
        object.__setattr__(self, "_by_port", by_port)

    def find_listener(self, port: int, *, is_http: bool) -> EgressListener | None:
        """Return the listener that decides for a port, None when there is none.

        The hosts of HTTP are those of the first listener of the port, whatever its address
        (GetEgressListenerForRDS).
        """
        found = (item for item in self._by_port.get(port, ()) if is_http or not item.is_own)
        rest = (item for item in self._by_port.get(0, ()) if not item.is_own)
        return next(chain(found, rest), None)

    def knows(self, service: Service, host: str, namespace: str) -> bool:
        """Whether pods of a namespace know the Service to which routes of a host there lead.

        It comes with the routes, but to a listener of a port only with that port of its own
        (collectImportedServices).
        """
        is_here = service.namespace == namespace
        return any(
            item.shows(host, namespace)
            or item.shows(service.host, service.namespace, is_here=is_here)
            for port in (0, service.port)
            for item in self._by_port.get(port, ())
        )


def read_sidecar(obj: Mapping[str, Any]) -> Sidecar:
    """Take what counts from a Sidecar as the API server sent it. Pure.

    An `outboundTrafficPolicy` without mode is REGISTRY_ONLY, its zero value; an empty list of
    `egress` is none. Raises `KeyError` for an object without name or namespace.
    """
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    selector, policy = spec.get("workloadSelector"), spec.get("outboundTrafficPolicy")
    egress = spec.get("egress")
    return Sidecar(
        namespace=sys.intern(metadata["namespace"]),
        name=sys.intern(metadata["name"]),
        created=metadata.get("creationTimestamp", ""),
        labels=None if selector is None else _read_labels(selector.get("labels") or {}),
        listeners=tuple(map(_read_listener, egress)) if egress else None,
        mode="" if policy is None else str(policy.get("mode") or REGISTRY_ONLY),
    )


def _read_labels(labels: Mapping[str, Any]) -> Labels:
    return tuple(sorted((sys.intern(key), sys.intern(str(labels[key]))) for key in labels))


def _read_listener(listener: Mapping[str, Any]) -> EgressListener:
    port = listener.get("port") or {}
    entries = [str(entry).partition("/") for entry in listener.get("hosts") or ()]
    return EgressListener(
        int(port.get("number") or 0),
        _index((place, name) for place, _, name in entries if not place.startswith(_EXCLUSION)),
        _index(
            (place.removeprefix(_EXCLUSION) or _ANYWHERE, name)
            for place, _, name in entries
            if place.startswith(_EXCLUSION)
        ),
        is_own=bool(listener.get("bind"))
        or listener.get("captureMode") == "NONE"
        or port.get("protocol") == _PROXY,
    )


def _index(entries: Iterable[tuple[str, str]]) -> Mapping[str, Names]:
    found: dict[str, list[str]] = {}
    for place, name in entries:
        found.setdefault(sys.intern(place), []).append(sys.intern(name))
    return {
        place: Names(
            frozenset(name for name in names if not name.startswith(_ANY)),
            frozenset(name[1:] for name in names if name.startswith(_ANY)),
        )
        for place, names in found.items()
    }
