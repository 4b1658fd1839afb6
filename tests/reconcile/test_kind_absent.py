"""One of Istio's kinds is absent: what needs it says so, all else is applied as ever."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from testbed.client import Object
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import install_crds, load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import OperatorOption, start_operator

from .world import HTTP, ROUTE, World, hosts

STATUS = "patch egresspolicies/status"


def load_crd(kind: str) -> list[Object]:
    return [item for item in load_istio_crds() if item["spec"]["names"]["kind"] == kind]


def timed(host: str) -> dict[str, object]:
    """Build a destination that needs a VirtualService."""
    return hosts(host, ports=[HTTP], http={"timeout": "3s"})


def read_rows(world: World, name: str) -> dict[str, tuple[str, str]]:
    """(state, reason) by host."""
    return {
        row["host"]: (row["state"], row.get("reason", ""))
        for row in world.status(name).get("destinations", [])
    }


def is_missing(world: World, name: str, host: str) -> bool:
    return read_rows(world, name).get(host) == ("Pending", "IstioMissing")


@pytest.fixture
def world(fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane]) -> Iterator[World]:
    """Give a namespace of a cluster that serves ServiceEntries and no VirtualServices."""
    plane = fresh_control_plane(ControlPlaneOption(audit=True))
    install_crds(plane.admin, [*load_our_crds(), *load_crd("ServiceEntry")])
    plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    with start_operator(plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})) as operator:
        yield World(plane, "shop", operator.user)
        assert operator.stop() == 0, operator.process.tail(50)


def test_only_what_needs_a_virtual_service_waits_for_the_kind(world: World) -> None:
    mark = world.mark()
    world.apply("plain", hosts("a.example.com"))
    world.apply("timed", timed("b.example.com"))
    world.apply("both", hosts("c.example.com"), timed("d.example.com"))
    world.wait_ready("plain")
    for name, host in (("timed", "b.example.com"), ("both", "d.example.com")):
        wait_until(partial(is_missing, world, name, host), 20, f"{host} waits for the kind")
        assert world.ready(name) == ("False", "Pending")
        assert "serves no VirtualService" in world.condition(name, "Ready")["message"]
    wait_until(
        lambda: read_rows(world, "both")["c.example.com"] == ("Applied", ""),
        20,
        "the host that needs no route is applied",
    )
    every = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")
    world.wait_hosts(*every)
    install_crds(world.client, load_crd("VirtualService"))
    for name in ("plain", "timed", "both"):
        world.wait_ready(name, timeout_s=20)
    world.wait_hosts(*every)
    routes = world.client.list_objects(*ROUTE, world.namespace)
    assert sorted(item["spec"]["hosts"][0] for item in routes) == ["b.example.com", "d.example.com"]
    # No ServiceEntry was written twice, and no VirtualService in vain.
    written = [line for line in world.writes(mark) if line != STATUS]
    assert written == ["create serviceentries"] * 4 + ["create virtualservices"] * 2
