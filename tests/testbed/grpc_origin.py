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
) -> grpc.aio.Server:
    """Open the ports of one host, plain and (True) TLS, and return the server that runs."""
    host = _Host(name, address)
    server = grpc.aio.server()
    handlers = {
        SAY: grpc.unary_unary_rpc_method_handler(host.say),
        CHAT: grpc.stream_stream_rpc_method_handler(host.chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"{address}:{ports[False]}")
    server.add_secure_port(f"{address}:{ports[True]}", _load_credentials(certificate))
    await server.start()
    return server


def _load_credentials(certificate: Path) -> grpc.ServerCredentials:
    key = certificate.with_suffix(".key").read_bytes()
    return grpc.ssl_server_credentials([(key, certificate.read_bytes())])


class _Host:
    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self._address = address
        self._counts = Counter[str]()

    async def say(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.send_initial_metadata(((SERVER_HEADER, self._name),))
        return self._answer(SAY, message, context)

    async def chat(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for message in messages:
            yield self._answer(CHAT, message, context)

    def _answer(self, method: str, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        _, peer, port = context.peer().split(":")
        self._counts[method] += 1
        answer = Answer(
            server=self._name,
            peer=peer,
            address=self._address,
            port=0,
            tls=bool(context.auth_context()),
            sni="",
            connection=int(port),
            count=self._counts[method],
            method=method,
            headers={name: str(value) for name, value in context.invocation_metadata()},
            line=message.decode(),
        )
        return json.dumps(asdict(answer)).encode()
