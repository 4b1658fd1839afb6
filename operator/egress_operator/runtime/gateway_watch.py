"""Watches of the Services and endpoints in the namespaces of gateways, and of nothing else."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from egress_operator.engine.reflector import Reflector
from egress_operator.engine.sink import CacheSink
from egress_operator.reconcile.controller import Controller

Spawn = Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]]
BuildReflector = Callable[[str, CacheSink[Any, Any]], Reflector]
"""Makes the reflector of a namespace (empty: all) that fills a sink."""


class GatewayWatches:
    """One pair of watches for each namespace of a gateway."""

    def __init__(self, controller: Controller, build: BuildReflector, spawn: Spawn) -> None:
        self._controller = controller
        self._build = build
        self._spawn = spawn
        self._watches: dict[str, list[tuple[Reflector, asyncio.Task[None]]]] = {}

    @property
    def reflectors(self) -> Iterator[Reflector]:
        """Those at work."""
        return (reflector for pair in self._watches.values() for reflector, _ in pair)

    def follow(self) -> None:
        """Begin to watch where a gateway has come, and cease where the last one has gone."""
        wanted = self._controller.cluster.find_gateway_namespaces()
        for namespace in self._watches.keys() - wanted:
            for _, task in self._watches.pop(namespace):
                task.cancel()
            self._controller.cluster.service_index.forget(namespace)
        for namespace in wanted - self._watches.keys():
            self._watches[namespace] = self._watch(namespace)

    def _watch(self, namespace: str) -> list[tuple[Reflector, asyncio.Task[None]]]:
        watches = []
        for sink in self._controller.build_service_sinks(namespace):
            reflector = self._build(namespace, sink)
            name = f"watch of {sink.resource.plural} in {namespace}"
            watches.append((reflector, self._spawn(name, reflector.run())))
        return watches
