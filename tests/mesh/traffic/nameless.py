"""A TLS server that asks for no server name, and a client that sends none.

Programs of their own, with the standard library alone: `nameless.py serve PORT CERTIFICATE KEY`,
and `nameless.py call UID HOST PORT`, which prints the server's answer, or how the call ended.
"""

import encodings.idna  # noqa: F401 - loaded while the files can still be read
import os
import socket
import socketserver
import ssl
import sys

ANSWER = "answered"
TIMEOUT_S = 5.0
ENOUGH = 100


def serve(port: int, certificate: str, key: str) -> None:
    """Serve until the end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as channel:
                    channel.sendall(ANSWER.encode())
            except OSError:
                return

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("", port), Handler) as server:
        server.serve_forever()


def call(user: int, host: str, port: int) -> str:
    """Open TLS without a server name, and wait for the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            context.wrap_socket(plain) as channel,
        ):
            return channel.recv(ENOUGH).decode()
    except OSError as error:
        return type(error).__name__


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        sys.stdout.write(call(int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
