"""The application of a workload for gRPC: `python -m testbed.grpc_caller SOCKET UID CA_FILE`.

As `caller`, for orders of the schemes grpc and grpcs (TLS): method `Say` is one message and one
answer, method `Chat` a stream of messages, each sent after the answer to the last.
"""

import queue
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc

from testbed.caller import EndError, Order, Result, serve

SERVICE = "testbed.Echo"
SAY, CHAT = "Say", "Chat"
MESSAGES = 5
"""Of a stream."""
OPTIONS = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
HTTP_STATUS = {
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
}
"""What a proxy makes these codes of, in its own answers."""


class GrpcCaller:
    """Makes the requests, each on a channel of its own."""

    def __init__(self, ca_file: str) -> None:
        self._roots = Path(ca_file).read_bytes()
        # grpc imports the rest of itself with the first channel. The user of the application may
        # not read where it is installed, such as below the home of root.
        grpc.insecure_channel("ipv4:127.0.0.1:1").close()

    def call(self, order: Order) -> Result:
        """Make one call; a proxy's refusal is told with the status that it would have on HTTP."""
        start = time.monotonic()
        try:
            result = self._call(order)
        except EndError as end:
            result = Result(error=end.where, detail=str(end))
        except grpc.RpcError as error:
            result = _read_error(error)
        return replace(result, seconds=time.monotonic() - start)

    def _call(self, order: Order) -> Result:
        metadata = tuple((name.lower(), value) for name, value in order.headers.items())
        path = f"/{SERVICE}/{order.method}"
        with self._open(order) as channel:
            if order.method == SAY:
                reply, call = channel.unary_unary(path).with_call(
                    order.body.encode(), timeout=order.timeout_s, metadata=metadata
                )
                return Result(body=reply.decode(), headers=dict(call.initial_metadata()))
            asks = queue.SimpleQueue[bytes | None]()
            answers = channel.stream_stream(path)(
                iter(asks.get, None), timeout=order.timeout_s, metadata=metadata
            )
            return Result(body=_chat(order.body, asks, answers))

    def _open(self, order: Order) -> grpc.Channel:
        try:
            found = socket.getaddrinfo(order.address or order.host, order.port, socket.AF_INET)
        except socket.gaierror as error:
            raise EndError("resolve", error) from error
        target = f"ipv4:{found[0][4][0]}:{order.port}"
        options = (*OPTIONS, ("grpc.default_authority", f"{order.host}:{order.port}"))
        if order.scheme == "grpc":
            return grpc.insecure_channel(target, options)
        name = ("grpc.ssl_target_name_override", order.server_name or order.host)
        credentials = grpc.ssl_channel_credentials(self._roots)
        return grpc.secure_channel(target, credentials, (*options, name))


def _chat(text: str, asks: queue.SimpleQueue[bytes | None], answers: Iterator[bytes]) -> str:
    answer = b""
    for number in range(1, MESSAGES + 1):
        asks.put(f"{text}{number}".encode())
        answer = next(answers)
    asks.put(None)
    if list(answers):
        raise EndError("other", "more answers than messages")
    return answer.decode()


def _read_error(error: grpc.RpcError) -> Result:
    code, details = error.code(), error.details() or ""
    headers = dict((*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))
    if "server" in headers and code in HTTP_STATUS:
        return Result(status=HTTP_STATUS[code], headers=headers, body=details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Result(error="timeout", detail=details)
    if code is not grpc.StatusCode.UNAVAILABLE:
        return Result(error="other", detail=f"{code}: {details}")
    # The words of the two checks, of the signature and of the name, differ.
    where = "untrusted" if "verif" in details.lower() else "reset"
    return Result(error=where, detail=details)


if __name__ == "__main__":
    serve(GrpcCaller)
