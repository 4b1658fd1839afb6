"""Changes of the way out, under load: not one request is lost."""

import time

import pytest

from mesh.gateway.scenario import POLICY_SCENARIOS, build_first, build_gateway_scenario, build_rest
from mesh.gateway.scenario_run import BETWEEN, Gateways, begin, load_on, run
from mesh.gateway.tenant import SHARED
from mesh.traffic.operated_mesh import OperatedMesh
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.parametrize(
        "least_s",
        [
            pytest.param(0.0, id="once"),
            pytest.param(30.0, id="again", marks=pytest.mark.long("load")),
        ],
    ),
]


@pytest.mark.parametrize("name", POLICY_SCENARIOS)
def test_a_policy_changes(
    slowly_operated: OperatedMesh, gateways: Gateways, name: str, least_s: float
) -> None:
    scenario = POLICY_SCENARIOS[name](slowly_operated.mesh)
    run(slowly_operated, scenario, gateways, least_s=least_s)


def test_a_gateway_changes(
    slowly_operated: OperatedMesh, gateways: Gateways, least_s: float
) -> None:
    scenario = build_gateway_scenario(slowly_operated.mesh, gateways[SHARED])
    run(slowly_operated, scenario, gateways, least_s=least_s)


def test_the_first_policy_in_a_mesh_that_lets_unknown_hosts_through(
    slowly_operated: OperatedMesh, mesh: Mesh, gateways: Gateways, least_s: float
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        run(slowly_operated, build_first(mesh), gateways, least_s=least_s)


def test_pods_of_the_gateway_come_and_go(
    slowly_operated: OperatedMesh, mesh: Mesh, gateways: Gateways, least_s: float
) -> None:
    gateway = gateways[SHARED]
    scenario = build_rest(mesh)
    begin(slowly_operated, scenario)
    end = time.monotonic() + least_s
    with load_on(mesh, [scenario], least_s) as load:
        while True:
            more = [gateway.add(), gateway.add()]
            mesh.settle()
            load.wait(BETWEEN)
            for member in more:
                gateway.remove(member)
                load.wait(BETWEEN)
            if time.monotonic() > end:
                break
