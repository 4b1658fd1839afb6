"""gRPC in the outside world: every call is answered with the `Answer` of `testbed.origin`."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import grpc

from testbed.grpc_caller import CHAT, SAY, SERVICE
from testbed.origin import SERVER_HEADER, Answer


async def serve(
    name: str, address: str, ports: dict[bool, int], certificate: Path
) -> list[grpc.aio.Server]:
    """Open the ports of one host, plain and (True) TLS, and return the servers that run."""
    counts = Counter[str]()
    credentials = _load_credentials(certificate)
    return [
        await _open(_Host(name, address, port, counts, tls=tls), credentials)
        for tls, port in ports.items()
    ]


async def _open(host: "_Host", credentials: grpc.ServerCredentials) -> grpc.aio.Server:
    server = grpc.aio.server()
    handlers = {
        SAY: grpc.unary_unary_rpc_method_handler(host.say),
        CHAT: grpc.stream_stream_rpc_method_handler(host.chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if host.tls:
        server.add_secure_port(host.listener, credentials)
    else:
        server.add_insecure_port(host.listener)
    await server.start()
    return server


def _load_credentials(certificate: Path) -> grpc.ServerCredentials:
    key = certificate.with_suffix(".key").read_bytes()
    return grpc.ssl_server_credentials([(key, certificate.read_bytes())])


class _Host:
    """One port of a host: a server is not told on which one a call came."""

    def __init__(
        self, name: str, address: str, port: int, counts: Counter[str], *, tls: bool
    ) -> None:
        self.listener = f"{address}:{port}"
        self.tls = tls
        self._name = name
        self._address = address
        self._port = port
        self._counts = counts

    async def say(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.send_initial_metadata(((SERVER_HEADER, self._name),))
        return self._answer(SAY, message, context)

    async def chat(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for message in messages:
            yield self._answer(CHAT, message, context)

    def _answer(self, method: str, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        _, peer, connection = context.peer().split(":")
        self._counts[method] += 1
        answer = Answer(
            server=self._name,
            peer=peer,
            address=self._address,
            port=self._port,
            tls=self.tls,
            sni="",
            connection=int(connection),
            count=self._counts[method],
            method=method,
            headers={name: str(value) for name, value in context.invocation_metadata()},
            line=message.decode(),
        )
        return json.dumps(asdict(answer)).encode()
