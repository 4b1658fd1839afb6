"""A proxy of the company, which applications ask for a way by CONNECT: a TCP host for the mesh."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.gateway.way import Way
from mesh.traffic import connect_proxy
from mesh.traffic.policy import CHECKOUT, build_destination
from testbed.deadline import wait_until
from testbed.member import APPLICATION_USER
from testbed.mesh import Mesh
from testbed.process import start_process
from testbed.request import BLOCKED

pytestmark = pytest.mark.mesh

PROXY, PORT = "proxy.example", 3128
HOST = "api.example"
TIMEOUT_S = 15.0


@pytest.fixture(scope="module")
def proxy(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a proxy outside."""
    mesh.outside.add(PROXY)
    log = tmp_path_factory.mktemp("connect") / "log"
    argv = mesh.outside.netns.command(
        sys.executable, "-I", connect_proxy.__file__, "serve", str(PORT)
    )
    process = start_process("proxy for CONNECT", argv, log=log)
    yield mesh.outside.address_of(PROXY)
    process.stop(TIMEOUT_S)


def call_through(mesh: Mesh, host: str, port: int = PORT) -> str:
    """Let the checkout call https://HOST/ through the proxy."""
    argv = mesh.members[CHECKOUT].netns.command(
        sys.executable,
        "-I",
        Path(connect_proxy.__file__),
        "call",
        str(APPLICATION_USER),
        mesh.outside.ca_file,
        PROXY,
        str(port),
        host,
    )
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def test_a_tunnel_goes_through_a_tcp_host(way: Way, proxy: str) -> None:
    way.mesh.expect(CHECKOUT, f"TCP {PROXY}:{PORT}", BLOCKED)
    port = {"number": PORT, "protocol": "TCP"}
    way.apply("proxy", build_destination(PROXY, ports=(port,), addresses=[proxy]))

    def look() -> bool:
        assert call_through(way.mesh, HOST) == f"200 {HOST}"
        return True

    wait_until(look, TIMEOUT_S, "no tunnel")
    # Which hosts it leads to is the proxy's affair: no policy names this one.
    way.mesh.expect(CHECKOUT, f"GET https://{HOST}/", BLOCKED)


def test_a_tunnel_is_not_found_on_an_http_port(way: Way, proxy: str) -> None:
    del proxy
    way.apply("proxy", build_destination(PROXY, ports=({"number": PORT, "protocol": "HTTP"},)))

    def look() -> bool:
        assert call_through(way.mesh, HOST) == "404"
        return True

    wait_until(look, TIMEOUT_S, "no 404")
