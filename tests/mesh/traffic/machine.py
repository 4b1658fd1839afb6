"""A machine of the mesh beside the pods: it proves an account, and asks its callers for theirs."""

import json
import socket
import socketserver
import ssl
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.certificate import SPIFFE, CertificateAuthority
from testbed.origin import SERVER_HEADER, Answer

POLL_S = 0.05
TIMEOUT_S = 30.0
HANDSHAKE = b"\x16"
"""The first byte of TLS."""
TRUST_DOMAIN = "cluster.local"


def build_identity(account: str) -> str:
    """Return how the mesh calls the ServiceAccount `NAMESPACE/NAME`. Pure."""
    namespace, _, name = account.partition("/")
    return f"{SPIFFE}{TRUST_DOMAIN}/ns/{namespace}/sa/{name}"


class Machine:
    """Answers HTTP/1 requests and lines as the servers outside do. A context manager.

    It listens on a free port of `address`, one of this machine's own, and takes only mutual TLS
    with certificates of the mesh.
    """

    def __init__(
        self, name: str, address: str, account: str, authority: CertificateAuthority, folder: Path
    ) -> None:
        self.name = name
        self.address = address
        self.strangers = 0
        """Connections that began in plain text."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = authority.issue("machine", [build_identity(account)])
        key, certificate = pair.write(folder, "machine")
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(cadata=authority.pem.decode())
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._server = socketserver.ThreadingTCPServer((address, 0), self._build_handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="machine", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def _build_handler(self) -> type[socketserver.BaseRequestHandler]:
        machine = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(TIMEOUT_S)
                if self.request.recv(1, socket.MSG_PEEK) != HANDSHAKE:
                    machine.strangers += 1
                    return
                try:
                    channel = machine._context.wrap_socket(self.request, server_side=True)
                except OSError:
                    return
                with channel:
                    machine._serve(channel, self.client_address[0])

        return Handler

    def _serve(self, channel: ssl.SSLSocket, peer: str) -> None:
        answer = Answer(
            server=self.name,
            peer=peer,
            address=self.address,
            port=self.port,
            tls=True,
            sni="",
            connection=0,
            client=_read_identity(channel.getpeercert() or {}),
        )
        body = json.dumps(asdict(answer)).encode() + b"\n"
        with channel.makefile("rb") as lines:
            first = lines.readline()
            if b" HTTP/1." not in first:
                channel.sendall(body)
                return
            while lines.readline().strip():
                pass
            head = (
                f"HTTP/1.1 200 OK\r\n{SERVER_HEADER}: {self.name}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            channel.sendall(head.encode() + body)

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


def _read_identity(certificate: Any) -> str:  # noqa: ANN401 - as `ssl` has it
    """Return the identity in a client's certificate; empty: there is none."""
    names = certificate.get("subjectAltName", ())
    return next((str(text) for kind, text in names if kind == "URI"), "")
