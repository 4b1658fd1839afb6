"""The application of a workload: calls out when it is told to.

The program `python -m testbed.caller SOCKET UID CA_FILE` runs inside the workload's namespace as
an ordinary user, listens on a UNIX socket, and answers each JSON line `Order` with a JSON line
`Result`. It says what it saw and judges nothing. It needs the standard library only.

It stays up because to start an interpreter for every request takes longer than the request.
"""

import encodings.idna  # noqa: F401 - loaded while the files can still be read
import http.client
import json
import os
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from testbed import websocket

BODY_LIMIT = 1 << 26
"""Enough for the configuration of a proxy with thousands of hosts."""
WEBSOCKET_SCHEMES = frozenset({"ws", "wss"})
HTTP_SCHEMES = frozenset({"http", "https"}) | WEBSOCKET_SCHEMES
TLS_SCHEMES = frozenset({"https", "tls", "wss"})
OWN_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True)
class Order:
    """One request to make."""

    scheme: str
    """http, https; tcp and tls: one line is sent and one awaited; greeting: one is awaited; ws and
    wss: some texts are sent and an answer to each awaited; grpc, grpcs: see `grpc_caller`."""
    host: str
    port: int
    timeout_s: float
    method: str = "GET"
    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    address: str = ""
    """Connect there instead of asking for the host's address."""
    server_name: str = ""
    """Ask for this name in TLS, and verify it, instead of the host's."""
    session: str = ""
    """Orders with the same word share one connection as long as it is open."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    error: str = ""
    """Empty, or where it ended: resolve, connect, untrusted, reset, timeout, other."""
    detail: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer, names in lower case."""
    body: str = ""
    seconds: float = 0.0


class Caller(Protocol):
    """Who makes requests."""

    def call(self, order: Order) -> Result:
        """Make one request."""


class EndError(Exception):
    """A request ended without an answer; `where` as in `Result.error`."""

    def __init__(self, where: str, cause: object) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}" if cause else where)
        self.where = where


class PlainCaller:
    """Makes the requests, each on a connection of its own unless a session is named."""

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context(cafile=ca_file)
        self._sessions: dict[str, http.client.HTTPConnection] = {}
        self._lines: dict[str, socket.socket] = {}

    def call(self, order: Order) -> Result:
        """Make one request."""
        start = time.monotonic()
        try:
            if order.scheme in HTTP_SCHEMES:
                result = self._call_http(order)
            else:
                result = self._call_line(order)
        except EndError as end:
            result = Result(error=end.where, detail=str(end))
        return Result(**{**asdict(result), "seconds": time.monotonic() - start})

    def _call_http(self, order: Order) -> Result:
        connection = self._sessions.pop(order.session, None) if order.session else None
        if connection is None:
            connection = http.client.HTTPConnection(order.host, order.port)
            connection.sock = self._connect(order)
        try:
            connection.sock.settimeout(order.timeout_s)
            connection.request(
                order.method,
                order.path,
                body=None if order.scheme in WEBSOCKET_SCHEMES else order.body.encode() or None,
                headers=_build_headers(order),
            )
            answer = connection.getresponse()
            if answer.status == websocket.SWITCHING:
                body = websocket.talk(connection.sock, answer, order.body)
            else:
                body = answer.read(BODY_LIMIT).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EndError(_place(error), error) from error
        if order.session and connection.sock is not None:
            self._sessions[order.session] = connection
        else:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Result(status=answer.status, headers=headers, body=body)

    def _call_line(self, order: Order) -> Result:
        channel = self._take_line(order) or self._connect(order)
        try:
            if order.scheme != "greeting":
                channel.sendall(order.body.encode() + b"\n")
            with channel.makefile("rb") as lines:
                line = lines.readline(BODY_LIMIT)
        except OSError as error:
            channel.close()
            raise EndError(_place(error), error) from error
        if not line:
            channel.close()
            raise EndError("reset", "closed without an answer")
        if order.session:
            self._lines[order.session] = channel
        else:
            channel.close()
        return Result(body=line.decode(errors="replace"))

    def _take_line(self, order: Order) -> socket.socket | None:
        """Take a kept connection, unless the other side has closed it while nothing was asked."""
        channel = self._lines.pop(order.session, None) if order.session else None
        if channel is None or not select.select([channel], [], [], 0)[0]:
            return channel
        channel.close()
        return None

    def _connect(self, order: Order) -> socket.socket:
        target = order.address or order.host
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        try:
            found = socket.getaddrinfo(target, order.port, family, socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise EndError("resolve", error) from error
        try:
            channel = socket.create_connection((str(found[0][4][0]), order.port), order.timeout_s)
        except OSError as error:
            raise EndError("connect", error) from error
        if order.scheme not in TLS_SCHEMES:
            return channel
        try:
            return self._context.wrap_socket(
                channel, server_hostname=order.server_name or order.host
            )
        except ssl.SSLCertVerificationError as error:
            channel.close()
            raise EndError("untrusted", error) from error
        except OSError as error:
            channel.close()
            raise EndError(_place(error), error) from error


def _authority(order: Order) -> str:
    own = OWN_PORTS[order.scheme]
    return order.host if order.port == own else f"{order.host}:{order.port}"


def _build_headers(order: Order) -> dict[str, str]:
    upgrade = websocket.HEADERS if order.scheme in WEBSOCKET_SCHEMES else {}
    return {"Host": _authority(order), **upgrade, **order.headers}


def _place(error: Exception) -> str:
    ends = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.IncompleteRead)
    if isinstance(error, TimeoutError):
        return "timeout"
    return "reset" if isinstance(error, ends) else "other"


def _serve(caller: Caller, channel: socket.socket) -> None:
    with channel, channel.makefile() as lines:
        for line in lines:
            result = caller.call(Order(**json.loads(line)))
            channel.sendall(json.dumps(asdict(result)).encode() + b"\n")


def serve(build: Callable[[str], Caller]) -> None:
    """Serve until killed, with the caller that `build` makes of the root certificates' file."""
    path, user, ca_file = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    caller = build(ca_file)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(64)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    while True:
        channel, _ = listener.accept()
        threading.Thread(target=_serve, args=(caller, channel), daemon=True).start()


if __name__ == "__main__":
    serve(PlainCaller)
