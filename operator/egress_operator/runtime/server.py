"""/metrics and /readyz, and whether the ports are free."""

import asyncio
import errno
import os
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from egress_operator.runtime.settings import Settings

HEADER_LIMIT = 8190
"""Bytes of a request line and of a header: scrapes and probes need a fraction."""


class Server:
    """A small HTTP server; it reads memory only and never waits for the API server."""

    def __init__(self, registry: CollectorRegistry, find_unready: Callable[[], str]) -> None:
        """`find_unready` says what is lacking, in one line; empty means ready."""
        self._registry = registry
        self._find_unready = find_unready
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=1024)
        app.add_routes(
            [web.get("/metrics", self._serve_metrics), web.get("/readyz", self._serve_readiness)]
        )
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=0.5,
            keepalive_timeout=15.0,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _serve_readiness(self, _: web.Request) -> web.Response:
        unready = self._find_unready()
        return web.Response(text=f"{unready or 'ok'}\n", status=503 if unready else 200)


async def find_unusable(settings: Settings) -> str:
    """Say, in one line, which option of where to listen cannot be used, why, and how to fix it.

    Empty when all can. The addresses are taken for a moment, as the servers will take them.
    """
    ports = {"metrics-port": settings.metrics_port, "health-port": settings.health_port}
    for option, port in ports.items():
        try:
            server = await asyncio.get_running_loop().create_server(
                asyncio.Protocol, settings.bind, port, start_serving=False
            )
        except OSError as error:
            return _explain(error, settings.bind, option, port)
        server.close()
    return ""


def _explain(error: OSError, bind: str, option: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            fix = "end what listens there or choose another port"
            return f"--{option}: {port} is in use on {bind}; {fix}"
        case errno.EACCES:
            return f"--{option}: {port} is refused to this user; choose a port from 1024"
    why = os.strerror(error.errno) if error.errno else str(error)
    fix = "0.0.0.0 is all IPv4 interfaces, :: all IPv6 ones"
    return f"--bind: {bind} cannot be listened on ({why}); {fix}"
