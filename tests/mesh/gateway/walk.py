"""Going the way of moves under load: not one request may be lost."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

from mesh.gateway.mortal import MOST_SETTLE_S
from mesh.gateway.move import Move, State
from mesh.traffic.stream import Load, Pace
from mesh.traffic.world import CHECKOUT, POLICY, TIMEOUT_S, World, join_name
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.operator import build_identity
from testbed.request import DIRECT, VIA_GATEWAY

FINE = frozenset({DIRECT, VIA_GATEWAY})
SETTLE_S = 1.0
"""What the two cores of a small machine need until every proxy has a change."""
PER_SECOND = 120
BETWEEN = 120
"""Requests between two changes: a second of them."""
LEAST_S = 30.0
"""How long requests run at least, whatever changes meanwhile."""
LEAST_RATE = 100.0
"""Requests a second; less proves too little."""
HANDS = 12
"""How many requests may be under way at a time, so that a slow answer holds up no others."""
QUIET_S = 2 * MOST_SETTLE_S
"""An operator that has written nothing for so long is done."""
ENTERED_S = TIMEOUT_S + QUIET_S
"""How long a change may take."""

Gateways = Mapping[str, Gateway]
"""By the names of their EgressGateways."""
Tend = Callable[[], bool]
"""Looks after the operator; whether one is at work."""


def is_at_work() -> bool:
    """Say of an operator that is left alone that it is at work."""
    return True


def wait_entered(
    world: World,
    states: Sequence[State],
    tend: Tend = is_at_work,
    within_s: float = ENTERED_S,
) -> None:
    """Wait until the policies are Ready and nothing more is written, then for the proxies."""
    user = build_identity().user
    mark, since = world.audit.position(), time.monotonic()

    def look() -> bool:
        nonlocal mark, since
        now, position = time.monotonic(), world.audit.position()
        if not tend() or world.audit.records(since=mark, user=user, writes=True):
            mark, since = position, now
        return now - since > QUIET_S and all(is_ready(world, state) for state in states)

    wait_until(look, within_s, "the operator does not come to an end")
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
    with Load(mesh, calls, fine=FINE, pace=Pace(PER_SECOND, HANDS)) as load:
        load.wait(BETWEEN)
        yield load
        mesh.settle()
        load.wait(BETWEEN)
        time.sleep(max(0.0, end - time.monotonic()))
    assert not load.lost, "\n".join([f"{len(load.lost)} of {load.count} lost", *load.lost[:20]])
    assert load.rate > LEAST_RATE, f"only {load.rate:.0f} requests a second"


def go_on(
    world: World,
    moves: Sequence[Move],
    gateways: Gateways,
    tend: Tend = is_at_work,
    within_s: float = ENTERED_S,
) -> None:
    """Enter the other states under load, those of all moves together."""
    with load_on(world.mesh, moves) as load:
        for number in range(1, max(len(move.states) for move in moves)):
            steps = [move.states[number - 1 : number + 1] for move in moves]
            steps = [step for step in steps if len(step) > 1]
            for before, state in steps:
                enter(world.mesh, before, state)
            wait_entered(world, [state for _, state in steps], tend, within_s)
            for before, state in steps:
                check(world, before, state, gateways)
            load.wait(BETWEEN)


def walk(world: World, moves: Sequence[Move], gateways: Gateways) -> None:
    """Go the whole way of some moves, with the operator at work."""
    begin(world, *moves)
    go_on(world, moves, gateways)


def check(world: World, before: State, state: State, gateways: Gateways) -> None:
    """See that a state is what it says, and that nothing is left of a policy that went."""
    for text, verdict in state.expected:
        outcome = world.mesh.request(CHECKOUT, text)
        assert outcome.verdict is verdict, f"{text}: {outcome}"
    if state.gateway:
        peer = world.mesh.request(CHECKOUT, state.expected[0][0]).peer
        assert peer in gateways[state.gateway].addresses
    for item in list_gone(before, state):
        world.wait_childless(join_name(item))


def enter(mesh: Mesh, before: State | None, state: State) -> None:
    """Apply what a state is made of, and delete what the one before had besides."""
    mesh.apply(*state.objects)
    if before is not None:
        mesh.delete(*list_gone(before, state))


def list_gone(before: State, state: State) -> list[Object]:
    """List what the state before had besides. Pure."""
    names = {_identify(item) for item in state.objects}
    return [item for item in before.objects if _identify(item) not in names]


def is_ready(world: World, state: State) -> bool:
    """Whether every policy of a state is Ready as it is now."""
    return all(
        world.condition(join_name(item), "Ready").get("status") == "True"
        for item in state.objects
        if item["kind"] == POLICY[1]
    )


def _identify(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
