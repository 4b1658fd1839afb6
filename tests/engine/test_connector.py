"""No connection outlives the loop, whatever became of its request."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from egress_operator.engine.connector import Connector
from testbed.certificate import CertificateAuthority


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Serve TLS, and answer nothing: no request, and no goodbye."""
    pair = CertificateAuthority.create("test").issue("127.0.0.1", ["127.0.0.1"])
    key, certificate = pair.write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    connections: list[ssl.SSLSocket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                connections.append(context.wrap_socket(plain, server_side=True))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in connections:
        connection.close()


async def cancel_requests(url: str) -> None:
    """Cancel three requests that are under way, and close the session."""
    async with aiohttp.ClientSession(connector=Connector(ssl=False)) as session:
        requests = [asyncio.ensure_future(session.get(url)) for _ in range(3)]
        await asyncio.sleep(0.3)
        for request in requests:
            request.cancel()
        await asyncio.wait(requests)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_cancelled_request_leaves_no_connection(run: Callable[[Any], None], url: str) -> None:
    run(cancel_requests(url))
    # A transport that is not closed warns when it is collected, and a warning fails the test.
    gc.collect()
