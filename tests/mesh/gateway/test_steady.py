"""Changes of the way out, under load: not one request is lost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import pytest

from mesh.gateway.mortal import SETTLES_S, MortalOperators
from mesh.gateway.move import (
    GATEWAY_MOVES,
    OTHER,
    OTHER_EGRESS,
    POLICY_MOVES,
    Move,
    State,
    build_first,
    build_rest,
    enter,
    is_ready,
)
from mesh.gateway.tenant import SHARED, build_egress_gateway
from mesh.traffic.stream import Load, Pace
from mesh.traffic.world import CHECKOUT, SETTINGS, World
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.operator import build_identity
from testbed.request import DIRECT, VIA_GATEWAY
from testbed.rig import ALLOW_ANY

pytestmark = pytest.mark.mesh

FINE = frozenset({DIRECT, VIA_GATEWAY})
SETTLE_S = 1.0
"""What the two cores of a small machine need until every proxy has a change."""
PER_SECOND = 120
BETWEEN = 120
"""Requests between two changes: a second of them."""
LEAST_S = 30.0
"""How long requests run at least, whatever changes meanwhile."""
LEAST_RATE = 50.0
"""Requests a second; a machine that does less proves little."""
ENTERED_S = 180.0
"""How long a change may take, with operators that end again and again."""
QUIET_S = 2 * max(SETTLES_S) + 1.0
"""An operator that has written nothing for so long is done."""

Gateways = Mapping[str, Gateway]
Tend = Callable[[], bool]
"""Looks after the operator; whether one is at work."""


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


def is_at_work() -> bool:
    """Say of an operator that is left alone that it is at work."""
    return True


def wait_entered(world: World, states: Sequence[State], tend: Tend = is_at_work) -> None:
    """Wait until the policies are Ready and nothing more is written, then for the proxies."""
    user = build_identity().user
    mark, since = world.audit.position(), time.monotonic()

    def look() -> bool:
        nonlocal mark, since
        now, position = time.monotonic(), world.audit.position()
        if not tend() or world.audit.records(since=mark, user=user, writes=True):
            mark, since = position, now
        return now - since > QUIET_S and all(is_ready(world, state) for state in states)

    wait_until(look, ENTERED_S, "the operator does not come to an end")
    world.mesh.settle()


def begin(world: World, *moves: Move) -> None:
    """Enter the first states."""
    states = [move.states[0] for move in moves]
    for state in states:
        enter(world.mesh, None, state)
    wait_entered(world, states)
    for move in moves:
        for workload, (text, verdict) in product(move.callers, move.states[0].expected):
            world.mesh.expect(workload, text, verdict)


@contextmanager
def load_on(mesh: Mesh, moves: Sequence[Move]) -> Iterator[Load]:
    """Let requests run while the block changes things; none may be lost."""
    calls: dict[str, list[str]] = {}
    for move in moves:
        for workload in move.callers:
            calls.setdefault(workload, []).extend(move.hosts.calls)
    end = time.monotonic() + LEAST_S
    with Load(mesh, calls, fine=FINE, pace=Pace(per_second=PER_SECOND)) as load:
        load.wait(BETWEEN)
        yield load
        load.wait(BETWEEN)
        time.sleep(max(0.0, end - time.monotonic()))
    assert load.lost == []
    assert load.rate > LEAST_RATE, f"only {load.rate:.0f} requests a second"


def go_on(world: World, moves: Sequence[Move], gateways: Gateways, tend: Tend = is_at_work) -> None:
    """Enter the other states under load, those of all moves together."""
    with load_on(world.mesh, moves) as load:
        for number in range(1, max(len(move.states) for move in moves)):
            present = [move for move in moves if number < len(move.states)]
            for move in present:
                enter(world.mesh, move.states[number - 1], move.states[number])
            wait_entered(world, [move.states[number] for move in present], tend)
            for move in present:
                check(world.mesh, move.states[number], gateways)
            load.wait(BETWEEN)


def go_on_with_deaths(world: World, moves: Sequence[Move], gateways: Gateways) -> None:
    """Go on with operators that end after a write or a few."""
    with world.without_operator():
        with MortalOperators(world.mesh.control_plane, SETTINGS) as operators:
            go_on(world, moves, gateways, operators.tend)
        assert operators.count > sum(len(move.states) for move in moves)
        world.start_operator(EGRESS_SETTLE=str(SETTLE_S))


def check(mesh: Mesh, state: State, gateways: Gateways) -> None:
    """See that a state is what it says."""
    for text, verdict in state.expected:
        mesh.expect(CHECKOUT, text, verdict)
    if state.gateway:
        peer = mesh.request(CHECKOUT, state.expected[0][0]).peer
        assert peer in gateways[state.gateway].addresses


@pytest.mark.parametrize("build", POLICY_MOVES.values(), ids=POLICY_MOVES)
def test_a_policy_changes(
    steady_world: World, gateways: Gateways, build: Callable[[Mesh], Move]
) -> None:
    move = build(steady_world.mesh)
    begin(steady_world, move)
    go_on(steady_world, [move], gateways)


@pytest.mark.parametrize("build", GATEWAY_MOVES.values(), ids=GATEWAY_MOVES)
def test_a_gateway_changes(
    steady_world: World,
    gateways: Gateways,
    build: Callable[[Mesh, Gateway], Move],
) -> None:
    move = build(steady_world.mesh, gateways[SHARED])
    begin(steady_world, move)
    go_on(steady_world, [move], gateways)


def test_the_first_policy_in_a_mesh_that_lets_unknown_hosts_through(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        move = build_first(mesh)
        begin(steady_world, move)
        go_on(steady_world, [move], gateways)


def test_pods_of_the_gateway_come_and_go(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    gateway = gateways[SHARED]
    move = build_rest(mesh)
    begin(steady_world, move)
    with load_on(mesh, [move]) as load:
        more = [gateway.add(), gateway.add()]
        mesh.settle()
        load.wait(BETWEEN)
        for member in more:
            gateway.remove(member)
            load.wait(BETWEEN)


@pytest.mark.timeout(600)
def test_operators_end_while_policies_change(steady_world: World, gateways: Gateways) -> None:
    moves = [build(steady_world.mesh) for build in POLICY_MOVES.values()]
    begin(steady_world, *moves)
    go_on_with_deaths(steady_world, moves, gateways)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("build", GATEWAY_MOVES.values(), ids=GATEWAY_MOVES)
def test_operators_end_while_a_gateway_changes(
    steady_world: World,
    gateways: Gateways,
    build: Callable[[Mesh, Gateway], Move],
) -> None:
    move = build(steady_world.mesh, gateways[SHARED])
    begin(steady_world, move)
    go_on_with_deaths(steady_world, [move], gateways)


@pytest.mark.timeout(600)
def test_operators_end_while_the_first_policy_comes(
    steady_world: World, mesh: Mesh, gateways: Gateways
) -> None:
    with mesh.outbound_mode(ALLOW_ANY):
        move = build_first(mesh)
        begin(steady_world, move)
        go_on_with_deaths(steady_world, [move], gateways)
