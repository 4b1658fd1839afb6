"""The outside world as the tests see it: hosts, their addresses, and what they were asked."""

import ipaddress
import itertools
import json
import os
import socket
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.address import OUTSIDE_NETWORK
from testbed.certificate import CertificateAuthority, KeyPair
from testbed.dns import NameServer
from testbed.netns import Netns
from testbed.origin import Config
from testbed.process import Process, start_process

HTTP_PORTS = (80, 8080)
HTTPS_PORTS = (443, 8443)
MUTUAL_PORTS = (9443,)
"""HTTPS for clients with a certificate of `Outside.issue_client`; nobody else gets in."""
GRPC_PORT, GRPCS_PORT = 50051, 50052
LINE_PORTS = (5432, 6379, 9000, 27017)
TLS_LINE_PORTS = (6380, 27018)
GREETING_PORTS = (3306,)
FIRST_ADDRESS = 10
TIMEOUT_S = 10.0


class Outside:
    """Servers beyond the mesh. Every host has an address of its own and answers on every port.

    A context manager; hosts may be added at any time while it is open.
    """

    def __init__(self, netns: Netns, names: NameServer, directory: Path) -> None:
        self.netns = netns
        self._names = names
        self._directory = directory
        self._control = directory / "control"
        self._authority = CertificateAuthority.create("outside world")
        self._private_authority = CertificateAuthority.create("private")
        self._grpc: set[str] = set()
        self._hosts: dict[str, str] = {}
        self._free = itertools.islice(
            ipaddress.ip_network(OUTSIDE_NETWORK).hosts(), FIRST_ADDRESS - 1, None
        )
        self._process: Process | None = None
        self._lock = threading.Lock()

    @property
    def ca_file(self) -> Path:
        """The root that signed the hosts' certificates; the system's only one in workloads.

        It is alone in its directory, which takes the place of the system's.
        """
        return self._directory / "roots" / "ca-certificates.crt"

    @property
    def private_ca(self) -> bytes:
        """The root (PEM) of `private` hosts, that no system has."""
        return self._private_authority.pem

    def add(
        self,
        host: str,
        *,
        address: str = "",
        resolvable: bool = True,
        certificate_for: str = "",
        private: bool = False,
    ) -> str:
        """Make sure that a host exists and return its address, `address` or the next free one.

        It gets a DNS record unless it is not `resolvable`, and a certificate of its own name, or
        of the name `certificate_for`, signed by `private_ca` when it is `private`. A wildcard host
        stands for all names below it.
        """
        authority = self._private_authority if private else self._authority
        with self._lock:
            if host not in self._hosts:
                address = address or self._find_free()
                pair = authority.issue("outside server", [certificate_for or host])
                pair.write(self._certificates, host)
                self._ask({"name": host, "address": address})
                self._hosts[host] = address
            address = self._hosts[host]
        if resolvable:
            self._names.set(host, address)
        return address

    def _find_free(self) -> str:
        taken = set(self._hosts.values())
        return next(address for address in map(str, self._free) if address not in taken)

    def serve_grpc(self, host: str) -> None:
        """Let a host that was added answer gRPC on GRPC_PORT, and with TLS on GRPCS_PORT."""
        with self._lock:
            if host not in self._grpc:
                self._ask({"grpc": host, "address": self._hosts[host]})
                self._grpc.add(host)

    def issue_client(self, name: str) -> KeyPair:
        """Issue a client's certificate for the common name `name`, good on MUTUAL_PORTS."""
        return self._authority.issue(name)

    def issue_server(self, host: str) -> KeyPair:
        """Issue a server's certificate for a host, signed as those of the other hosts are."""
        return self._authority.issue("outside server", [host])

    def address_of(self, host: str) -> str:
        """Look up the address of a host that was added."""
        return self._hosts[host]

    def count(self, host: str, path: str = "/") -> int:
        """How many HTTP requests for this path and query the host has had since `reset`."""
        return self._ask({"counts": host}).get(path, 0)

    def reset(self) -> None:
        """Forget all counts, and give every host its own address again."""
        self._ask({"reset": True})
        for host, address in self._hosts.items():
            self._names.set(host, address)

    def __enter__(self) -> Self:
        self._certificates.mkdir(parents=True)
        self.ca_file.parent.mkdir()
        self.ca_file.write_bytes(self._authority.pem)
        config = self._directory / "config.json"
        config.write_text(json.dumps(asdict(self._build_config())))
        self._process = start_process(
            "outside world",
            self.netns.command(sys.executable, "-P", "-m", "testbed.origin", config),
            log=self._directory / "log",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            ready=lambda: self._ask({"counts": ""}) == {},
            timeout_s=TIMEOUT_S,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()

    @property
    def _certificates(self) -> Path:
        return self._directory / "certificates"

    def _build_config(self) -> Config:
        return Config(
            control=str(self._control),
            certificates=str(self._certificates),
            client_ca=str(self.ca_file),
            http=list(HTTP_PORTS),
            https=list(HTTPS_PORTS),
            mutual=list(MUTUAL_PORTS),
            grpc=GRPC_PORT,
            grpcs=GRPCS_PORT,
            line=list(LINE_PORTS),
            tls_line=list(TLS_LINE_PORTS),
            greeting=list(GREETING_PORTS),
        )

    def _ask(self, question: dict[str, object]) -> dict[str, int]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(TIMEOUT_S)
            channel.connect(str(self._control))
            channel.sendall(json.dumps(question).encode() + b"\n")
            with channel.makefile() as answers:
                answer: dict[str, int] = json.loads(answers.readline())
                return answer
