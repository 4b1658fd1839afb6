"""Going the way of scenarios under load: not one request may be lost."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, product

from mesh.gateway.scenario import Scenario, Stage
from mesh.traffic.operated_mesh import TIMEOUT_S, OperatedMesh
from mesh.traffic.policy import CHECKOUT, POLICY, join_name
from mesh.traffic.stream import Load, Pace
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.operator import Idleness, Operator
from testbed.request import DIRECT, VIA_GATEWAY

SUCCESSFUL = frozenset({DIRECT, VIA_GATEWAY})
SETTLE_S = 1.0
"""What the two cores of a small machine need until every proxy has a change."""
PER_SECOND = 120
"""Each of the six pairs of caller and call of a scenario has its turn every 50 ms."""
BETWEEN = 120
"""Requests between two changes: a second of them."""
HANDS = 12
"""How many requests may be under way at a time, so that a slow answer holds up no others."""
ENTERED_S = 2 * TIMEOUT_S
"""How long a change may take."""

Gateways = Mapping[str, Gateway]
"""By the names of their EgressGateways."""
EnsureOperator = Callable[[], Operator | None]
"""Starts an operator where none runs; returns it when it is ready."""
Change = tuple[Stage | None, Stage]
"""The stage before, and the one that is entered."""


def wait_done(
    operated: OperatedMesh,
    written: Iterable[Object],
    deleted: Iterable[Object] = (),
    *,
    ensure_operator: EnsureOperator | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Wait until the operator is done with objects of ours, then for the proxies.

    Policies are Ready and gateways looked at, deleted policies own nothing, and after that nothing
    is left to do.
    """
    written, deleted, idleness = list(written), list(deleted), Idleness()

    def look() -> bool:
        operator = ensure_operator() if ensure_operator else operated.operator
        if operator is None or not is_seen(operated, written, deleted):
            idleness.reset()
            return False
        try:
            return idleness.look(operator)
        except OSError:
            # It has just ended.
            return False

    wait_until(look, within_s, "the operator does not come to an end")
    operated.mesh.settle()


def is_seen(operated: OperatedMesh, written: Iterable[Object], deleted: Iterable[Object]) -> bool:
    """Whether the operator has seen objects of ours as they are now, and that others are gone."""
    policies = (join_name(item) for item in written if item["kind"] == POLICY[1])
    gateways = (item["metadata"]["name"] for item in written if item["kind"] != POLICY[1])
    return (
        all(operated.condition(name, "Ready").get("status") == "True" for name in policies)
        and all(operated.is_gateway_seen(name) for name in gateways)
        and not any(operated.children(join_name(item)) for item in deleted)
    )


def begin(operated: OperatedMesh, *scenarios: Scenario) -> None:
    """Enter the first stages."""
    enter_all(operated, [(None, scenario.stages[0]) for scenario in scenarios])
    for scenario in scenarios:
        for workload, (text, verdict) in product(scenario.callers, scenario.stages[0].expected):
            operated.mesh.expect(workload, text, verdict)


def enter_all(
    operated: OperatedMesh,
    changes: Sequence[Change],
    ensure_operator: EnsureOperator | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Enter stages, all at once, and wait until that is done."""
    for before, stage in changes:
        enter(operated.mesh, before, stage)
    wait_done(
        operated,
        [item for _, stage in changes for item in stage.objects],
        [item for before, stage in changes for item in list_gone(before, stage)],
        ensure_operator=ensure_operator,
        within_s=within_s,
    )


@contextmanager
def load_on(mesh: Mesh, scenarios: Sequence[Scenario], least_s: float = 0.0) -> Iterator[Load]:
    """Let requests run, so long at least, while the block changes things; none may be lost."""
    calls: dict[str, list[str]] = {}
    for scenario in scenarios:
        for workload in scenario.callers:
            calls.setdefault(workload, []).extend(scenario.hosts.calls)
    end = time.monotonic() + least_s
    with Load(mesh, calls, fine=SUCCESSFUL, pace=Pace(PER_SECOND, HANDS)) as load:
        load.wait(BETWEEN)
        yield load
        mesh.settle()
        load.wait(BETWEEN)
        time.sleep(max(0.0, end - time.monotonic()))
    assert not load.lost, "\n".join([f"{len(load.lost)} of {load.count} lost", *load.lost[:20]])
    assert load.count > 2 * BETWEEN, "nobody called during the changes"


def run_under_load(
    operated: OperatedMesh,
    scenarios: Sequence[Scenario],
    gateways: Gateways,
    *,
    least_s: float = 0.0,
    ensure_operator: EnsureOperator | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Enter the other stages under load, those of all scenarios together.

    Scenarios that end where they began are made again until the load has run for `least_s`.
    """
    paths = [list(pairwise(scenario.stages)) for scenario in scenarios]
    end = time.monotonic() + least_s
    with load_on(operated.mesh, scenarios, least_s) as load:
        while True:
            for number in range(max(map(len, paths))):
                changes = [path[number] for path in paths if number < len(path)]
                enter_all(operated, changes, ensure_operator, within_s)
                for _, stage in changes:
                    check(operated, stage, gateways)
                load.wait(BETWEEN)
            if time.monotonic() > end or not all(scenario.is_repeatable for scenario in scenarios):
                break


def run(
    operated: OperatedMesh, scenario: Scenario, gateways: Gateways, *, least_s: float = 0.0
) -> None:
    """Go the whole way of one scenario, with the operator at work.

    Of several together each pair of caller and call would be asked too seldom to show a short gap.
    """
    begin(operated, scenario)
    run_under_load(operated, [scenario], gateways, least_s=least_s)


def check(operated: OperatedMesh, stage: Stage, gateways: Gateways) -> None:
    """See that a stage is what it says."""
    for text, verdict in stage.expected:
        outcome = operated.mesh.request(CHECKOUT, text)
        assert outcome.verdict is verdict, f"{text}: {outcome}"
    if stage.gateway:
        peer = operated.mesh.request(CHECKOUT, stage.expected[0][0]).peer
        assert peer in gateways[stage.gateway].addresses


def enter(mesh: Mesh, before: Stage | None, stage: Stage) -> None:
    """Apply what a stage is made of, and delete what the one before had besides."""
    mesh.apply(*stage.objects)
    mesh.delete(*list_gone(before, stage))


def list_gone(before: Stage | None, stage: Stage) -> list[Object]:
    """List what the stage before had besides. Pure."""
    names = {_identify(item) for item in stage.objects}
    there = before.objects if before is not None else ()
    return [item for item in there if _identify(item) not in names]


def _identify(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
