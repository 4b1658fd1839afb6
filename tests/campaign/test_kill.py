"""The operator, or the API server, is killed at random points of a burst; the rules hold after.

The points come from the seed `EGRESS_SEED`, a fresh one for each `make test`.
"""

from collections.abc import Callable, Iterator

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import load_istio_crds, load_our_crds
from testbed.deadline import wait_until
from testbed.operator import Operator
from testbed.seed import SEED

from .campaign import Campaign
from .history import CHILDREN, History

KILLS = 6
MANY_KILLS = 75
APISERVER_KILLS = 2
MORE_APISERVER_KILLS = 5
RESYNCS = 3


@pytest.fixture
def campaign(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane],
) -> Iterator[Callable[[str], Campaign]]:
    """Start a campaign with a seed, on a control plane of its own."""
    definitions = [*load_istio_crds(*CHILDREN), *load_our_crds()]
    plane = fresh_control_plane(ControlPlaneOption(audit=True, definitions=definitions))
    with History(plane.etcd_url) as history:
        started: list[Campaign] = []

        def start(seed: str) -> Campaign:
            started.append(Campaign(plane, history, seed))
            return started[0]

        yield start
        for running in started:
            if running.operator is not None:
                running.operator.stop()


def count_comparisons(operator: Operator) -> float:
    """Count how often every host was compared with what is there."""
    hosts = operator.metric("egress_operator_hosts")
    settled = operator.metric('egress_operator_reconcile_total{result="settled"}')
    return settled / hosts if hosts else 0.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.long("kill"))])
def test_kills_at_random_points_break_no_rule(
    campaign: Callable[[str], Campaign], kills: int
) -> None:
    run = campaign(SEED)
    for _ in range(kills):
        run.live_and_die()
    assert run.faults == kills
    run.delete_while_away()
    run.start_ready()
    evidence = run.converge()
    print(run.summarise(evidence))  # noqa: T201 - shown with -s, and when the test fails
    assert run.burst.deleted_while_away > 0
    # Quiet: nothing is written any more, and nothing by a new process that compares everything.
    assert run.list_quiet_writes() == [], run.describe("it is not quiet")
    mark = len(run.gather().records)
    run.kill()
    operator = run.start_ready(EGRESS_RESYNC="1")
    wait_until(lambda: count_comparisons(operator) >= RESYNCS, 30, "all is compared")
    assert run.gather().records[mark:] == (), run.describe("a restart writes")
    run.converge()
    assert operator.stop() == 0
    run.operator = None


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kills",
    [APISERVER_KILLS, pytest.param(MORE_APISERVER_KILLS, marks=pytest.mark.long("kill"))],
)
def test_kills_of_the_api_server_break_no_rule(
    campaign: Callable[[str], Campaign], kills: int
) -> None:
    run = campaign(f"{SEED}/API server")
    run.live_and_die()
    # The same process sees the new server, or a new one does.
    run.start_ready()
    run.break_apiserver()
    run.kill()
    operator = run.start_ready()
    for _ in range(kills - 1):
        run.break_apiserver()
    # An API server that has just started does not serve our kinds yet. A garbage collector that
    # looks at that moment forgets them for 30 s, and never hears of owners that are deleted then.
    run.plane.restart_controller_manager()
    evidence = run.converge()
    print(run.summarise(evidence))  # noqa: T201 - shown with -s, and when the test fails
    assert run.list_quiet_writes() == [], run.describe("it is not quiet")
    assert operator.stop() == 0
    run.operator = None
