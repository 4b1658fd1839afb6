"""Names that a pod's resolver completes inside the cluster: policies lead outside all the same.

A ServiceEntry without the dot at the end of its endpoint shows that the names would be completed.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import (
    BATCH,
    CHECKOUT,
    HTTP,
    TCP,
    TLS,
    build_destination,
    build_entry,
    build_policy,
)
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import DIRECT

pytestmark = pytest.mark.mesh

HOST, BY_HAND = "api.example", "other.example"
INSIDE = "service.example"
"""The server that all names inside the cluster lead to."""
SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
CHOSEN = {"workloads": {"matchLabels": {"app": "batch"}}}
ROUNDS = 4
TIMEOUT_S = 30.0


@pytest.fixture
def completed(mesh: Mesh) -> Iterator[None]:
    """Let every name exist inside the cluster too, whatever a resolver completes it with."""
    mesh.names.set("*.cluster.local", mesh.outside.add(INSIDE))
    yield
    mesh.names.remove("*.cluster.local")


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("endpoint", ["", BY_HAND], ids=["host", "endpoint"])
def test_an_entry_without_the_dot_leads_inside(mesh: Mesh, endpoint: str) -> None:
    mesh.apply(build_entry("by-hand", BY_HAND, endpoint=endpoint, ports=(HTTP, TLS)))

    mesh.expect(CHECKOUT, f"GET http://{BY_HAND}/", DIRECT, server=INSIDE)
    mesh.expect(CHECKOUT, f"GET https://{BY_HAND}/", DIRECT, server=INSIDE)


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("source", [None, CHOSEN], ids=["everyone", "chosen"])
def test_a_policy_leads_outside(operated: OperatedMesh, mesh: Mesh, source: Object | None) -> None:
    policy = build_policy("web", build_destination(HOST, ports=(HTTP, TLS, TCP)))
    if source is not None:
        policy["spec"]["from"] = source

    operated.apply(policy)

    for text in (f"GET http://{HOST}/", f"GET https://{HOST}/", f"TCP {HOST}:5432"):
        mesh.expect(BATCH, text, DIRECT)
    if source is None:
        # Its proxy does not answer names: it dials the address inside.
        for text in (f"GET http://{HOST}/", f"GET https://{HOST}/"):
            mesh.expect(CHECKOUT, text, DIRECT)


@pytest.mark.usefixtures("completed")
def test_an_endpoint_of_a_policy_is_outside(operated: OperatedMesh, mesh: Mesh) -> None:
    backends = [{"name": "real", "endpoints": [{"address": "db.example"}]}]

    operated.apply(build_policy("web", build_destination(HOST, backends=backends)))

    mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT, server="db.example")


@pytest.mark.usefixtures("completed")
def test_tls_of_the_proxy_names_the_host_without_the_dot(
    operated: OperatedMesh, mesh: Mesh
) -> None:
    operated.apply(
        build_policy("web", build_destination(HOST, ports=(), originateTLS={"serverName": HOST}))
    )

    answer = mesh.expect(CHECKOUT, f"GET http://{HOST}/", DIRECT).answer
    assert answer is not None
    assert (answer.sni, answer.headers["host"]) == (HOST, HOST)


def test_the_name_server_is_asked_for_the_name_alone(operated: OperatedMesh, mesh: Mesh) -> None:
    operated.apply(build_policy("web", build_destination(HOST)))
    mesh.apply(build_entry("by-hand", BY_HAND))
    for host in (HOST, BY_HAND):
        mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
    client = mesh.members[CHECKOUT].address
    before = mesh.names.count(client)

    def look() -> Counter[str]:
        asked = mesh.names.count(client) - before
        return asked if all(asked[f"{host} A"] >= ROUNDS for host in (HOST, BY_HAND)) else Counter()

    asked = wait_until(look, TIMEOUT_S, "the proxy does not ask")
    ours = {question for question in asked if question.startswith(HOST)}
    by_hand = {question for question in asked if question.startswith(BY_HAND)}
    assert ours == {f"{HOST} A"}
    assert by_hand == {f"{BY_HAND} A", *(f"{BY_HAND}.{domain} A" for domain in SEARCH)}
