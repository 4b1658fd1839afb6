"""Starts and stops the controller beside a simulated API server."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from egress_operator.plan.source import Settings
from egress_operator.reconcile.controller import Controller
from egress_operator.reconcile.dependencies import Dependencies

from .server import Server

ORPHANS_S = 20.0
"""How often the operator looks for what the garbage collector has left."""


class Nothing:
    """Stands for metrics and events."""

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - whatever is called
        return lambda *_: None


def start_controller(server: Server, **settings: Any) -> Controller:  # noqa: ANN401 - their values
    """Start an operator that knows nothing but what stands."""
    loop = asyncio.get_running_loop()
    origin = datetime(2026, 1, 1, tzinfo=UTC)
    outside: Any = server
    nothing: Any = Nothing()
    dependencies = Dependencies(
        outside, nothing, nothing, loop.time, lambda: origin + timedelta(seconds=loop.time())
    )
    controller = Controller(dependencies, settings=Settings(settle=1.0, **settings))
    server.watch({sink.resource: sink for _, sink in controller.build_sinks()})
    controller.start()
    return controller


async def wait(controller: Controller, seconds: float) -> None:
    """Let time pass, in steps of ORPHANS_S."""
    for _ in range(round(seconds / ORPHANS_S)):
        await asyncio.sleep(ORPHANS_S)
        await controller.delete_orphans()


async def stop(controller: Controller, server: Server) -> None:
    """Stop an operator in the middle of whatever it does."""
    server.unwatch()
    await controller.stop(0)
