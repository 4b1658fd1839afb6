"""Sidecars that hide the hosts of policies: what is said of them is what happens."""

import time

import pytest

from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import HTTP, TCP, TLS, build_destination, build_policy
from plan.scene import (
    API,
    BATCH,
    BYTES,
    CALLS,
    CHECKOUT,
    DATABASE,
    SCENES,
    SERVICES,
    Scene,
    build_listener,
    build_sidecar,
)
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import BLOCKED, DIRECT

pytestmark = pytest.mark.mesh

AGE_S = 1.1
"""Ages count in seconds."""
TIMEOUT_S = 20.0
POLICY = "web"


@pytest.fixture
def web(operated: OperatedMesh, mesh: Mesh) -> None:
    """Open a host by HTTP and TLS, and a database by its address."""
    operated.apply(
        build_policy(
            POLICY,
            build_destination(API, ports=(HTTP, TLS)),
            build_destination(
                DATABASE, ports=(TCP,), addresses=[mesh.outside.address_of(DATABASE)]
            ),
        )
    )


@pytest.mark.usefixtures("web")
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_workloads_reach_what_the_status_says(
    operated: OperatedMesh, mesh: Mesh, scene: Scene
) -> None:
    for index, sidecar in enumerate(scene.sidecars):
        if index:
            time.sleep(AGE_S)
        written = time.time()
        mesh.apply(sidecar)
    mesh.settle()

    for workload, reached in ((CHECKOUT, scene.checkout), (BATCH, scene.batch)):
        for text in CALLS:
            mesh.expect(workload, text, DIRECT if text in reached else BLOCKED)
    if scene.hidden:
        operated.wait_condition(POLICY, "Ready", "False", "Hidden")
    elif scene.partly_hidden:
        operated.wait_condition(POLICY, "PartlyHidden", "True")
    else:
        operated.operator.wait_heard("sidecars", written)
        operated.operator.wait_idle()
    ready = operated.condition(POLICY, "Ready")["status"]
    assert (ready == "True") is not scene.hidden
    assert bool(operated.condition(POLICY, "PartlyHidden")) is scene.partly_hidden

    mesh.delete(*scene.sidecars)

    operated.wait_ready(POLICY)
    wait_until(
        lambda: not operated.condition(POLICY, "PartlyHidden"), TIMEOUT_S, "it is still said"
    )


def test_an_entry_below_a_wildcard_may_show_its_routes(operated: OperatedMesh, mesh: Mesh) -> None:
    """Not the wildcard itself, but where something else has port 80, HTTP is not blocked."""
    hosts = ("one.wild.example", "other.wild.example")
    for host in hosts:
        mesh.outside.add(host)
    wildcard = build_destination("*.wild.example", ports=(HTTP, TLS))
    operated.apply(build_policy(POLICY, wildcard, build_destination(API, ports=(HTTP,))))
    mesh.apply(build_sidecar("one", f"./{hosts[0]}", f"./{API}"))
    mesh.settle()

    operated.wait_condition(POLICY, "Ready", "False", "Hidden")
    for host in hosts:
        mesh.expect(CHECKOUT, f"GET http://{host}/", DIRECT)
        mesh.expect(CHECKOUT, f"GET https://{host}/", BLOCKED)


@pytest.mark.parametrize(
    ("rest", "reached"),
    [
        ((f"./{DATABASE}", SERVICES), True),
        (("./*.shop.direct.internal", SERVICES), True),
        ((SERVICES,), False),
    ],
    ids=["host", "private-names", "services-only"],
)
def test_a_listener_of_a_port_hides_where_raw_bytes_of_some_workloads_go_on(
    operated: OperatedMesh, mesh: Mesh, rest: tuple[str, ...], *, reached: bool
) -> None:
    """The private name has another port: the listener of this one does not bring it."""
    database = build_destination(
        DATABASE, ports=(TCP,), addresses=[mesh.outside.address_of(DATABASE)]
    )
    policy = build_policy(POLICY, database)
    policy["spec"]["from"] = {"workloads": {"matchLabels": {"app": "checkout"}}}
    operated.apply(policy)
    mesh.expect(CHECKOUT, BYTES, DIRECT)
    sidecar = build_sidecar("database", *rest, listeners=(build_listener(5432, "TCP", "./*"),))
    mesh.apply(sidecar)
    mesh.settle()
    mesh.expect(CHECKOUT, BYTES, DIRECT if reached else BLOCKED)
    if reached:
        operated.operator.wait_idle()
        operated.wait_ready(POLICY)
    else:
        operated.wait_condition(POLICY, "Ready", "False", "Hidden")
    mesh.delete(sidecar)
    operated.wait_ready(POLICY)
