"""Several who want one host: two policies, a hand-written object, a stranger under our name."""

import pytest

from egress_operator.istio.name import build_host_name
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    CHECKOUT,
    HTTP,
    NAMESPACE,
    ROUTE,
    TLS,
    build_destination,
    build_entry,
    build_policy,
)
from mesh.traffic.stream import Stream
from testbed.client import Object
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT, TIMEOUT_504

pytestmark = pytest.mark.mesh

API = "GET http://api.example/"
OLDER, YOUNGER = "a-older", "b-younger"
"""The names decide where both are made in the same second."""


def find_identity(items: list[Object]) -> dict[str, str]:
    return {f"{item['metadata']['name']}": item["metadata"]["uid"] for item in items}


def test_equal_policies_share_and_the_last_one_closes(operated: OperatedMesh, mesh: Mesh) -> None:
    older = build_policy(OLDER, build_destination("api.example"))
    younger = build_policy(YOUNGER, build_destination("api.example"))
    operated.apply(older)
    operated.apply(younger)
    shared = find_identity(operated.children(OLDER))
    assert find_identity(operated.children(YOUNGER)) == shared
    mesh.expect(CHECKOUT, API, DIRECT)
    mesh.settle()

    with Stream(mesh, CHECKOUT, API) as stream:
        stream.wait(25)
        operated.delete(older)
        stream.wait(50)
        mesh.settle()
    assert stream.lost == []
    assert find_identity(operated.children(YOUNGER)) == shared

    operated.delete(younger)
    mesh.expect(CHECKOUT, API, BLOCKED)


def test_ports_of_two_policies_unite(operated: OperatedMesh, mesh: Mesh) -> None:
    older = build_policy(OLDER, build_destination("api.example"))
    operated.apply(older)
    operated.apply(build_policy(YOUNGER, build_destination("api.example", ports=(TLS,))))
    mesh.expect(CHECKOUT, API, DIRECT)
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)

    operated.delete(older)

    mesh.expect(CHECKOUT, API, BLOCKED)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET https://api.example/", DIRECT)


def test_the_younger_takes_over_in_place(operated: OperatedMesh, mesh: Mesh) -> None:
    older = build_policy(OLDER, build_destination("api.example", http={"timeout": "300ms"}))
    port = {**HTTP, "targetPort": 8080}
    younger = build_policy(
        YOUNGER,
        build_destination("api.example", ports=(port,)),
        build_destination("other.example"),
    )
    operated.apply(older)
    mesh.expect(CHECKOUT, API, DIRECT)
    mesh.apply(younger)

    ready = operated.wait_condition(YOUNGER, "Ready", "False", "Conflicted")
    assert (
        f"policy {OLDER} (older, or first by name at the same age) claims api.example:80"
        in ready["message"]
    )
    assert "targetPort" in ready["message"]
    operated.wait_condition(OLDER, "Ready", "True")
    mesh.expect(CHECKOUT, "GET http://other.example/", DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=1", TIMEOUT_504)
    answer = mesh.expect(CHECKOUT, API, DIRECT).answer
    assert answer is not None
    assert answer.port == 80
    entry = operated.entry("api.example")["metadata"]["uid"]

    with Stream(mesh, CHECKOUT, API) as stream:
        stream.wait(25)
        mesh.delete(older)
        operated.wait_ready(YOUNGER)
        mesh.settle()
        stream.wait(50)

    answer = mesh.expect(CHECKOUT, API, DIRECT).answer
    assert answer is not None
    assert answer.port == 8080
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=1", DIRECT)
    assert operated.entry("api.example")["metadata"]["uid"] == entry
    assert stream.lost == []


def test_a_conflict_ends_when_the_two_are_made_equal(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy(OLDER, build_destination("api.example")))
    mesh.apply(build_policy(YOUNGER, build_destination("api.example", http={"timeout": "1s"})))
    operated.wait_condition(YOUNGER, "Ready", "False", "Conflicted")

    operated.apply(build_policy(YOUNGER, build_destination("api.example")))

    assert operated.wait_ready(YOUNGER)["status"]["destinations"][0]["state"] == "Applied"
    mesh.expect(CHECKOUT, API, DIRECT)


def test_a_squatter_stays_as_it_is_until_it_goes(operated: OperatedMesh, mesh: Mesh) -> None:
    squatter = build_entry(build_host_name("api.example"), "api.example", endpoint="other.example")
    (before,) = mesh.apply(squatter)
    mesh.expect(CHECKOUT, API, DIRECT, server="other.example")
    mesh.apply(build_policy("squatted", build_destination("api.example", "db.example")))

    ready = operated.wait_condition("squatted", "Ready", "False", "Conflicted")

    assert f"ServiceEntry shop/{squatter['metadata']['name']}" in ready["message"]
    mesh.expect(CHECKOUT, "GET http://db.example/", DIRECT)
    mesh.settle()
    mesh.expect(CHECKOUT, API, DIRECT, server="other.example")
    now = operated.entry("api.example")
    assert now["spec"] == before["spec"]
    assert now["metadata"].get("ownerReferences") is None
    assert now["metadata"].get("labels") == before["metadata"].get("labels")

    mesh.delete(squatter)
    operated.wait_ready("squatted")
    mesh.settle()
    mesh.expect(CHECKOUT, API, DIRECT, server="api.example")


def test_a_hand_written_entry_beside_ours_is_told(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("shadowed", build_destination("api.example")))
    mesh.expect(CHECKOUT, API, DIRECT)
    beside = build_entry("by-hand", "api.example", endpoint="other.example")

    mesh.apply(beside)

    shadowed = operated.wait_condition("shadowed", "Shadowed", "True")
    assert "ServiceEntry by-hand" in shadowed["message"]
    operated.wait_condition("shadowed", "Ready", "True")
    # What is said is so: Istio mixes the endpoints of the two.
    mesh.expect(CHECKOUT, API, DIRECT, server="other.example", times=1)

    mesh.delete(beside)
    operated.wait_gone("shadowed", "Shadowed")
    mesh.settle()
    mesh.expect(CHECKOUT, API, DIRECT)


def test_a_hand_written_route_for_our_host_is_told(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("shadowed", build_destination("api.example")))
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=1", DIRECT, times=1)
    route = {
        "apiVersion": ROUTE[0],
        "kind": ROUTE[1],
        "metadata": {"name": "by-hand", "namespace": NAMESPACE},
        "spec": {
            "hosts": ["api.example"],
            "exportTo": ["."],
            "http": [{"timeout": "0.3s", "route": [{"destination": {"host": "api.example"}}]}],
        },
    }

    mesh.apply(route)

    shadowed = operated.wait_condition("shadowed", "Shadowed", "True")
    assert "VirtualService by-hand" in shadowed["message"]
    operated.wait_condition("shadowed", "Ready", "True")
    # What is said is so: Istio routes by it.
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=1", TIMEOUT_504, times=1)

    mesh.delete(route)
    operated.wait_gone("shadowed", "Shadowed")
    mesh.expect(CHECKOUT, "GET http://api.example/slow?seconds=1", DIRECT, times=1)
