"""Going the way of moves under load: not one request may be lost."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, product

from mesh.gateway.move import Move, State
from mesh.traffic.stream import Load, Pace
from mesh.traffic.world import CHECKOUT, POLICY, TIMEOUT_S, World, join_name
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.operator import Idleness, Operator
from testbed.request import DIRECT, VIA_GATEWAY

FINE = frozenset({DIRECT, VIA_GATEWAY})
SETTLE_S = 1.0
"""What the two cores of a small machine need until every proxy has a change."""
PER_SECOND = 120
BETWEEN = 120
"""Requests between two changes: a second of them."""
LEAST_RATE = 100.0
"""Requests a second; less proves too little."""
HANDS = 12
"""How many requests may be under way at a time, so that a slow answer holds up no others."""
ENTERED_S = 2 * TIMEOUT_S
"""How long a change may take."""

Gateways = Mapping[str, Gateway]
"""By the names of their EgressGateways."""
Tend = Callable[[], Operator | None]
"""Looks after the operator; returns it when it is at work."""
Change = tuple[State | None, State]
"""The state before, and the one that is entered."""


def wait_done(
    world: World,
    written: Iterable[Object],
    deleted: Iterable[Object] = (),
    *,
    tend: Tend | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Wait until the operator is done with objects of ours, then for the proxies.

    Policies are Ready and gateways looked at, deleted policies own nothing, and after that nothing
    is left to do.
    """
    written, deleted, idleness = list(written), list(deleted), Idleness()

    def look() -> bool:
        operator = tend() if tend else world.operator
        if operator is None or not is_seen(world, written, deleted):
            idleness.reset()
            return False
        try:
            return idleness.look(operator)
        except OSError:
            # It has just ended.
            return False

    wait_until(look, within_s, "the operator does not come to an end")
    world.mesh.settle()


def is_seen(world: World, written: Iterable[Object], deleted: Iterable[Object]) -> bool:
    """Whether the operator has seen objects of ours as they are now, and that others are gone."""
    policies = (join_name(item) for item in written if item["kind"] == POLICY[1])
    gateways = (item["metadata"]["name"] for item in written if item["kind"] != POLICY[1])
    return (
        all(world.condition(name, "Ready").get("status") == "True" for name in policies)
        and all(world.is_gateway_seen(name) for name in gateways)
        and not any(world.children(join_name(item)) for item in deleted)
    )


def begin(world: World, *moves: Move) -> None:
    """Enter the first states."""
    go(world, [(None, move.states[0]) for move in moves])
    for move in moves:
        for workload, (text, verdict) in product(move.callers, move.states[0].expected):
            world.mesh.expect(workload, text, verdict)


def go(
    world: World,
    changes: Sequence[Change],
    tend: Tend | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Enter states, all at once, and wait until that is done."""
    for before, state in changes:
        enter(world.mesh, before, state)
    wait_done(
        world,
        [item for _, state in changes for item in state.objects],
        [item for before, state in changes for item in list_gone(before, state)],
        tend=tend,
        within_s=within_s,
    )


@contextmanager
def load_on(mesh: Mesh, moves: Sequence[Move], least_s: float = 0.0) -> Iterator[Load]:
    """Let requests run, so long at least, while the block changes things; none may be lost."""
    calls: dict[str, list[str]] = {}
    for move in moves:
        for workload in move.callers:
            calls.setdefault(workload, []).extend(move.hosts.calls)
    end = time.monotonic() + least_s
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
    *,
    least_s: float = 0.0,
    tend: Tend | None = None,
    within_s: float = ENTERED_S,
) -> None:
    """Enter the other states under load, those of all moves together.

    Moves that end where they began are made again until the load has run for `least_s`.
    """
    paths = [list(pairwise(move.states)) for move in moves]
    end = time.monotonic() + least_s
    with load_on(world.mesh, moves, least_s) as load:
        while True:
            for number in range(max(map(len, paths))):
                changes = [path[number] for path in paths if number < len(path)]
                go(world, changes, tend, within_s)
                for _, state in changes:
                    check(world, state, gateways)
                load.wait(BETWEEN)
            if time.monotonic() > end or not all(move.is_round for move in moves):
                break


def walk(world: World, moves: Sequence[Move], gateways: Gateways, *, least_s: float = 0.0) -> None:
    """Go the whole way of some moves, with the operator at work."""
    begin(world, *moves)
    go_on(world, moves, gateways, least_s=least_s)


def check(world: World, state: State, gateways: Gateways) -> None:
    """See that a state is what it says."""
    for text, verdict in state.expected:
        outcome = world.mesh.request(CHECKOUT, text)
        assert outcome.verdict is verdict, f"{text}: {outcome}"
    if state.gateway:
        peer = world.mesh.request(CHECKOUT, state.expected[0][0]).peer
        assert peer in gateways[state.gateway].addresses


def enter(mesh: Mesh, before: State | None, state: State) -> None:
    """Apply what a state is made of, and delete what the one before had besides."""
    mesh.apply(*state.objects)
    mesh.delete(*list_gone(before, state))


def list_gone(before: State | None, state: State) -> list[Object]:
    """List what the state before had besides. Pure."""
    names = {_identify(item) for item in state.objects}
    there = before.objects if before is not None else ()
    return [item for item in there if _identify(item) not in names]


def _identify(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
