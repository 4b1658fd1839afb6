"""/metrics and /readyz."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

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
