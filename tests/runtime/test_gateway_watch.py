"""Which namespaces of gateways are watched, whatever makes a gateway be accepted or not."""

import asyncio
from dataclasses import replace
from typing import Any

from egress_operator.engine.reflector import Reflector
from egress_operator.engine.sink import CacheSink
from egress_operator.plan.source import Settings
from egress_operator.reconcile.resource import GATEWAYS, SERVICES, SLICES
from egress_operator.runtime.gateway_watch import GatewayWatches
from wiring import wire

ROOT = Settings(root_namespace="istio-egress")
"""A gateway in the mesh's root namespace is not accepted."""


class Watched:
    """GatewayWatches whose watches wait for nothing, and the sink of EgressGateways."""

    def __init__(self, settings: Settings) -> None:
        outside: Any = object()
        wired = wire(outside, settings=settings, on_gateways=self._follow)
        self.controller = wired.controller
        self.watches = GatewayWatches(self.controller, self._build, self._spawn)
        self.gateways = wired.sinks[GATEWAYS]
        self.tasks: list[asyncio.Task[None]] = []

    def _follow(self) -> None:
        self.watches.follow()

    def list_watches(self) -> set[tuple[str, str]]:
        """(plural, namespace) of each."""
        reflectors = self.watches.reflectors
        return {(reflector.resource.plural, reflector.namespace) for reflector in reflectors}

    def add_gateway(self) -> None:
        spec = {
            "namespace": "istio-egress",
            "selector": {"istio": "egressgateway"},
            "service": {"name": "istio-egressgateway", "port": 443},
            "namespaces": {},
            "authorization": "None",
        }
        metadata = {"name": "shared", "uid": "g", "resourceVersion": "1"}
        self.gateways.upsert({"metadata": metadata, "spec": spec})

    @staticmethod
    def _build(namespace: str, sink: CacheSink[Any, Any]) -> Reflector:
        transport: Any = object()
        return Reflector(transport, sink.resource, sink, namespace=namespace)

    def _spawn(self, name: str, coroutine: Any) -> asyncio.Task[None]:  # noqa: ANN401 - never run
        coroutine.close()
        task = asyncio.get_running_loop().create_task(asyncio.sleep(3600), name=name)
        self.tasks.append(task)
        return task


BOTH = {(SERVICES.plural, "istio-egress"), (SLICES.plural, "istio-egress")}


async def test_they_follow_the_gateway() -> None:
    watched = Watched(Settings())
    watched.add_gateway()
    assert watched.list_watches() == BOTH
    metadata = {"name": "shared", "uid": "g", "resourceVersion": "2"}
    watched.gateways.delete({"metadata": metadata})
    assert watched.list_watches() == set()
    await asyncio.sleep(0)
    assert all(task.cancelled() for task in watched.tasks)


async def test_they_begin_when_the_mesh_makes_the_gateway_acceptable() -> None:
    """Its root namespace is read late, or is another one from now on."""
    watched = Watched(ROOT)
    watched.add_gateway()
    assert watched.list_watches() == set()
    watched.controller.change_settings(replace(ROOT, root_namespace="istio-system"))
    assert watched.list_watches() == BOTH
    watched.controller.change_settings(ROOT)
    assert watched.list_watches() == set()


async def test_they_end_when_a_list_does_not_show_the_gateway_any_more() -> None:
    watched = Watched(Settings())
    watched.add_gateway()
    watched.gateways.begin()
    watched.gateways.finish("9")
    assert watched.list_watches() == set()
