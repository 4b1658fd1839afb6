"""Starts and stops the controller beside a simulated API server."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from egress_operator.plan.source import Settings
from egress_operator.reconcile.controller import Controller
from wiring import Ignorant, wire

from .server import Server

ORPHANS_S = 20.0
"""How often the operator looks for what the garbage collector has left."""


def start_controller(
    server: Server,
    *,
    now: Callable[[], datetime] | None = None,
    told: Any = None,  # noqa: ANN401 - stands for metrics and events
    **settings: Any,  # noqa: ANN401 - their values
) -> Controller:
    """Start an operator that knows nothing but what stands."""
    told = Ignorant() if told is None else told
    wired = wire(server, told=told, now=now, settings=Settings(settle=1.0, **settings))
    server.watch(wired.sinks)
    wired.controller.start()
    return wired.controller


async def wait(controller: Controller, seconds: float) -> None:
    """Let time pass, in steps of ORPHANS_S."""
    for _ in range(round(seconds / ORPHANS_S)):
        await asyncio.sleep(ORPHANS_S)
        await controller.delete_orphans()


async def stop(controller: Controller, server: Server) -> None:
    """Stop an operator in the middle of whatever it does."""
    server.unwatch()
    await controller.stop(0)
