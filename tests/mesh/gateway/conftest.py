"""A gateway for the tests of a module, and the EgressGateway `shared` for one test."""

from collections.abc import Iterator

import pytest

from mesh.gateway.tenant import SHARED, TENANTS, build_egress_gateway
from mesh.traffic.world import World
from testbed.client import Object
from testbed.gateway import Gateway
from testbed.mesh import Mesh


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give a gateway with one pod, in `istio-egress`."""
    with mesh.start_gateway() as gateway:
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
