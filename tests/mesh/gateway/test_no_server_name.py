"""Clients that open TLS without a server name: what a policy for them has to say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.gateway.way import Way
from mesh.traffic import nameless
from mesh.traffic.policy import BATCH, CHECKOUT, build_destination
from testbed.deadline import wait_until
from testbed.member import APPLICATION_USER
from testbed.mesh import Mesh
from testbed.process import start_process

pytestmark = pytest.mark.mesh

HOST, OTHER, PORT = "api.example", "other.example", 4433
TIMEOUT_S = 15.0


@pytest.fixture(scope="module", autouse=True)
def _server(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let all hosts outside answer such clients on a port."""
    directory = tmp_path_factory.mktemp("nameless")
    pair = mesh.outside.issue_client("nameless")
    certificate, key = directory / "server.crt", directory / "server.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    argv = mesh.outside.netns.command(
        sys.executable, "-I", nameless.__file__, "serve", str(PORT), certificate, key
    )
    process = start_process("nameless server", argv, log=directory / "log")
    yield
    process.stop(TIMEOUT_S)


def call_without_name(mesh: Mesh, workload: str, host: str = HOST) -> str:
    argv = mesh.members[workload].netns.command(
        sys.executable,
        "-I",
        Path(nameless.__file__),
        "call",
        str(APPLICATION_USER),
        host,
        str(PORT),
    )
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("protocol", "fixed", "answered"),
    [
        ("TLS", False, {CHECKOUT: False, BATCH: False}),
        ("TLS", True, {CHECKOUT: True, BATCH: True}),
        ("TCP", True, {CHECKOUT: True, BATCH: True}),
        ("TCP", False, {BATCH: True}),
    ],
    ids=["tls-by-name", "tls-by-address", "tcp-by-address", "tcp-by-name"],
)
def test_the_address_has_to_tell_the_host(
    way: Way, protocol: str, answered: dict[str, bool], *, fixed: bool
) -> None:
    mesh = way.mesh
    more = {"addresses": [mesh.outside.address_of(HOST)]} if fixed else {}
    port = {"number": PORT, "protocol": protocol}
    way.apply("api", build_destination(HOST, ports=(port,), **more))
    if protocol == "TCP" and not fixed:
        way.operated.wait_addresses(HOST)
    mesh.settle()
    for workload, is_answered in answered.items():
        # A gateway is led to by the server name.
        expected = is_answered and (protocol == "TCP" or way.gateway is None)

        def look(workload: str = workload, *, expected: bool = expected) -> bool:
            found = call_without_name(mesh, workload)
            assert (found == nameless.ANSWER) is expected, f"{workload}: {found}"
            return True

        wait_until(look, TIMEOUT_S, "it comes out otherwise")
        assert call_without_name(mesh, workload, OTHER) != nameless.ANSWER
