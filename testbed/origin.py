"""The servers of the outside world, one program: `python -m testbed.origin CONFIG.json`.

It runs in the namespace `ext`, where every address of the outside network is local, and listens
on each port for all of them. Who is being called is told by the local address; every answer says
so, and says which address it saw at the other end: that proves the way a request came.

What can be asked over HTTP:

    /                            200
    /slow?seconds=2              200, that much later
    /status?code=418             418
    /fail?times=2&status=503     503 to the first two requests of this very path and query, then
                                 200; status=0 ends the connection without an answer

    /ws                          a WebSocket: each text is answered

Every answer is the JSON object `Answer` of this module, and carries the header X-OUTSIDE-SERVER.
A line server answers each line with such an object on one line. Some ports demand a certificate
of the client, signed by the authority of the outside world.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from testbed import websocket

SERVER_HEADER = "x-outside-server"
"""On every HTTP answer of this program, and of nobody else: an answer without it is a proxy's."""
CONTROL_LIMIT = 1 << 20
EVERYWHERE = None
"""All addresses, of both IP versions, of a namespace that holds nothing else."""


@dataclass(frozen=True)
class Config:
    """What the program is started with."""

    control: str
    """Path of the UNIX socket for the test process."""
    certificates: str
    """Directory of HOST.crt and HOST.key."""
    client_ca: str
    """File of the roots for clients' certificates."""
    http: list[int]
    https: list[int]
    mutual: list[int]
    """Ports of HTTPS servers that demand a certificate of the client."""
    grpc: int
    grpcs: int
    line: list[int]
    """Ports of servers that answer line by line."""
    tls_line: list[int]
    greeting: list[int]
    """Ports of line servers that speak first."""


@dataclass(frozen=True)
class Answer:
    """What a server tells its client about the request it got."""

    server: str
    """The called server's name, by the address that was reached."""
    peer: str
    """The address seen at the other end of the connection."""
    address: str
    port: int
    tls: bool
    sni: str
    connection: int
    """Counts connections: two requests with the same number shared one."""
    count: int = 0
    """How many requests for this path this server has had, this one included."""
    method: str = ""
    path: str = ""
    """Path and query as they arrived."""
    headers: dict[str, str] = field(default_factory=dict)
    """Request headers, names in lower case."""
    body: str = ""
    line: str = ""
    client: str = ""
    """Common name in the client's certificate."""


class Origin:
    """Names, counts and connections of all servers."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._certificates = Path(config.certificates)
        self._contexts: dict[tuple[str, ssl.VerifyMode], ssl.SSLContext] = {}
        self._names: dict[str, str] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._connections = WeakKeyDictionary[asyncio.BaseTransport, int]()
        self._connection_count = 0
        self._grpc: list[object] = []

    async def serve(self) -> None:
        """Open every port, then the control socket: when that is there, all is ready."""
        config = self._config
        tls, mutual = self._build_context(), self._build_context()
        mutual.verify_mode = ssl.CERT_REQUIRED
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle_http)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        for port in config.http:
            await web.TCPSite(runner, port=port, host=EVERYWHERE).start()
        for port in config.https:
            await web.TCPSite(runner, port=port, host=EVERYWHERE, ssl_context=tls).start()
        for port in config.mutual:
            await web.TCPSite(runner, port=port, host=EVERYWHERE, ssl_context=mutual).start()
        for port in config.line:
            await asyncio.start_server(self.handle_line, EVERYWHERE, port)
        for port in config.tls_line:
            await asyncio.start_server(self.handle_line, EVERYWHERE, port, ssl=tls)
        for port in config.greeting:
            await asyncio.start_server(self.handle_greeting, EVERYWHERE, port)
        control = await asyncio.start_unix_server(
            self.handle_control, config.control, limit=CONTROL_LIMIT
        )
        await control.serve_forever()

    async def handle_http(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        seen = self._look(transport)
        counts = self._counts.setdefault(seen.server, Counter())
        counts[request.path_qs] += 1
        count = counts[request.path_qs]
        # A WebSocket has no body that would end.
        body = "" if request.path == websocket.PATH else await request.text()
        status = 200
        match request.path:
            case "/slow":
                await asyncio.sleep(float(request.query["seconds"]))
            case "/status":
                status = int(request.query["code"])
            case "/fail" if count <= int(request.query["times"]):
                status = int(request.query["status"])
        if status == 0:
            transport.abort()
            raise ConnectionResetError
        answer = replace(
            seen,
            count=count,
            method=request.method,
            path=request.path_qs,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
        )
        if request.path == websocket.PATH:
            return await self._talk(request, answer)
        return web.json_response(
            asdict(answer), status=status, headers={SERVER_HEADER: seen.server}
        )

    async def _talk(self, request: web.Request, answer: Answer) -> web.WebSocketResponse:
        """Answer each text of a WebSocket."""
        channel = web.WebSocketResponse()
        channel.headers[SERVER_HEADER] = answer.server
        await channel.prepare(request)
        async for message in channel:
            await channel.send_json(asdict(replace(answer, line=message.data)))
        return channel

    async def handle_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each line until the client ends."""
        try:
            seen = self._look(writer.transport)
            while line := await reader.readline():
                await self._say(writer, seen, line.decode(errors="replace").rstrip("\r\n"))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def handle_greeting(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Speak first, as MySQL does, then answer each line."""
        await self._say(writer, self._look(writer.transport), "")
        await self.handle_line(reader, writer)

    async def handle_control(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Obey the test process: one JSON object per line, one answer per line."""
        while line := await reader.readline():
            match json.loads(line):
                case {"name": str(name), "address": str(address)}:
                    self._names[address] = name
                    reply: object = {}
                case {"grpc": str(name), "address": str(address)}:
                    await self._serve_grpc(name, address)
                    reply = {}
                case {"counts": str(server)}:
                    reply = self._counts.get(server, {})
                case {"reset": True}:
                    self._counts.clear()
                    reply = {}
                case other:
                    reply = {"error": f"not understood: {other}"}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _serve_grpc(self, name: str, address: str) -> None:
        # Few meshes need it, and it takes long to load.
        from testbed import grpc_origin  # noqa: PLC0415

        ports = {False: self._config.grpc, True: self._config.grpcs}
        certificate = self._certificates / f"{name}.crt"
        self._grpc.extend(await grpc_origin.serve(name, address, ports, certificate))

    async def _say(self, writer: asyncio.StreamWriter, seen: Answer, line: str) -> None:
        writer.write(json.dumps(asdict(seen) | {"line": line}).encode() + b"\n")
        await writer.drain()

    def _look(self, transport: asyncio.BaseTransport) -> Answer:
        """Read what the connection alone tells."""
        local, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if local is None or peer is None:
            raise ConnectionResetError
        tls = transport.get_extra_info("ssl_object")
        return Answer(
            server=self._names.get(local[0], local[0]),
            peer=peer[0],
            address=local[0],
            port=local[1],
            tls=tls is not None,
            sni=getattr(tls, "sni", "") or "",
            client=_read_common_name(tls.getpeercert() or {}) if tls else "",
            connection=self._number(transport),
        )

    def _number(self, transport: asyncio.BaseTransport) -> int:
        if transport not in self._connections:
            self._connection_count += 1
            self._connections[transport] = self._connection_count
        return self._connections[transport]

    def _build_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose_certificate
        context.load_verify_locations(self._config.client_ca)
        return context

    def _choose_certificate(
        self, tls: ssl.SSLObject, name: str | None, first: ssl.SSLContext
    ) -> int | None:
        """Give the connection the certificate of the name that the client asked for."""
        if name is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        # A certificate of the client is shown only where the last context has asked for it too.
        key = name, first.verify_mode
        if key not in self._contexts:
            certificate = self._certificates / f"{name}.crt"
            if not certificate.exists():
                certificate = self._certificates / f"*.{name.partition('.')[2]}.crt"
            if not certificate.exists():
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            context.load_verify_locations(self._config.client_ca)
            context.verify_mode = first.verify_mode
            self._contexts[key] = context
        tls.context = self._contexts[key]
        tls.sni = name  # type: ignore[attr-defined]  # carried to the answer
        return None


def _read_common_name(certificate: Mapping[str, Any]) -> str:
    """Read it as `SSLObject.getpeercert` gives it. Pure."""
    subject = (entry for names in certificate.get("subject", ()) for entry in names)
    return str(dict(subject).get("commonName", ""))


def main() -> None:
    """Serve until killed."""
    config = Config(**json.loads(Path(sys.argv[1]).read_text()))
    asyncio.run(Origin(config).serve())


if __name__ == "__main__":
    main()
