"""A gateway for the tests of a module, and the EgressGateway `shared` for one test."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.move import OTHER, OTHER_EGRESS
from mesh.gateway.tenant import SHARED, TENANTS, build_egress_gateway
from mesh.gateway.walk import SETTLE_S, Gateways
from mesh.traffic.world import World
from testbed.client import Object
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.workload import PATIENT


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give a gateway with one pod, in `istio-egress`."""
    with mesh.start_gateway(replace(EGRESS, proxy_config=PATIENT)) as gateway:
        yield gateway


@pytest.fixture
def labelled(mesh: Mesh) -> None:
    """Let the EgressGateway `shared` select both tenants, when there is one."""
    for namespace in TENANTS:
        mesh.label(namespace, {"egress": SHARED})


@pytest.fixture
def shared(world: World, gateway: Gateway, labelled: None) -> Object:  # noqa: ARG001 - a condition
    """Give the EgressGateway `shared` on that gateway, open to both tenants."""
    (written,) = world.mesh.apply(build_egress_gateway(gateway))
    return written


@pytest.fixture(params=TENANTS)
def namespace(request: pytest.FixtureRequest) -> str:
    """Give each tenant's namespace in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def steady_world(world: World) -> Iterator[World]:
    """Let the operator settle for longer than the other tests need."""
    with world.operated_with(EGRESS_SETTLE=str(SETTLE_S)):
        yield world


@pytest.fixture(scope="module")
def other(mesh: Mesh) -> Iterator[Gateway]:
    """Give a second gateway, in a namespace of its own."""
    with mesh.start_gateway(OTHER_EGRESS) as gateway:
        yield gateway


@pytest.fixture
def gateways(world: World, shared: Object, gateway: Gateway, other: Gateway) -> Gateways:
    """Give two gateways by the names of their EgressGateways, which are Ready."""
    world.mesh.apply(build_egress_gateway(other, OTHER, namespaces={}))
    for name in (shared["metadata"]["name"], OTHER):
        world.wait_gateway(name, "Ready", "True")
    return {SHARED: gateway, OTHER: other}
