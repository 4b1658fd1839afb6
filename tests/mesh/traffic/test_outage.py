"""Without an operator traffic goes on, deletion works, and its return disturbs nothing."""

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import BATCH, CHECKOUT, TCP, TLS, build_destination, build_policy
from mesh.traffic.stream import Stream
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT

pytestmark = pytest.mark.mesh

API, OTHER = "GET http://api.example/", "GET https://other.example/"
KEPT = build_policy(
    "kept",
    build_destination("api.example", http={"timeout": "3s", "retries": {"attempts": 0}}),
    build_destination("db.example", ports=(TCP,)),
)
LEFT = build_policy("left", build_destination("other.example", ports=(TLS,)))


def test_traffic_goes_on_while_the_operator_is_away_and_comes_back(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    operated.apply(KEPT)
    operated.apply(LEFT)
    mesh.expect(CHECKOUT, API, DIRECT)
    mesh.expect(CHECKOUT, OTHER, DIRECT)
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
    mesh.settle()

    with Stream(mesh, CHECKOUT, API) as stream, operated.without_operator():
        stream.wait(50)
        operated.delete(LEFT)
        mesh.expect(CHECKOUT, OTHER, BLOCKED)
        mesh.expect(BATCH, "TCP db.example:5432", DIRECT)
        before, mark = operated.versions(), operated.audit.position()
        status = operated.policy("kept")["status"]

        operated.start_operator()
        operated.watch_idle()
        stream.wait(50)

        assert operated.policy("kept")["status"] == status
        assert operated.writes(since=mark) == []
        assert operated.versions() == before
    assert stream.lost == []
    mesh.expect(BATCH, "TCP db.example:5432", DIRECT)


def test_what_was_changed_meanwhile_is_caught_up(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(KEPT)
    mesh.expect(CHECKOUT, API, DIRECT)

    with operated.without_operator():
        mesh.apply(LEFT)
        mesh.apply(build_policy("kept", build_destination("db.example")))
        mesh.settle()
        mesh.expect(CHECKOUT, API, DIRECT)
        mesh.expect(CHECKOUT, OTHER, BLOCKED)

    operated.wait_ready("kept")
    operated.wait_ready("left")
    mesh.expect(CHECKOUT, OTHER, DIRECT)
    mesh.expect(CHECKOUT, "GET http://db.example/", DIRECT)
    mesh.expect(CHECKOUT, API, BLOCKED)


def test_a_killed_operator_leaves_nothing_half_done(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(KEPT)
    mesh.expect(CHECKOUT, API, DIRECT)
    mesh.settle()

    with Stream(mesh, CHECKOUT, API) as stream:
        mesh.apply(LEFT)
        operated.kill_operator()
        stream.wait(25)
        operated.start_operator()
        operated.wait_ready("left")
        mesh.expect(CHECKOUT, OTHER, DIRECT)
        stream.wait(25)

    assert stream.lost == []
