"""An HTTP proxy for CONNECT in the outside, and a client that calls through one.

Programs of their own, with the standard library alone: `connect_proxy.py serve PORT`, and
`connect_proxy.py call UID CA_FILE PROXY PORT HOST`, which prints the status of the proxy's answer,
and behind it the name by which the server at the end of the tunnel was called.
"""

import encodings.idna  # noqa: F401 - loaded while the files can still be read
import http.client
import json
import os
import re
import socket
import socketserver
import ssl
import sys
import threading

CHUNK = 1 << 16
TIMEOUT_S = 5.0
REQUEST = re.compile(rb"CONNECT [^ ]+:(\d+) HTTP/1\.1\r\n")


class Handler(socketserver.BaseRequestHandler):
    """Leads a tunnel to the same machine, on which every host of the outside answers."""

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.request.recv(CHUNK)
            if not data:
                return
            head += data
        match = REQUEST.match(head)
        if match is None:
            self.request.sendall(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", int(match[1]))) as server:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, self.request))
            back.start()
            _copy(self.request, server)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def serve(port: int) -> None:
    """Serve until the end."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("", port), Handler) as server:
        server.serve_forever()


def call(user: int, ca_file: str, proxy: str, port: int, host: str) -> str:
    """Make a request to https://HOST/ through the proxy, and tell what came of it."""
    context = ssl.create_default_context(cafile=ca_file)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        with socket.create_connection((proxy, port), TIMEOUT_S) as plain:
            plain.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n\r\n".encode())
            status = plain.recv(CHUNK).split(b" ", 2)[1].decode()
            if status != "200":
                return status
            connection = http.client.HTTPConnection(host)
            connection.sock = context.wrap_socket(plain, server_hostname=host)
            connection.request("GET", "/")
            return f"200 {json.loads(connection.getresponse().read())['sni']}"
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        sys.stdout.write(
            call(int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6])
        )
