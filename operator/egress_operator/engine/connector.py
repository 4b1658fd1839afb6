"""HTTP connections whose sockets are closed before the event loop is."""

import asyncio
from typing import Any

import aiohttp
from aiohttp.connector import Connection

CLOSE_S = 1.0
"""Seconds to wait at most until the sockets of aborted connections are closed."""


class Connector(aiohttp.TCPConnector):
    """Aborts every connection when it is closed, also those that it does not track any more.

    When a request is cancelled, aiohttp closes its connection and stops tracking it. With TLS the
    connection stays open until the server answers the close_notify, which may be after the loop.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as of TCPConnector
        super().__init__(**options)
        self._open: dict[asyncio.Transport, asyncio.Future[None]] = {}

    async def connect(self, *args: Any, **options: Any) -> Connection:  # noqa: ANN401 - as above
        """Return a connection, tracked until it is closed."""
        connection = await super().connect(*args, **options)
        transport, protocol = connection.transport, connection.protocol
        if transport is not None and protocol is not None and transport not in self._open:
            closed = protocol.closed
            if closed is not None:
                self._open[transport] = closed
                closed.add_done_callback(lambda done: self._forget(transport, done))
        return connection

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Abort all connections and wait until their sockets are closed, at most `CLOSE_S`."""
        await super().close(abort_ssl=abort_ssl)
        left = dict(self._open)
        for transport in left:
            transport.abort()
        if left:
            await asyncio.wait(left.values(), timeout=CLOSE_S)

    def _forget(self, transport: asyncio.Transport, closed: asyncio.Future[None]) -> None:
        self._open.pop(transport, None)
        if not closed.cancelled():
            # Whoever used the connection knows of the error.
            closed.exception()
