"""Users, tenants and the platform write at random, while the operator meets faults and restarts.

After each burst the cluster is compared exactly with the plan of what was written, at the end also
with `egressctl render`, and a new operator on that state must find nothing to write. The seed is
`EGRESS_SEED`, a fresh one for each `make test`.
"""

import asyncio
from collections.abc import Callable

import pytest

from testbed.controlplane import ControlPlane, ControlPlaneOption
from testbed.crd import load_all_crds
from testbed.faultproxy import FaultProxy
from testbed.seed import build_rng

from .etcd import Etcd
from .interface import FAULTS, Life, Run
from .world import World

OPERATIONS = 24
"""In a burst; half of them in the gate."""
ROUNDS = 2 * len(Life)


def play(run: Run, rounds: int) -> None:
    """Go through some bursts and look at what comes of each; then let nothing be on hold."""
    is_long = run.world.patient
    lives = [*Life] if is_long else [Life.RUNS, run.rng.choice([Life.STOPPED, Life.KILLED])]
    with run:
        run.world.begin()
        run.start()
        run.wait_agreed()
        for number in range(rounds):
            life = lives[number % len(lives)]
            fault = run.rng.choice([None, *FAULTS]) if number % 2 == 0 else None
            run.live(life, OPERATIONS if is_long else OPERATIONS // 2, fault)
            run.wait_agreed()
            if number % 4 == 3:
                run.check_restart()
        run.check_end()
        run.check_restart()
        run.end()


@pytest.mark.timeout(900)
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "rounds", [2, pytest.param(ROUNDS, marks=pytest.mark.long("interface"))], ids=["short", "long"]
)
async def test_what_stands_is_what_was_written(
    fresh_control_plane: Callable[[ControlPlaneOption], ControlPlane], rounds: int
) -> None:
    option = ControlPlaneOption(audit=True, definitions=load_all_crds())
    plane = await asyncio.to_thread(fresh_control_plane, option)
    loop = asyncio.get_running_loop()
    async with FaultProxy(plane.url, plane.ca_file) as proxy:

        def cut() -> None:
            loop.call_soon_threadsafe(proxy.cut)

        rng = build_rng("world")
        world = World(plane.admin, Etcd(plane.etcd_url), rng, patient=rounds == ROUNDS)
        run = Run(plane, proxy, cut, world, build_rng("lives"))
        await asyncio.to_thread(play, run, rounds)
    print(run.summarise())  # noqa: T201 - shown with -s, and when the test fails
