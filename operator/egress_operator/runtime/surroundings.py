"""Watches of the Services and endpoints in the namespaces of gateways, and of nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from egress_operator.engine.pulse import Pulse
from egress_operator.engine.reflector import Reflector
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.timing import ReflectorTiming
from egress_operator.engine.transport import Transport
from egress_operator.reconcile.reconciler import Reconciler

SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")

Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]


class Surroundings:
    """One pair of watches for each namespace of a gateway."""

    def __init__(
        self,
        transport: Transport,
        reconciler: Reconciler,
        *,
        pulse: Pulse,
        timing: ReflectorTiming,
        on_restart: Callable[[Resource, RestartReason], None],
        spawn: Spawn,
    ) -> None:
        self._transport = transport
        self._reconciler = reconciler
        self._pulse = pulse
        self._timing = timing
        self._on_restart = on_restart
        self._spawn = spawn
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}

    def follow(self) -> None:
        """Begin to watch where a gateway has come, and cease where the last one has gone."""
        wanted = self._reconciler.cluster.find_gateway_namespaces()
        for namespace in self._tasks.keys() - wanted:
            for task in self._tasks.pop(namespace):
                task.cancel()
            self._reconciler.cluster.scenery.forget(namespace)
        for namespace in wanted - self._tasks.keys():
            self._tasks[namespace] = self._watch(namespace)

    def _watch(self, namespace: str) -> list[asyncio.Task[None]]:
        scenery, changed = self._reconciler.cluster.scenery, self._reconciler.observe_scenery
        sinks = {
            SERVICES: scenery.build_service_sink(namespace, changed),
            SLICES: scenery.build_slice_sink(namespace, changed),
        }
        return [
            self._spawn(
                f"watch of {resource.plural} in {namespace}",
                Reflector(
                    self._transport,
                    resource,
                    sink,
                    namespace=namespace,
                    pulse=self._pulse,
                    timing=self._timing,
                    on_restart=self._on_restart,
                ).run(),
            )
            for resource, sink in sinks.items()
        ]
