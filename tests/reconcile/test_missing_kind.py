"""Kinds are missing when the operator starts, come, go, and come again; the operator stays.

One control plane serves all tests: each begins with the kinds that it names and no others.
"""

from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus

import pytest

from testbed.audit import Record
from testbed.client import Object
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import install_crds, load_istio_crds, load_our_crds, remove_crds
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator

from .world import ENTRY, HTTP, ROUTE, World, hosts

STATUS = "patch egresspolicies/status"
SHOP = "shop"
Serve = Callable[..., None]


@pytest.fixture(scope="module")
def plane(programs: None) -> Iterator[ControlPlane]:  # noqa: ARG001 - skips without them
    definitions = [*load_istio_crds(ENTRY[1], ROUTE[1]), *load_our_crds()]
    with start_control_plane(ControlPlaneOption(audit=True, definitions=definitions)) as running:
        running.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}})
        yield running


@pytest.fixture
def serve(plane: ControlPlane) -> Serve:
    """Have the API server serve these definitions, without any object, and none of the others."""

    def serve(*definitions: Object) -> None:
        remove_crds(plane.admin, plane.option.definitions)
        install_crds(plane.admin, definitions)

    return serve


def is_istio_missing(world: World) -> bool:
    rows = world.status("payments").get("destinations", [])
    return [row.get("reason") for row in rows] == ["IstioMissing"]


def list_refused(world: World, mark: int) -> list[Record]:
    return [record for record in world.records(mark) if record.code == HTTPStatus.NOT_FOUND]


def count_missing(operator: Operator, crd: Object) -> float:
    """How often the watch of a kind found that the kind is not served."""
    resource = crd["spec"]["names"]["plural"]
    return operator.metric(
        f'egress_operator_watch_restarts_total{{reason="missing",resource="{resource}"}}'
    )


def test_policies_wait_for_istio_and_say_so(plane: ControlPlane, serve: Serve) -> None:
    serve(*load_our_crds())
    mark = plane.audit.position()
    istio = load_istio_crds(ENTRY[1], ROUTE[1])
    with start_operator(plane) as operator:
        world = World(plane, SHOP, operator.user)
        world.apply("payments", hosts("a.example.com"))
        for _ in range(2):
            # While a CRD is being removed other refusals may be said first.
            wait_until(
                partial(is_istio_missing, world), 20, "the policy says that Istio is missing"
            )
            assert "install Istio's CRDs" in world.condition("payments", "Ready")["message"]
            install_crds(plane.admin, istio)
            world.wait_ready("payments", timeout_s=20)
            world.wait_hosts("a.example.com")
            known = [count_missing(operator, crd) for crd in istio]
            remove_crds(plane.admin, istio)
        wait_until(partial(is_istio_missing, world), 20, "the policy tells of missing kinds")
        assert operator.is_ready()
        assert operator.health() == 200
        # The policy may say it from a refusal. While the watches know it, nothing is sent in vain.
        wait_until(
            lambda: all(
                count_missing(operator, crd) > known[index] for index, crd in enumerate(istio)
            ),
            20,
            "the watches know that the kinds are missing",
        )
        before = list_refused(world, mark)
        changed = world.client.merge_patch(
            world.policy("payments"), {"spec": {"justification": "while Istio is missing"}}
        )
        generation = changed["metadata"]["generation"]
        wait_until(
            lambda: world.status("payments").get("observedGeneration") == generation,
            20,
            "the edit is taken note of",
        )
        assert is_istio_missing(world)
        assert list_refused(world, mark) == before
        assert operator.stop() == 0


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
def world(plane: ControlPlane, serve: Serve) -> Iterator[World]:
    """Give a namespace of a cluster that serves ServiceEntries and no VirtualServices."""
    serve(*load_our_crds(), *load_istio_crds(ENTRY[1]))
    with start_operator(plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})) as operator:
        yield World(plane, SHOP, operator.user)
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
    install_crds(world.client, load_istio_crds(ROUTE[1]))
    for name in ("plain", "timed", "both"):
        world.wait_ready(name, timeout_s=20)
    world.wait_hosts(*every)
    routes = world.client.list_objects(*ROUTE, world.namespace)
    assert sorted(item["spec"]["hosts"][0] for item in routes) == ["b.example.com", "d.example.com"]
    # No ServiceEntry was written twice, and no VirtualService in vain.
    written = [line for line in world.writes(mark) if line != STATUS]
    assert written == ["create serviceentries"] * 4 + ["create virtualservices"] * 2


@pytest.mark.timeout(300)
def test_the_operator_waits_for_its_crd_and_survives_its_removal(
    plane: ControlPlane, serve: Serve
) -> None:
    serve(*load_istio_crds(ENTRY[1], ROUTE[1]))
    with start_operator(plane, OperatorOption(wait=False)) as operator:
        wait_until(
            lambda: "no EgressPolicy kind" in operator.log.read_text(),
            20,
            "it says what is lacking",
        )
        world = World(plane, SHOP, operator.user)
        for host in ("a.example.com", "b.example.com"):
            install_crds(plane.admin, load_our_crds())
            wait_until(lambda: _is_ready(operator.is_ready), 60, "it is ready")
            world.apply("payments", hosts(host))
            # Where kopf misses the moment in which the kind is served, a list finds it out.
            world.wait_ready("payments", timeout_s=80)
            world.wait_hosts(host, timeout_s=80)
            # The garbage collector judges the old objects once it knows the kind again.
            remove_crds(plane.admin, load_our_crds())
        assert operator.process.is_alive
        assert operator.stop() == 0


def _is_ready(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        # It is started again, with its server, when kopf ends over the missing kind.
        return False
