"""HTTP2 and GRPC: the proxy speaks HTTP/2 to a server that knows nothing else."""

import json
import subprocess
import sys

import pytest

from mesh.traffic import http2
from mesh.traffic.http2_server import GRPC_MESSAGE, Http2Server
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import APP, CHECKOUT, build_destination, build_policy
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.member import APPLICATION_USER
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, UNAVAILABLE_503

pytestmark = pytest.mark.mesh

HOST = "http2.example"
TEXT = f"GET http://{HOST}/"
FRAMES_OF_GRPC = [http2.HEADERS, http2.DATA, http2.HEADERS]
"""Headers, the message, and the trailers that only HTTP/2 has."""


def build_port(protocol: str, server: Http2Server) -> Object:
    return {"number": 80, "protocol": protocol, "targetPort": server.port}


def call_grpc(mesh: Mesh, workload: str) -> Object:
    """Let a workload make a gRPC call on port 80."""
    argv = mesh.members[workload].netns.command(
        sys.executable, "-I", http2.__file__, HOST, "80", str(APPLICATION_USER), "price of tea"
    )
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    result: Object = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_the_server_is_spoken_to_in_http2(
    operated: OperatedMesh, mesh: Mesh, protocol: str
) -> None:
    mesh.names.set(HOST, mesh.addresses.host)
    with Http2Server(HOST, mesh.addresses.host) as server:
        mesh.expect(CHECKOUT, TEXT, BLOCKED)
        policy = build_policy("h2", build_destination(HOST, ports=(build_port(protocol, server),)))
        operated.apply(policy)

        mesh.expect(CHECKOUT, TEXT, DIRECT)
        assert server.requests > 0
        assert server.strangers == []
        mesh.settle()
        mesh.expect(CHECKOUT, "GET http://other.example/", BLOCKED)
        mesh.expect(APP, TEXT, BLOCKED)

        operated.delete(policy)
        mesh.expect(CHECKOUT, TEXT, BLOCKED)


def test_with_protocol_http_the_same_server_is_not_understood(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    mesh.names.set(HOST, mesh.addresses.host)
    with Http2Server(HOST, mesh.addresses.host) as server:
        port = build_port("HTTP", server)
        operated.apply(build_policy("h2", build_destination(HOST, ports=(port,))))

        mesh.expect(CHECKOUT, TEXT, UNAVAILABLE_503)

        assert server.requests == 0
        assert server.strangers[0].startswith(b"GET / HTTP/1.1")


def test_a_protocol_is_changed_to_http2(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.names.set(HOST, mesh.addresses.host)
    with Http2Server(HOST, mesh.addresses.host) as server:
        for protocol, verdict in (("HTTP", UNAVAILABLE_503), ("HTTP2", DIRECT)):
            port = build_port(protocol, server)
            operated.apply(build_policy("h2", build_destination(HOST, ports=(port,))))
            mesh.expect(CHECKOUT, TEXT, verdict)


def test_a_grpc_call_with_its_trailers_gets_through(operated: OperatedMesh, mesh: Mesh) -> None:
    mesh.names.set(HOST, mesh.addresses.host)
    with Http2Server(HOST, mesh.addresses.host, grpc=True) as server:
        assert call_grpc(mesh, CHECKOUT).get("message", "") == ""
        port = build_port("GRPC", server)
        http = {"timeout": "3s", "retries": {"attempts": 1, "conditions": ["unavailable"]}}
        operated.apply(build_policy("grpc", build_destination(HOST, ports=(port,), http=http)))

        result = wait_until(
            lambda: (found := call_grpc(mesh, CHECKOUT)).get("message") and found,
            15,
            "no message comes back",
        )

        assert result == {"message": GRPC_MESSAGE, "types": FRAMES_OF_GRPC}
        assert call_grpc(mesh, APP).get("message", "") == ""
