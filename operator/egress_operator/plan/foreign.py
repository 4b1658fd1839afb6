"""Objects of others that may take the calls of tenants, at a gateway or before they come to it.

The admission policies refuse most of them. What was written before these were in force, or while
they were off, stays as it is: so the status of a gateway names it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from egress_operator.istio.facts import Spec
from egress_operator.istio.kind import UNOWNED, Kind
from egress_operator.istio.name import INNER, is_behind_form, is_label
from egress_operator.istio.object import Observed
from egress_operator.istio.traffic import Labels
from egress_operator.plan.gateway import Gateway
from egress_operator.plan.reserved import find_reserved_name

_PLAIN_PORTS = frozenset({80, 8080})
"""Ports of plain HTTP by convention. While the port of the pods is not known, every other port
counts as the gateway's."""
_EVERYWHERE, _HERE, _NOWHERE = "*", ".", "~"
_SERVICE = ".svc"
"""In the full names of Services, before the domain of the cluster."""
_HAZARDS = {
    "addresses": "addresses",
    "endpoints": "a socket as endpoint",
    "files": "files that every proxy opens",
}
"""Words for `Facts.hazards` of what is exported."""


def note_reserved_name(item: Observed, spec: Spec, domains: tuple[str, ...]) -> Observed:
    """Return an object with the reserved name that it uses before other namespaces. Pure.

    `domains`: as of `list_reserved_domains`.
    """
    if item.ours or not _list_foreign(item):
        return item
    name = find_reserved_name(spec, domains)
    return replace(item, reserved=name) if name else item


def may_take_calls(item: Observed) -> bool:
    """Whether an object of others is worth a look for each gateway. Pure.

    Nearly all are not, and there may be tens of thousands.
    """
    if item.ours:
        return False
    if item.key.kind is Kind.GATEWAY:
        return True
    exported = _list_foreign(item)
    return bool(exported) and (
        exported != [_EVERYWHERE]
        or bool(item.facts.hazards)
        or bool(item.reserved)
        or any(_SERVICE in host for host in item.facts.hosts)
        or any(_list_gateways(item))
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A gateway, and what is known of its pods."""

    gateway: Gateway
    labels: Labels
    """Those that all of its pods have, as far as they are known."""
    ports: frozenset[int]
    """The port of its Service, and of the pods behind it, 0 if that is not known."""


def explain_foreign(around: Surroundings, item: Observed) -> str:
    """Say how an object of others may take the calls of a gateway's tenants, in one line. Pure.

    Empty when it cannot, as what stands in the namespace of the gateway: that is the platform's.
    """
    if item.key.namespace == around.gateway.namespace:
        return ""
    words = next(_explain(around, item), "")
    return f"{item.key} {words}" if words else ""


def _explain(around: Surroundings, item: Observed) -> Iterator[str]:
    """Give what is wrong with an object, in words that follow its name."""
    gateway = around.gateway
    if item.key.kind is Kind.GATEWAY:
        yield from _explain_server(around, item)
        return
    exported = _list_foreign(item)
    if not exported:
        return
    if gateway.namespace in exported:
        yield f"is exported to {gateway.namespace}"
    for hazard in sorted(item.facts.hazards):
        yield f"has {_HAZARDS[hazard]} and is exported to {_name_namespaces(exported)}"
    service = f"{gateway.intent.service}.{gateway.namespace}{_SERVICE}."
    for host in item.facts.hosts if item.key.kind is Kind.SERVICE_ENTRY else ():
        if f"{host}.".startswith(service):
            yield f"takes the name of the Service of EgressGateway {gateway.name}, {host}"
    if item.reserved:
        yield f"uses {item.reserved}"
    for name in _list_gateways(item):
        yield f"uses the Gateway {name}"


def _name_namespaces(exported: list[str]) -> str:
    if _EVERYWHERE in exported:
        return "all namespaces"
    return exported[0] + (f" and {len(exported) - 1} more" if len(exported) > 1 else "")


def _explain_server(around: Surroundings, item: Observed) -> Iterator[str]:
    """Give what is wrong with a Gateway that may select the pods.

    It may, unless one of its labels has another value there. A port of the Service and one of the
    pods both name the listener.
    """
    known, ports = dict(around.labels), around.ports
    pods = f"the pods of EgressGateway {around.gateway.name}"
    if any(known.get(key, value) != value for key, value in item.facts.selector):
        return
    if item.facts.hazards:
        yield f"may select {pods} and has bind"
    for port in item.facts.ports:
        is_unknown = 0 in ports and port.number not in _PLAIN_PORTS
        if port.number in ports or is_unknown:
            yield f"may select {pods} and listens on port {port.number}"


def _list_foreign(item: Observed) -> list[str]:
    """List the namespaces beside its own that an object is exported to; `*` for all."""
    if item.key.kind in {Kind.GATEWAY, *UNOWNED}:
        return []
    listed = item.facts.export_to or (_EVERYWHERE,)
    home = {_HERE, _NOWHERE, item.key.namespace}
    return sorted({*listed} - home)


def _list_gateways(item: Observed) -> Iterator[str]:
    """Give the Gateways of the operator's that a VirtualService has routes on."""
    for ref in sorted(item.facts.refs) if item.key.kind is Kind.VIRTUAL_SERVICE else ():
        namespace, _, name = ref.rpartition("/")
        name = name.removesuffix(INNER)
        if namespace and (is_label(name) or is_behind_form(name)):
            yield ref
