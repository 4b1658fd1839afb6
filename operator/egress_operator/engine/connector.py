"""HTTP connections that are closed to the very end before the loop is."""

import asyncio
from typing import Any

import aiohttp
from aiohttp.connector import Connection

CLOSE_S = 1.0
"""For connections that are cut; the loop closes their sockets in its next rounds."""


class Connector(aiohttp.TCPConnector):
    """Cuts every connection when it is closed, also those that it has given up before.

    When a request is cancelled, aiohttp closes its connection and forgets it. With TLS that goes on
    until the server has answered the goodbye, and the loop may be closed earlier.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - as of TCPConnector
        super().__init__(**options)
        self._open: dict[asyncio.Transport, asyncio.Future[None]] = {}

    async def connect(self, *args: Any, **options: Any) -> Connection:  # noqa: ANN401 - as above
        """Give a connection, and know it until it is closed."""
        connection = await super().connect(*args, **options)
        transport, protocol = connection.transport, connection.protocol
        if transport is not None and protocol is not None and transport not in self._open:
            closed = protocol.closed
            if closed is not None:
                self._open[transport] = closed
                closed.add_done_callback(lambda done: self._forget(transport, done))
        return connection

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Cut all connections and wait until their sockets are closed."""
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
