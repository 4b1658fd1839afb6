"""What a spec says that matters to other objects: the same facts of what is wanted and observed."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from egress_operator.istio.kind import ObjectKey

Spec = Mapping[str, Any]

NOTHING: frozenset[str] = frozenset()
"""One for all: Python makes each empty frozenset anew, and there is one for each object."""
_PORTS = 1024
"""Ports that are remembered: nearly all objects have one of a few."""
OWN_NAMESPACE = (".",)
"""The `exportTo` of all that we write."""


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of a ServiceEntry as it stands there. `target` 0: the same number."""

    number: int
    protocol: str
    name: str
    target: int = 0


@lru_cache(_PORTS)
def share_port(number: int, protocol: str, name: str, target: int = 0) -> Port:
    """Return a port, one for all that are equal."""
    return Port(number, protocol, name, target)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one spec; each kind's module reads those that it has (`read_facts`)."""

    hosts: tuple[str, ...] = ()
    """spec.hosts, of a DestinationRule spec.host, in lower case."""
    ports: tuple[Port, ...] = ()
    """What a ServiceEntry offers, and the ports of a Gateway's servers, sorted."""
    needs: frozenset[int] = frozenset()
    """The ports of its own hosts that a VirtualService routes to."""
    refs: frozenset[str] = NOTHING
    """What else a VirtualService needs; what a DestinationRule or Gateway offers; of a ServiceEntry
    the labels of the gateways that it serves; of an AuthorizationPolicy the namespaces that it lets
    in under names of their own, `unix:` for what comes by a socket of the pod, and `*` for any
    other rule; of an EnvoyFilter the namespace whose it is, `*` of another form than ours."""
    export_to: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    """Of a DestinationRule: which it has of `trafficPolicy` and `workloadSelector`; of a
    VirtualService: which of `http`, `tls` and `tcp`."""
    selector: tuple[tuple[str, str], ...] = ()
    """Of a Gateway, an AuthorizationPolicy or an EnvoyFilter, sorted."""
    is_closed: bool = False
    """A ServiceEntry without endpoints, or an AuthorizationPolicy that lets nobody in from outside
    the pod."""
    is_dynamic: bool = False
    """A ServiceEntry of a wildcard that has requests: only its route keeps them to one port."""
    hazards: frozenset[str] = NOTHING
    """Fields by which it may take calls that are not for it: of a ServiceEntry `addresses`, and
    `endpoints` that are sockets; of a DestinationRule `files`; of a Gateway `bind`."""

    @property
    def needs_route(self) -> bool:
        """Whether a ServiceEntry is not to be there before the route of its host's clients."""
        return self.is_closed or self.is_dynamic


def build_gateway_ref(key: ObjectKey) -> str:
    """Return the Gateway as VirtualServices name it."""
    return f"{key.namespace}/{key.name}"


def build_subset_ref(host: str, subset: str) -> str:
    """Return one name for a subset of a host."""
    return f"{host}#{subset}"


def read_hosts(names: Iterable[object]) -> tuple[str, ...]:
    """Return names of hosts in lower case, one text for all that are equal."""
    return tuple([sys.intern(str(name).lower()) for name in names])


def read_export(spec: Spec) -> tuple[str, ...]:
    """Return `exportTo` as it is written; a file may have anything there."""
    listed = spec.get("exportTo") or ()
    return OWN_NAMESPACE if listed == ["."] else tuple(map(str, listed))


def read_ports(listed: Iterable[Mapping[str, Any]]) -> tuple[Port, ...]:
    """Return ports as they are listed in a spec, sorted."""
    return tuple(
        sorted(
            share_port(
                int(port.get("number", 0)),
                str(port.get("protocol", "")),
                str(port.get("name", "")),
                int(port.get("targetPort", 0)),
            )
            for port in listed
        )
    )
