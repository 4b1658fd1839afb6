"""A gateway for the tests of a module, and the EgressGateway `shared` for one test."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mesh.gateway.scenario import OTHER, OTHER_EGRESS
from mesh.gateway.scenario_run import SETTLE_S, Gateways
from mesh.gateway.tenant import SHARED, TENANTS, build_egress_gateway
from mesh.gateway.way import Way
from mesh.traffic.operated_mesh import OperatedMesh
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
def shared(operated: OperatedMesh, gateway: Gateway, labelled: None) -> Object:  # noqa: ARG001 - a condition
    """Give the EgressGateway `shared` on that gateway, open to both tenants."""
    (written,) = operated.mesh.apply(build_egress_gateway(gateway))
    return written


@pytest.fixture(params=["direct", "gateway"])
def way(request: pytest.FixtureRequest, operated: OperatedMesh, gateway: Gateway) -> Way:
    """Give each way in turn; the gateway is Ready."""
    if request.param == "direct":
        return Way(operated, None)
    request.getfixturevalue("shared")
    operated.wait_gateway(SHARED, "Ready", "True")
    return Way(operated, gateway)


@pytest.fixture(params=TENANTS)
def namespace(request: pytest.FixtureRequest) -> str:
    """Give each tenant's namespace in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def slowly_operated(operated: OperatedMesh) -> Iterator[OperatedMesh]:
    """Let the operator settle for longer than the other tests need."""
    with operated.with_settings(EGRESS_SETTLE=str(SETTLE_S)):
        yield operated


@pytest.fixture(scope="module")
def other(mesh: Mesh) -> Iterator[Gateway]:
    """Give a second gateway, in a namespace of its own."""
    with mesh.start_gateway(OTHER_EGRESS) as gateway:
        yield gateway


@pytest.fixture
def gateways(operated: OperatedMesh, shared: Object, gateway: Gateway, other: Gateway) -> Gateways:
    """Give two gateways by the names of their EgressGateways, which are Ready."""
    operated.mesh.apply(build_egress_gateway(other, OTHER, namespaces={}))
    for name in (shared["metadata"]["name"], OTHER):
        operated.wait_gateway(name, "Ready", "True")
    return {SHARED: gateway, OTHER: other}
