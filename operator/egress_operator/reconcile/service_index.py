"""The Services and endpoints around the gateways, as watches of their namespaces show them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from egress_operator.engine.cache import Cache
from egress_operator.engine.resource import Resource
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.plan.readiness import EXPORT_TO, Place, ServiceFacts
from egress_operator.reconcile.resource import SERVICES, SLICES

SERVICE_LABEL = "kubernetes.io/service-name"

V = TypeVar("V")


class ServiceIndex:
    """What is known of the namespaces of gateways. Filled by the sinks of their watches."""

    def __init__(self) -> None:
        self._services: dict[str, Cache[str, ServiceFacts]] = {}
        self._slices: dict[str, Cache[str, tuple[str, int]]] = {}
        self._listed: set[tuple[str, Resource]] = set()

    def is_known(self, namespace: str) -> bool:
        """Whether both lists of a namespace have come in."""
        return {(namespace, SERVICES), (namespace, SLICES)} <= self._listed

    @property
    def services(self) -> Mapping[Place, ServiceFacts]:
        """All Services by namespace and name."""
        return {
            (namespace, name): facts
            for namespace, cache in self._services.items()
            for name, facts in cache.select("")
        }

    @property
    def endpoints(self) -> Mapping[Place, int]:
        """Ready endpoints of all Services that have one."""
        counts: Counter[Place] = Counter()
        for namespace, cache in self._slices.items():
            for _, (service, ready) in cache.select(""):
                counts[namespace, service] += ready
        return +counts

    def build_sinks(
        self, namespace: str, on_change: Callable[[], None], on_unreadable: UnreadableHook
    ) -> tuple[CacheSink[Any, Any], ...]:
        """Make the sinks for the Services and the EndpointSlices of a namespace.

        `on_change` is called at each change, and when a list is complete.
        """

        def build_cache() -> Cache[str, Any]:
            return Cache(lambda _: "", lambda *_: on_change())

        def build_sink(
            resource: Resource, cache: Cache[str, V], read: Callable[[JsonObject], V]
        ) -> CacheSink[str, V]:
            def finish(_: str) -> None:
                self._listed.add((namespace, resource))
                on_change()

            return CacheSink(
                resource, cache, _read_name, read, on_unreadable=on_unreadable, on_finish=finish
            )

        services = self._services[namespace] = build_cache()
        slices = self._slices[namespace] = build_cache()
        return (
            build_sink(SERVICES, services, parse_service),
            build_sink(SLICES, slices, parse_slice),
        )

    def forget(self, namespace: str) -> None:
        """Forget a namespace that has no gateway any more."""
        self._services.pop(namespace, None)
        self._slices.pop(namespace, None)
        self._listed = {entry for entry in self._listed if entry[0] != namespace}


def _read_name(body: JsonObject) -> str:
    return str(body["metadata"]["name"])


def parse_service(body: Mapping[str, Any]) -> ServiceFacts:
    """Take what counts of a Service. Pure."""
    spec = body.get("spec") or {}
    export = (body["metadata"].get("annotations") or {}).get(EXPORT_TO, "")
    return ServiceFacts(
        selector=tuple(sorted((spec.get("selector") or {}).items())),
        ports={
            int(port["port"]): _read_target(port)
            for port in spec.get("ports") or ()
            if port.get("protocol", "TCP") == "TCP"
        },
        headless=spec.get("clusterIP") in {None, "", "None"},
        export_to=tuple(part.strip() for part in export.split(",") if part.strip()),
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
