"""Requests of workloads and the closed set of what can come of them."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from testbed import websocket
from testbed.caller import Order, Result
from testbed.netns import Netns
from testbed.origin import SERVER_HEADER, Answer
from testbed.process import Process, start_process

DEFAULT_TIMEOUT_S = 5.0
GRACE_S = 5.0
CONTROL = "control"
PORTS = {"http": 80, "https": 443}
SCHEMES = {
    "TCP": "tcp",
    "TLS": "tls",
    "GREETING": "greeting",
    "WS": "ws",
    "WSS": "wss",
    "GRPC": "grpc",
    "GRPCS": "grpcs",
    "GRPC-CHAT": "grpc",
}
GRPC_SCHEMES = frozenset({"grpc", "grpcs"})
METHODS = {"ws": "GET", "wss": "GET", "grpc": "Say", "grpcs": "Say"}
ROOT = Path(__file__).parents[1]
PROXY_NAME = "envoy"
"""What a proxy writes into the header `server` of an answer of its own."""


class Verdict(StrEnum):
    """How a request ended. The way it took is told by the address that the server saw."""

    DIRECT = "direct"
    """A server answered, with whatever status, and saw the workload's own address."""
    VIA_GATEWAY = "via gateway"
    """A server answered and saw a gateway's address."""
    BLOCKED = "blocked"
    """The proxy refused: 502 on HTTP, the connection reset or closed without a byte on the rest."""
    DENIED_403 = "denied (403)"
    """The answer 403 came from a proxy."""
    NOT_FOUND_404 = "not found (404)"
    """The answer 404 came from a proxy."""
    UNAVAILABLE_503 = "unavailable (503)"
    """The answer 503 came from a proxy: allowed, but there is nothing to send it to."""
    TIMEOUT_504 = "timeout (504)"
    """The answer 504 came from a proxy."""
    UNRESOLVED = "unresolved"
    """The name has no address."""
    UNTRUSTED = "untrusted"
    """The server's certificate did not verify."""
    UNREACHABLE = "unreachable"
    """No connection, or no answer within the client's own time limit."""
    ERROR = "error"
    """Anything else; `detail` says what."""


DIRECT = Verdict.DIRECT
VIA_GATEWAY = Verdict.VIA_GATEWAY
BLOCKED = Verdict.BLOCKED
DENIED_403 = Verdict.DENIED_403
NOT_FOUND_404 = Verdict.NOT_FOUND_404
UNAVAILABLE_503 = Verdict.UNAVAILABLE_503
TIMEOUT_504 = Verdict.TIMEOUT_504
UNRESOLVED = Verdict.UNRESOLVED
UNTRUSTED = Verdict.UNTRUSTED
UNREACHABLE = Verdict.UNREACHABLE

REACHED = frozenset({DIRECT, VIA_GATEWAY})
"""Verdicts of requests that a server has seen."""

_OF_STATUS = {
    403: DENIED_403,
    404: NOT_FOUND_404,
    502: BLOCKED,
    503: UNAVAILABLE_503,
    504: TIMEOUT_504,
}
_OF_ERROR = {
    "resolve": UNRESOLVED,
    "connect": UNREACHABLE,
    "timeout": UNREACHABLE,
    "untrusted": UNTRUSTED,
    "reset": BLOCKED,
}


@dataclass(frozen=True)
class Outcome:
    """What came of one request."""

    verdict: Verdict
    status: int | None = None
    """HTTP status; None on TCP and when there was no answer."""
    answer: Answer | None = None
    """What the server saw (its name, the peer, the request's headers, …); None if none did."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the response, names in lower case."""
    body: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def server(self) -> str:
        """Name of the server that answered, or nothing."""
        return self.answer.server if self.answer else ""

    @property
    def peer(self) -> str:
        """The address that the server saw, or nothing."""
        return self.answer.peer if self.answer else ""

    def __str__(self) -> str:
        parts = [self.verdict.name]
        if self.status is not None:
            parts.append(str(self.status))
        if self.answer is not None:
            parts.append(f"from {self.server}, which saw {self.peer}")
        if self.detail:
            parts.append(f"({self.detail})")
        return " ".join(parts)


def call(
    text: str,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    headers: Mapping[str, str] | None = None,
    body: str = "",
    address: str = "",
    server_name: str = "",
    session: str = "",
) -> Order:
    """Read a call such as `GET http://api.example/path` or `TCP db.example:5432`. Pure.

    HTTP: `METHOD http[s]://HOST[:PORT][/PATH]`. Others: `TCP`, `TLS` (send a line, await one),
    `GREETING` (await one), `WS`, `WSS` (a WebSocket with some texts), `GRPC`, `GRPCS` (one call) or
    `GRPC-CHAT` (a stream), then `HOST:PORT`. The rest as in `Order`. Raises ValueError.
    """
    word, _, target = text.partition(" ")
    if word in SCHEMES:
        parts = urlsplit(f"//{target}")
        scheme = SCHEMES[word]
        method = "Chat" if word == "GRPC-CHAT" else METHODS.get(scheme, "")
        path = websocket.PATH if word.startswith("WS") else ""
    else:
        parts = urlsplit(target)
        scheme, method = parts.scheme, word
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = parts.port or PORTS.get(scheme)
    if not parts.hostname or port is None or (word not in SCHEMES and scheme not in PORTS):
        raise ValueError(
            f"{text!r} is no call: write `GET http://HOST/PATH`, `TCP HOST:PORT`, `TLS HOST:PORT`"
            ", `GREETING HOST:PORT`, `WS HOST:PORT` or `GRPC HOST:PORT`"
        )
    return Order(
        scheme=scheme,
        host=parts.hostname,
        port=port,
        timeout_s=timeout_s,
        method=method,
        path=path,
        headers=dict(headers or {}),
        body=body,
        address=address,
        server_name=server_name,
        session=session,
    )


def start_caller(
    name: str, netns: Netns, user: int, ca_file: Path, directory: Path, program: str
) -> Process:
    """Start an application of a workload as `user`; `send` talks to `directory / CONTROL`.

    `program` is `caller` or `grpc_caller`.
    """
    control = directory / CONTROL
    module = f"testbed.{program}"
    argv = netns.command(sys.executable, "-P", "-m", module, control, str(user), ca_file)
    return start_process(
        f"application of {name}",
        argv,
        log=directory / "log",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        ready=lambda: _is_listening(control),
    )


def send(order: Order, control: Path) -> Result:
    """Let the caller behind the socket `control` make the request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        # The caller's limit holds for each of its steps: connect, TLS, send, each read.
        channel.settimeout(3 * order.timeout_s + GRACE_S)
        channel.connect(str(control))
        channel.sendall(json.dumps(asdict(order)).encode() + b"\n")
        with channel.makefile() as lines:
            return Result(**json.loads(lines.readline()))


def _is_listening(control: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(control))
        return True


def judge(result: Result, own: frozenset[str], gateways: frozenset[str] = frozenset()) -> Outcome:
    """Decide what a result means for a workload with the addresses `own`. Pure."""
    answer = _read_answer(result)
    verdict, detail = _decide(result, answer, own, gateways)
    return Outcome(
        verdict=verdict,
        status=result.status or None,
        answer=answer,
        headers=result.headers,
        body=result.body,
        detail=detail,
        seconds=result.seconds,
    )


def _decide(
    result: Result, answer: Answer | None, own: frozenset[str], gateways: frozenset[str]
) -> tuple[Verdict, str]:
    if result.error:
        return _OF_ERROR.get(result.error, Verdict.ERROR), f"{result.error}: {result.detail}"
    if answer is None:
        verdict = _OF_STATUS.get(result.status, Verdict.ERROR)
        if result.headers.get("server") != PROXY_NAME:
            return Verdict.ERROR, f"an answer of neither a server nor a proxy: {result.body[:80]!r}"
        return verdict, f"the proxy's answer: {result.body[:80]!r}"
    if answer.peer in own:
        return DIRECT, ""
    if answer.peer in gateways:
        return VIA_GATEWAY, ""
    return Verdict.ERROR, f"the server saw {answer.peer}: neither the workload nor a gateway"


def _read_answer(result: Result) -> Answer | None:
    """Read the server's own words, if a server of ours answered."""
    if result.error or (result.status and SERVER_HEADER not in result.headers):
        return None
    try:
        return Answer(**json.loads(result.body))
    except (ValueError, TypeError):
        return None
