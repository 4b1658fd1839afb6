"""A server outside the mesh that speaks plain HTTP/2 and nothing else, in this process."""

import itertools
import json
import socket
import socketserver
import ssl
import threading
from contextlib import closing
from dataclasses import asdict
from types import TracebackType
from typing import Self

from mesh.traffic.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    STATUS_200,
    build_frame,
    build_header,
    build_message,
    read_frames,
)
from testbed.origin import SERVER_HEADER, Answer

TIMEOUT_S = 30.0
POLL_S = 0.05
GRPC_MESSAGE = "1299"


class _Server(socketserver.ThreadingTCPServer):
    """One that may take a port again at once, where connections have just ended."""

    allow_reuse_address = True
    daemon_threads = True


class Http2Server:
    """Answers every request as the servers outside do, or with a gRPC message. A context manager.

    It listens on `port`, or a free one, of `address`, one of this machine's own; with `context` it
    speaks TLS.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        grpc: bool = False,
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.requests = 0
        """Requests that came by HTTP/2."""
        self.strangers: list[bytes] = []
        """First bytes of connections that spoke something else."""
        self._grpc = grpc
        self._context = context
        self._connections = itertools.count(1)
        self._server = _Server((address, port), self._build_handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="http2", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def _build_handler(self) -> type[socketserver.BaseRequestHandler]:
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(TIMEOUT_S)
                try:
                    with closing(server._secure(self.request)) as channel:
                        server._serve(channel, self.client_address[0])
                except OSError:
                    return

        return Handler

    def _secure(self, channel: socket.socket) -> socket.socket:
        context = self._context
        return channel if context is None else context.wrap_socket(channel, server_side=True)

    def _serve(self, channel: socket.socket, peer: str) -> None:
        begin = b""
        while len(begin) < len(PREFACE) and (more := channel.recv(len(PREFACE) - len(begin))):
            begin += more
        if begin != PREFACE:
            self.strangers.append(begin)
            return
        channel.sendall(build_frame(SETTINGS, 0, 0))
        number = next(self._connections)
        for frame in read_frames(channel):
            if frame.type in {HEADERS, DATA} and frame.flags & END_STREAM:
                self.requests += 1
                channel.sendall(self._build_answer(frame.stream, peer, number))

    def _build_answer(self, stream: int, peer: str, number: int) -> bytes:
        if self._grpc:
            content = build_header("content-type", "application/grpc")
            status = build_header("grpc-status", "0")
            return (
                build_frame(HEADERS, END_HEADERS, stream, STATUS_200 + content)
                + build_frame(DATA, 0, stream, build_message(GRPC_MESSAGE))
                + build_frame(HEADERS, END_HEADERS | END_STREAM, stream, status)
            )
        answer = Answer(
            server=self.name,
            peer=peer,
            address=self.address,
            port=self.port,
            tls=self._context is not None,
            sni="",
            connection=number,
        )
        named = build_header(SERVER_HEADER, self.name)
        body = json.dumps(asdict(answer)).encode()
        return build_frame(HEADERS, END_HEADERS, stream, STATUS_200 + named) + build_frame(
            DATA, END_STREAM, stream, body
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
