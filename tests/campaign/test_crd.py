"""Istio's CRDs are removed in the middle of a burst, with all their objects, and come back.

The burst comes from the seed `EGRESS_SEED`, a fresh one for each `make test`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from testbed.audit import Mark
from testbed.client import TOO_MANY_REQUESTS, ApiError
from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import install_crds, load_istio_crds, load_our_crds, remove_crds
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.seed import SEED, build_rng

from .burst import NAMESPACES, NOT_FOUND, Burst
from .campaign import CONVERGE_S
from .convergence import check_convergence
from .evidence import API_VERSIONS, Evidence
from .history import CHILDREN, ROUTE, read_key
from .invariant import check_orphan

ROUND = (CHILDREN, (ROUTE,))
"""What is removed at once: both kinds, and then one of them."""
OPERATIONS = 25
"""Before, between and after removal and return; during each of them as many at most."""
RESYNCS = 3
NOT_SERVED = {NOT_FOUND, TOO_MANY_REQUESTS}
"""A kind that is away, or whose storage has yet to come up."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.long("campaign"))])
def test_after_kinds_went_and_came_all_is_as_planned(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane], rounds: int
) -> None:
    definitions = [*load_istio_crds(*CHILDREN), *load_our_crds()]
    plane = fresh_control_plane(ControlPlaneOption(audit=True, definitions=definitions))
    client = plane.admin
    for namespace in NAMESPACES:
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    burst = Burst(client, build_rng("definitions"))
    with start_operator(plane, OperatorOption(settings={"EGRESS_RESYNC": "1"})) as operator:
        for kinds in ROUND * rounds:
            moving = load_istio_crds(*kinds)
            work(burst)
            work_during(burst, partial(remove_crds, client, moving))
            work(burst)
            work_during(burst, partial(install_crds, client, moving))
            work(burst)
        wait_until(lambda: is_as_planned(plane), CONVERGE_S, f"seed {SEED}: it does not converge")
        # The last status may still be on its way.
        operator.wait_idle()
        mark = plane.audit.position()
        wait_for_resyncs(operator)
        assert find_writes(plane, operator, mark) == []
        assert operator.is_ready()
        assert operator.stop() == 0


def work(burst: Burst) -> None:
    """Do some operations; one about a kind that is not served is lost."""
    for _ in range(OPERATIONS):
        operate(burst)


def work_during(burst: Burst, action: Callable[[], None]) -> None:
    """Do operations while `action` runs."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(action)
        for _ in range(OPERATIONS):
            if not running.done():
                operate(burst)
        running.result()


def operate(burst: Burst) -> None:
    try:
        burst.step()
    except LookupError:
        pass
    except ApiError as error:
        if error.code not in NOT_SERVED:
            raise


def is_as_planned(plane: ControlPlane) -> bool:
    try:
        evidence = gather(plane)
    except ApiError as error:
        if error.code not in NOT_SERVED:
            raise
        return False
    open_ends = [*check_convergence(evidence), *check_orphan(evidence)]
    assert not open_ends, "\n".join(open_ends[:20])
    return True


def gather(plane: ControlPlane) -> Evidence:
    """Read what is there now."""
    client = plane.admin
    listed = [
        {"apiVersion": version, "kind": kind, **item}
        for kind, version in API_VERSIONS.items()
        for item in client.list_objects(version, kind)
    ]
    return Evidence(objects={read_key(item): item for item in listed})


def wait_for_resyncs(operator: Operator) -> None:
    """Wait until every host was compared a few times with what is there."""
    series = 'egress_operator_reconcile_total{result="settled"}'
    enough = operator.metric(series) + RESYNCS * operator.metric("egress_operator_hosts")
    wait_until(lambda: operator.metric(series) >= enough, 30, "all is compared")


def find_writes(plane: ControlPlane, operator: Operator, mark: Mark) -> list[str]:
    return [
        f"{record.verb} {record.resource} {record.namespace}/{record.name} {record.code}"
        for record in plane.audit.records(since=mark, user=operator.user, writes=True)
        if record.resource != "events"
    ]
