"""The Services and endpoints around the gateways, as watches of their namespaces show them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from egress_operator.engine.transport import JsonObject
from egress_operator.plan.readiness import Place, ServiceFacts

SERVICE_LABEL = "kubernetes.io/service-name"


class SceneryCache:
    """What is known of the namespaces of gateways. Filled by the sinks of their watches."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, ServiceFacts]] = {}
        self._slices: dict[str, dict[str, tuple[str, int]]] = {}
        self._listed: set[tuple[str, str]] = set()

    def is_known(self, namespace: str) -> bool:
        """Whether both lists of a namespace have come in."""
        return {(namespace, "services"), (namespace, "slices")} <= self._listed

    @property
    def services(self) -> Mapping[Place, ServiceFacts]:
        """All Services by namespace and name."""
        return {
            (namespace, name): facts
            for namespace, found in self._services.items()
            for name, facts in found.items()
        }

    @property
    def endpoints(self) -> Mapping[Place, int]:
        """Ready endpoints of all Services that have one."""
        counts: Counter[Place] = Counter()
        for namespace, found in self._slices.items():
            for service, ready in found.values():
                counts[namespace, service] += ready
        return +counts

    def build_service_sink(self, namespace: str, on_change: Callable[[], None]) -> "FactSink":
        """Make the sink for the Services of a namespace."""
        facts = self._services.setdefault(namespace, {})
        return FactSink(facts, parse_service, self._build_hook(namespace, "services", on_change))

    def build_slice_sink(self, namespace: str, on_change: Callable[[], None]) -> "FactSink":
        """Make the sink for the EndpointSlices of a namespace."""
        facts = self._slices.setdefault(namespace, {})
        return FactSink(facts, parse_slice, self._build_hook(namespace, "slices", on_change))

    def forget(self, namespace: str) -> None:
        """Forget a namespace that has no gateway any more."""
        self._services.pop(namespace, None)
        self._slices.pop(namespace, None)
        self._listed = {entry for entry in self._listed if entry[0] != namespace}

    def _build_hook(
        self, namespace: str, what: str, on_change: Callable[[], None]
    ) -> Callable[[], None]:
        def hook() -> None:
            self._listed.add((namespace, what))
            on_change()

        return hook


def parse_service(body: Mapping[str, Any]) -> ServiceFacts:
    """Take what counts of a Service. Pure."""
    spec = body.get("spec") or {}
    return ServiceFacts(
        selector=tuple(sorted((spec.get("selector") or {}).items())),
        ports={int(port["port"]): _read_target(port) for port in spec.get("ports") or ()},
        headless=spec.get("clusterIP") in {None, "", "None"},
    )


def _read_target(port: Mapping[str, Any]) -> int:
    target = port.get("targetPort") or port["port"]
    return target if isinstance(target, int) else 0


def parse_slice(body: Mapping[str, Any]) -> tuple[str, int]:
    """Tell the Service of an EndpointSlice, and how many of its endpoints are ready. Pure.

    As in Kubernetes, a condition that is absent counts as ready.
    """
    labels = body["metadata"].get("labels") or {}
    ready = sum(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for endpoint in body.get("endpoints") or ()
    )
    return str(labels.get(SERVICE_LABEL, "")), ready


class FactSink:
    """Keeps one fact for each object of a list. Implements `engine.reflector.Sink`.

    `on_change` is called when a list is complete, and at each change after it.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        parse: Callable[[Mapping[str, Any]], object],
        on_change: Callable[[], None],
    ) -> None:
        self._facts = facts
        self._parse = parse
        self._on_change = on_change
        self._unseen: set[str] | None = None
        """While a list comes in: what it has not shown yet."""

    def begin(self) -> None:
        """Start of a list."""
        self._unseen = set(self._facts)

    def upsert(self, obj: JsonObject) -> None:
        """Take over an object that is there."""
        name, fact = obj["metadata"]["name"], self._parse(obj)
        if self._unseen is not None:
            self._unseen.discard(name)
            self._facts[name] = fact
        elif self._facts.get(name) != fact:
            self._facts[name] = fact
            self._on_change()

    def delete(self, obj: JsonObject) -> None:
        """Forget an object that is gone."""
        if self._facts.pop(obj["metadata"]["name"], None) is not None:
            self._on_change()

    def advance(self, resource_version: str) -> None:
        """Nothing depends on how far the watch has come."""

    def finish(self, resource_version: str) -> None:
        """Drop what the list did not show."""
        del resource_version
        gone, self._unseen = self._unseen or set(), None
        for name in gone:
            del self._facts[name]
        self._on_change()
