"""Whether a gateway can carry traffic: its Service, its pods, and who else listens on them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Observed
from egress_operator.plan.gateway import Gateway

_TLS_PROTOCOLS = frozenset({"HTTPS", "TLS"})

EXPORT_TO = "networking.istio.io/exportTo"
"""The annotation by which a Service says who sees it."""

Place = tuple[str, str]
"""(namespace, name) of a Service."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What counts of a Service."""

    selector: tuple[tuple[str, str], ...]
    ports: Mapping[int, int]
    """By number: the port of the pods, 0 where it is told by name."""
    headless: bool
    export_to: tuple[str, ...] = ()
    """As its annotation says; empty: as the mesh does."""


@dataclass(frozen=True, slots=True)
class GatewayServices:
    """What is there around the gateways, as far as it is watched."""

    services: Mapping[Place, ServiceFacts] = field(default_factory=dict)
    endpoints: Mapping[Place, int] = field(default_factory=dict)
    """Endpoints of a Service that are ready."""
    servers: tuple[Observed, ...] = ()
    """Objects of kind Gateway that are not ours."""
    export_to: tuple[str, ...] = ()
    """Who sees a Service that does not say it; empty: all."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who sees the Service of a gateway, where not all do."""

    service: str
    """`namespace/name`."""
    namespaces: frozenset[str]

    def find_unready(self, namespace: str) -> str:
        """Say why a namespace cannot use the gateway, in one line; empty when it can."""
        if namespace in self.namespaces:
            return ""
        return (
            f"Service {self.service} is not shown to namespace {namespace}, by its annotation or "
            "by defaultServiceExportTo of the mesh's configuration: give it the annotation "
            f'{EXPORT_TO}: "*", or name the namespace there'
        )


def find_audience(gateway: Gateway, services: GatewayServices) -> Audience | None:
    """Tell who sees the Service of a gateway, None for all. Pure."""
    intent = gateway.intent
    service = services.services.get((intent.namespace, intent.service))
    places = services.export_to if service is None else service.export_to or services.export_to
    seers = frozenset(intent.namespace if place == "." else place for place in places)
    if not seers or "*" in seers:
        return None
    return Audience(f"{intent.namespace}/{intent.service}", seers)


def find_unready(gateway: Gateway, services: GatewayServices) -> str:
    """Say why a gateway cannot carry traffic, in one line; empty when it can. Pure."""
    intent = gateway.intent
    name = f"Service {intent.namespace}/{intent.service}"
    service = services.services.get((intent.namespace, intent.service))
    if service is None:
        return f"there is no {name}"
    if reason := _find_unusable(gateway, service, services.export_to):
        return f"{name} {reason}"
    if not services.endpoints.get((intent.namespace, intent.service)):
        return f"{name} has no ready endpoint"
    return _find_rival(gateway, {intent.port, service.ports[intent.port]}, services.servers)


def _find_unusable(gateway: Gateway, service: ServiceFacts, export_to: tuple[str, ...]) -> str:
    """Say what is wrong with the Service of a gateway itself, in words that follow its name."""
    intent = gateway.intent
    if service.headless:
        return "is headless, so Istio has no address for it: give it a cluster IP"
    if intent.port not in service.ports:
        ports = ", ".join(str(port) for port in sorted(service.ports))
        there = f"there are: {ports}" if ports else "it has none"
        return f"has no port {intent.port}; {there}"
    if not _agree(service.selector, intent.selector):
        return "selects other pods than spec.selector"
    if not {*(service.export_to or export_to or ("*",))} - {".", "~", intent.namespace}:
        return (
            "is shown to its own namespace alone, by defaultServiceExportTo of the mesh's "
            f'configuration or by its annotation: give it the annotation {EXPORT_TO}: "*"'
        )
    return ""


def _agree(one: Iterable[tuple[str, str]], other: Iterable[tuple[str, str]]) -> bool:
    """Whether two selectors have a label in common, and none with different values."""
    first, second = dict(one), dict(other)
    common = first.keys() & second.keys()
    return bool(common) and all(first[key] == second[key] for key in common)


def _find_rival(gateway: Gateway, numbers: Collection[int], servers: Iterable[Observed]) -> str:
    """Return the plain server on the gateway's port for which Istio may leave ours out.

    Of a plain one and one with TLS on one port only that of the older object is served
    (pilot/pkg/model/gateway.go, MergeGateways). A server may go by the number of the Service or by
    that of the pods: both mean the same port.
    """
    for item in sorted(servers, key=lambda item: (item.created, item.key)):
        if item.key.kind is not Kind.GATEWAY or not _agree(
            item.facts.selector, gateway.intent.selector
        ):
            continue
        for port in item.facts.ports:
            if port.number in numbers and port.protocol not in _TLS_PROTOCOLS:
                return (
                    f"{item.key} has a server for {port.protocol} on port {port.number}, next to "
                    "which Istio may leave out those of tenants: move it to another port"
                )
    return ""
