"""The operator ends after any of its writes, under load: not one request is lost."""

from collections.abc import Sequence

import pytest

from mesh.gateway.mortal import MortalOperators
from mesh.gateway.scenario import (
    GATEWAY_STAGES,
    POLICY_SCENARIOS,
    Scenario,
    build_first,
    build_gateway_scenario,
)
from mesh.gateway.scenario_run import SETTLE_S, Gateways, begin, run_under_load
from mesh.gateway.tenant import SHARED
from mesh.traffic.operated_mesh import SETTINGS, OperatedMesh
from testbed.mesh import Mesh
from testbed.rig import ALLOW_ANY

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]

ENTERED_S = 180.0
"""How long a change may take, with operators that end again and again."""


def run_with_deaths(
    operated: OperatedMesh, scenarios: Sequence[Scenario], gateways: Gateways
) -> None:
    """Begin, and go on with operators that end after a write or a few."""
    begin(operated, *scenarios)
    with operated.without_operator():
        with MortalOperators(operated.mesh.control_plane, SETTINGS) as operators:
            run_under_load(
                operated,
                scenarios,
                gateways,
                ensure_operator=operators.ensure_operator,
                within_s=ENTERED_S,
            )
        # Scenarios change side by side, so one end may serve several; each has its stages in turn.
        assert operators.count > max(len(scenario.stages) for scenario in scenarios)
        operated.start_operator(EGRESS_SETTLE=str(SETTLE_S))


@pytest.mark.long("mortal")
def test_operators_end_while_policies_change(
    slowly_operated: OperatedMesh, gateways: Gateways
) -> None:
    scenarios = [build(slowly_operated.mesh) for build in POLICY_SCENARIOS.values()]
    run_with_deaths(slowly_operated, scenarios, gateways)


def test_operators_end_while_a_gateway_changes(
    slowly_operated: OperatedMesh, gateways: Gateways
) -> None:
    scenario = build_gateway_scenario(slowly_operated.mesh, gateways[SHARED], GATEWAY_STAGES[:4])
    run_with_deaths(slowly_operated, [scenario], gateways)


@pytest.mark.long("mortal")
def test_operators_end_while_the_first_policy_comes(
    slowly_operated: OperatedMesh, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        run_with_deaths(slowly_operated, [build_first(mesh)], gateways)
