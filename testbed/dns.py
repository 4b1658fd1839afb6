"""The mesh's name server: a table in this process, answered on the bridge."""

import socketserver
import threading
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord

PORT = 53
TTL_S = 1
"""Proxies ask again after this time: a change of the table is seen at once."""
POLL_S = 0.05
"""How often the server looks whether it shall end."""


class NameServer:
    """Answers A and AAAA queries over UDP from a table that may change at any time.

    A context manager.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._records: dict[str, tuple[str, ...]] = {}
        self._asked = defaultdict[str, Counter[str]](Counter)
        self._server: socketserver.UDPServer | None = None
        self._thread: threading.Thread | None = None

    def set(self, host: str, *addresses: str) -> None:
        """Let `host` (or `*.parent` for all below it) have these addresses.

        Without addresses the name exists and has none.
        """
        self._records[host] = addresses

    def remove(self, host: str) -> None:
        """Forget `host`: NXDOMAIN from now on."""
        self._records.pop(host, None)

    def find(self, host: str) -> tuple[str, ...] | None:
        """Addresses of a name; None when it does not exist."""
        if host in self._records:
            return self._records[host]
        parent = host.partition(".")[2]
        while parent:
            if (addresses := self._records.get(f"*.{parent}")) is not None:
                return addresses
            parent = parent.partition(".")[2]
        return None

    def count(self, client: str) -> Counter[str]:
        """How often a client has asked for each name, as `NAME TYPE`; `client` is its address."""
        return self._asked[client].copy()

    def __enter__(self) -> Self:
        self._server = socketserver.UDPServer((self._address, PORT), self._build_handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="dns", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _build_handler(self) -> type[socketserver.BaseRequestHandler]:
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, channel = self.request
                channel.sendto(names.answer(data, self.client_address[0]), self.client_address)

        return Handler

    def answer(self, query: bytes, client: str) -> bytes:
        """Build the reply packet. Other types than A and AAAA of a known name have no records."""
        request = DNSRecord.parse(query)
        reply = request.reply()
        name = str(request.q.qname).rstrip(".").lower()
        self._asked[client][f"{name} {QTYPE[request.q.qtype]}"] += 1
        addresses = self.find(name)
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        for address in addresses or ():
            kind, record = (QTYPE.AAAA, AAAA) if ":" in address else (QTYPE.A, A)
            if request.q.qtype == kind:
                reply.add_answer(RR(request.q.qname, kind, rdata=record(address), ttl=TTL_S))
        packed: bytes = reply.pack()
        return packed
