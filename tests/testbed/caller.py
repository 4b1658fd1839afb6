"""The application of a workload: calls out when it is told to.

The program `python caller.py SOCKET UID CA_FILE` runs inside the workload's namespace as an
ordinary user, listens on a UNIX socket, and answers each JSON line `Order` with a JSON line
`Result`. It says what it saw and judges nothing. It needs the standard library only.

It stays up because to start an interpreter for every request takes longer than the request.
"""

import encodings.idna  # noqa: F401 - loaded while the files can still be read
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Order:
    """One request to make."""

    scheme: str
    """http, https; tcp and tls: one line is sent and one awaited; greeting: one is awaited."""
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
    """Orders with the same word share one connection as long as it is open (HTTP only)."""


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


class _EndError(Exception):
    """A request ended without an answer."""

    def __init__(self, where: str, cause: object) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}" if cause else where)
        self.where = where


class Caller:
    """Makes the requests, each on a connection of its own unless a session is named."""

    def __init__(self, ca_file: str) -> None:
        self._context = ssl.create_default_context(cafile=ca_file)
        self._sessions: dict[str, http.client.HTTPConnection] = {}

    def call(self, order: Order) -> Result:
        """Make one request."""
        start = time.monotonic()
        try:
            if order.scheme in {"http", "https"}:
                result = self._call_http(order)
            else:
                result = self._call_line(order)
        except _EndError as end:
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
                body=order.body.encode() or None,
                headers={"Host": _authority(order), **order.headers},
            )
            answer = connection.getresponse()
            body = answer.read(BODY_LIMIT).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _EndError(_place(error), error) from error
        if order.session and connection.sock is not None:
            self._sessions[order.session] = connection
        else:
            connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Result(status=answer.status, headers=headers, body=body)

    def _call_line(self, order: Order) -> Result:
        with self._connect(order) as channel:
            try:
                if order.scheme != "greeting":
                    channel.sendall(order.body.encode() + b"\n")
                with channel.makefile("rb") as lines:
                    line = lines.readline(BODY_LIMIT)
            except OSError as error:
                raise _EndError(_place(error), error) from error
        if not line:
            raise _EndError("reset", "closed without an answer")
        return Result(body=line.decode(errors="replace"))

    def _connect(self, order: Order) -> socket.socket:
        try:
            found = socket.getaddrinfo(
                order.address or order.host, order.port, socket.AF_INET, socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            raise _EndError("resolve", error) from error
        try:
            channel = socket.create_connection((str(found[0][4][0]), order.port), order.timeout_s)
        except OSError as error:
            raise _EndError("connect", error) from error
        if order.scheme not in {"https", "tls"}:
            return channel
        try:
            return self._context.wrap_socket(
                channel, server_hostname=order.server_name or order.host
            )
        except ssl.SSLCertVerificationError as error:
            channel.close()
            raise _EndError("untrusted", error) from error
        except OSError as error:
            channel.close()
            raise _EndError(_place(error), error) from error


def _authority(order: Order) -> str:
    own = {"http": 80, "https": 443}[order.scheme]
    return order.host if order.port == own else f"{order.host}:{order.port}"


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


def main() -> None:
    """Serve until killed."""
    path, user, ca_file = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    caller = Caller(ca_file)
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
    main()
