"""A proxy in front of the API server that breaks requests on demand.

Clients speak plain HTTP to it, it speaks TLS to the real API server and passes everything on, until
a fault is injected for a kind of call. It runs in the event loop of whoever starts it; another
process may use it as well, with `server: http://…` in its kubeconfig.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp import web
from yarl import URL

from testbed.port import LOOPBACK

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date"}


class Call(StrEnum):
    """The kinds of request that faults are aimed at."""

    LIST = "list"
    WATCH = "watch"
    GET = "get"
    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"
    DISCOVERY = "discovery"


def parse_call(request: web.BaseRequest) -> Call:
    """Tell what a request asks for, by its method and URL."""
    writes = {"POST": Call.CREATE, "PATCH": Call.PATCH, "PUT": Call.PATCH, "DELETE": Call.DELETE}
    if request.method in writes:
        return writes[request.method]
    if request.query.get("watch") == "true":
        return Call.WATCH
    # /api/v1/PLURAL or /apis/GROUP/VERSION/PLURAL, namespaces/NS before it, a name behind it.
    parts = request.path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return {0: Call.DISCOVERY, 1: Call.LIST}.get(len(parts), Call.GET)


@dataclass(eq=False)
class Exchange:
    """One request that passes through."""

    request: web.BaseRequest
    body: bytes
    forward: Callable[[], AbstractAsyncContextManager[aiohttp.ClientResponse]]
    """Send it to the API server."""

    def reset(self) -> None:
        """Cut the client's connection in the hard way."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def relay(self, lines: "LineFilter | None" = None) -> web.StreamResponse:
        """Pass the answer on as it comes; `lines` may change the lines of a watch."""
        async with self.forward() as answer:
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(self.request)
            source = answer.content.iter_any() if lines is None else lines(answer.content)
            async for chunk in source:
                await response.write(chunk)
            await response.write_eof()
            return response


class Fault(Protocol):
    """What happens to a request instead of being passed on."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Deal with the exchange."""
        ...


LineFilter = Callable[[aiohttp.StreamReader], AsyncIterator[bytes]]


@dataclass(frozen=True)
class Answer:
    """An answer that the API server did not give; the request is not passed on."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        response = web.Response(
            status=self.status,
            body=self.body,
            headers={"Content-Type": self.content_type, **self.headers},
        )
        await response.prepare(exchange.request)
        await response.write_eof()
        return response


def build_refusal(status: int, reason: str, **headers: str) -> Answer:
    """Build the answer of an API server that refuses: a Status object."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected {status}",
        "reason": reason,
        "code": status,
    }
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(status, json.dumps(body).encode(), headers=named)


class DeniesObject:
    """A 404 that names the very object, as the API server's own, though the object is there."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        *_, group, _version, _namespaces, _namespace, plural, name = exchange.request.path.split(
            "/"
        )
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'{plural}.{group} "{name}" not found',
            "reason": "NotFound",
            "details": {"name": name, "group": group, "kind": plural},
            "code": 404,
        }
        return web.json_response(body, status=404)


@dataclass(frozen=True)
class ResetBefore:
    """The connection is reset before the API server sees the request."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        exchange.reset()
        return web.StreamResponse()


@dataclass(frozen=True)
class ResetAfter:
    """The API server acts on the request, and the connection is reset before the answer."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async with exchange.forward() as answer:
            await answer.content.readany()
        exchange.reset()
        return web.StreamResponse()


@dataclass(frozen=True)
class Hang:
    """Half-open: nobody answers, nobody closes."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        await asyncio.Event().wait()
        return await exchange.relay()


@dataclass(frozen=True)
class Delay:
    """The answer comes late."""

    seconds: float

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(self.seconds)
        return await exchange.relay()


@dataclass(frozen=True)
class Silence:
    """A watch that opens and then never says anything, bookmarks included."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async def swallow(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
            async for _ in content:
                yield b""

        return await exchange.relay(swallow)


@dataclass(frozen=True)
class BreakOff:
    """A watch whose connection is reset as soon as it is open."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(exchange.request)
        exchange.reset()
        return response


@dataclass(frozen=True)
class Line:
    """A watch that says one line of ours, then ends in order. Without a newline: truncated."""

    text: bytes

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        return await Answer(200, self.text)(exchange)


def build_error_event(code: int, reason: str) -> Line:
    """Build a watch that says only ERROR."""
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason}
    return Line(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")


@dataclass(frozen=True)
class Garble:
    """A watch whose first event arrives with its bytes spoilt; what follows is passed on."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async def spoil(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
            first = True
            async for line in content:
                yield line.replace(b":", b"\xff\x00") if first else line
                first = False

        return await exchange.relay(spoil)


@dataclass(frozen=True)
class Truncate:
    """A watch whose first event breaks off half-way, with its connection."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async def cut(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
            line = await content.readline()
            yield line[: len(line) // 2]
            await asyncio.sleep(0)
            exchange.reset()

        return await exchange.relay(cut)


@dataclass(frozen=True)
class Lose:
    """A watch that loses edits."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async def lose(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
            async for line in content:
                if b'"type":"MODIFIED"' not in line:
                    yield line

        return await exchange.relay(lose)


@dataclass(frozen=True)
class Replay:
    """A watch that says every event twice."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        async def repeat(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
            async for line in content:
                yield line + line

        return await exchange.relay(repeat)


def is_within(namespace: str) -> Callable[[web.BaseRequest], bool]:
    """Match requests about what is in a namespace, and not what other tests have left."""
    return lambda request: f"/namespaces/{namespace}/" in request.path


def is_about(agent: str, plural: str) -> Callable[[web.BaseRequest], bool]:
    """Match requests for all of a resource, from clients whose User-Agent begins like this."""
    return lambda request: (
        request.path.endswith(f"/{plural}")
        and request.headers.get("User-Agent", "").startswith(agent)
    )


@dataclass(slots=True)
class _Injection:
    fault: Fault
    left: int
    """Requests that it is still for; negative: all."""
    where: Callable[[web.BaseRequest], bool]


class FaultProxy:
    """`async with FaultProxy(url, ca_file) as proxy`: clients use `proxy.url`."""

    def __init__(self, upstream: str, ca_file: Path) -> None:
        self.url = ""
        self.seen: Counter[Call] = Counter()
        """Requests by call, faulty or not."""
        self.hit: Counter[Call] = Counter()
        """Requests that a fault was applied to."""
        self._upstream = upstream
        self._tls = ssl.create_default_context(cafile=str(ca_file))
        self._faults: dict[Call, _Injection] = {}
        self._open: list[Exchange] = []
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None

    def inject(
        self,
        fault: Fault,
        *calls: Call,
        times: int = 1,
        where: Callable[[web.BaseRequest], bool] = lambda _: True,
    ) -> None:
        """Apply `fault` to the next `times` requests of these kinds; -1: until `clear`.

        Requests that `where` leaves out pass, and are not counted as hit.
        """
        for call in calls:
            self._faults[call] = _Injection(fault, times, where)

    def clear(self) -> None:
        """Pass everything on again."""
        self._faults.clear()

    def cut(self) -> None:
        """Reset every connection that is open now."""
        for exchange in list(self._open):
            exchange.reset()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=3),
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://{address[0]}:{address[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()
        # Aborted sockets are closed in the loop's next round.
        await asyncio.sleep(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = parse_call(request)
        self.seen[call] += 1
        exchange = self._build_exchange(request, await request.read())
        injection = self._faults.get(call)
        self._open.append(exchange)
        try:
            if injection is None or not injection.where(request):
                return await exchange.relay()
            self.hit[call] += 1
            injection.left -= 1
            if injection.left == 0:
                del self._faults[call]
            return await injection.fault(exchange)
        except (aiohttp.ClientError, ConnectionError):
            # Either side went away: the other one must notice.
            exchange.reset()
            return web.StreamResponse()
        finally:
            self._open.remove(exchange)

    def _build_exchange(self, request: web.BaseRequest, body: bytes) -> Exchange:
        assert self._session is not None
        session = self._session
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = URL(self._upstream + request.raw_path, encoded=True)

        @asynccontextmanager
        async def forward() -> AsyncIterator[aiohttp.ClientResponse]:
            answer = await session.request(request.method, url, headers=headers, data=body or None)
            try:
                yield answer
            finally:
                # A watch that was left early; TLS need not say goodbye.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()
                answer.close()

        return Exchange(request, body, forward)
