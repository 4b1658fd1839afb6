"""While policies change, a steady stream of requests to what has not changed loses none."""

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TCP, TLS, build_destination, build_policy
from mesh.traffic.stream import Stream
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT

pytestmark = pytest.mark.mesh

STEADY = ("GET http://api.example/", "GET https://api.example/", "TCP api.example:5432")
ROUNDS = 2
REQUESTS = 25
"""Between two changes."""
AT_LEAST = 100


@pytest.fixture
def steady(operated: OperatedMesh, mesh: Mesh) -> Object:
    """Give a destination with HTTP, TLS and TCP, that a policy allows."""
    destination = build_destination(
        "api.example",
        ports=(HTTP, TLS, TCP),
        addresses=[mesh.outside.address_of("api.example")],
    )
    operated.apply(build_policy("steady", destination))
    for text in STEADY:
        mesh.expect(CHECKOUT, text, DIRECT)
    mesh.settle()
    return destination


def assert_nothing_lost(stream: Stream) -> None:
    assert stream.lost == []
    assert stream.count >= AT_LEAST


def test_while_other_policies_come_and_go(
    operated: OperatedMesh, mesh: Mesh, steady: Object
) -> None:
    assert steady
    other = build_policy(
        "other",
        build_destination("other.example", ports=(HTTP, TLS), name="names"),
        build_destination(
            "db.example", ports=(TCP,), addresses=[mesh.outside.address_of("db.example")]
        ),
    )
    with Stream(mesh, CHECKOUT, *STEADY) as stream:
        stream.wait(REQUESTS)
        for _ in range(ROUNDS):
            operated.apply(other)
            mesh.expect(CHECKOUT, "GET http://other.example/", DIRECT)
            stream.wait(REQUESTS)
            operated.delete(other)
            mesh.expect(CHECKOUT, "GET http://other.example/", BLOCKED)
            stream.wait(REQUESTS)

    assert_nothing_lost(stream)


def test_while_other_hosts_of_the_policy_come_and_go(
    operated: OperatedMesh, mesh: Mesh, steady: Object
) -> None:
    other = build_destination("other.example", ports=(HTTP, TLS))
    with Stream(mesh, CHECKOUT, *STEADY) as stream:
        stream.wait(REQUESTS)
        for _ in range(ROUNDS):
            operated.apply(build_policy("steady", steady, other))
            mesh.expect(CHECKOUT, "GET https://other.example/", DIRECT)
            stream.wait(REQUESTS)
            operated.apply(build_policy("steady", steady))
            mesh.expect(CHECKOUT, "GET https://other.example/", BLOCKED)
            stream.wait(REQUESTS)

    assert_nothing_lost(stream)


def test_while_other_ports_of_the_host_come_and_go(
    operated: OperatedMesh, mesh: Mesh, steady: Object
) -> None:
    more = {
        **steady,
        "ports": [*steady["ports"], {"number": 8080, "protocol": "HTTP"}],
    }
    with Stream(mesh, CHECKOUT, *STEADY) as stream:
        stream.wait(REQUESTS)
        for _ in range(ROUNDS):
            operated.apply(build_policy("steady", more))
            mesh.expect(CHECKOUT, "GET http://api.example:8080/", DIRECT)
            stream.wait(REQUESTS)
            operated.apply(build_policy("steady", steady))
            mesh.expect(CHECKOUT, "GET http://api.example:8080/", BLOCKED)
            stream.wait(REQUESTS)

    assert_nothing_lost(stream)


def test_while_its_own_timeout_and_retries_change(operated: OperatedMesh, mesh: Mesh) -> None:
    text = "GET http://api.example/"
    settings: list[Object] = [
        {"timeout": "2s"},
        {"timeout": "5s", "retries": {"attempts": 1, "codes": [503]}},
        {"retries": {"attempts": 0}},
        {},
    ]
    operated.apply(build_policy("steady", build_destination("api.example", http={"timeout": "3s"})))
    mesh.expect(CHECKOUT, text, DIRECT)
    mesh.settle()

    with Stream(mesh, CHECKOUT, text) as stream:
        stream.wait(REQUESTS)
        for http in settings:
            operated.apply(build_policy("steady", build_destination("api.example", http=http)))
            stream.wait(REQUESTS)
        mesh.settle()

    assert_nothing_lost(stream)


def test_while_the_settings_of_a_port_beside_it_change(operated: OperatedMesh, mesh: Mesh) -> None:
    other = {"number": 8080, "protocol": "HTTP"}
    first = build_destination("api.example", http={"timeout": "3s"})

    def build(**more: object) -> Object:
        return build_policy(
            "steady", first, build_destination("api.example", ports=(other,), **more)
        )

    operated.apply(build())
    mesh.expect(CHECKOUT, "GET http://api.example/", DIRECT)
    mesh.settle()

    with Stream(mesh, CHECKOUT, "GET http://api.example/") as stream:
        stream.wait(REQUESTS)
        for policy in (
            build(http={"timeout": "1s"}),
            build_policy("steady", first),
            build(http={"timeout": "2s"}),
            build(),
        ):
            operated.apply(policy)
            stream.wait(REQUESTS)
        mesh.settle()

    assert_nothing_lost(stream)


def test_a_stream_notices_what_is_lost(operated: OperatedMesh, mesh: Mesh, steady: Object) -> None:
    with Stream(mesh, CHECKOUT, *STEADY) as stream:
        stream.wait(REQUESTS)
        operated.delete(build_policy("steady", steady))
        for text in STEADY:
            mesh.expect(CHECKOUT, text, BLOCKED)
        stream.wait(REQUESTS)

    assert {line.split(" on a ")[0].split()[-1] for line in stream.lost} == {
        "api.example:80",
        "api.example:443",
        "api.example:5432",
    }
