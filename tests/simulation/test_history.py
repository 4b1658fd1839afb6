"""After a random history nothing is left to do, and every status tells what is so.

An operator that starts anew knows nothing but what stands. If it changes an object or a status,
the one before had missed something. There is no resync here that would hide it.
"""

import random
from collections import Counter
from collections.abc import Iterator

import jsonpatch
import pytest

from testbed.seed import SEED

from .history import History
from .run import start_controller, stop, wait
from .server import Key, Object, Server, Write

pytestmark = pytest.mark.looptime

HISTORIES = 16
MANY = 300
BEGIN_S = 20.0
QUIET_S = 160.0
"""The longest wait for what is refused is 60 s, give or take a fifth."""
MOST_TRIES = 10
"""Of one write that is refused, in this time: the wait is doubled each time."""
LATENCIES_S = (0.005, 0.02, 0.1)
MOST_HOSTS = (1, 2, 500)
"""Of a namespace: one limit for each history."""


def find_late(server: Server, mark: int) -> Iterator[str]:
    """Name the writes since then that have changed something, and what is tried too often."""
    late = server.writes[mark:]
    for write in late:
        if write.has_changed:
            yield f"written although nothing happens: {write}"
    for (key, verb), tries in Counter((write.key, write.verb) for write in late).items():
        if tries > MOST_TRIES:
            yield f"tried {tries} times: {verb} {key[1:]}"


def find_missed(
    writes: list[Write], before: dict[Key, Object], after: dict[Key, Object]
) -> Iterator[str]:
    """Name what an operator that starts anew has changed; a status may be another in between."""
    for write in writes:
        if write.has_changed and not write.subresource:
            yield f"missed before the restart: {write}"
    for key in sorted({write.key for write in writes if write.subresource}):
        old, new = before[key].get("status"), after[key].get("status")
        if old != new:
            yield f"wrong status {key[1:]}: {jsonpatch.make_patch(old, new)} to {old}"


async def find_problems(server: Server, history: History, most_hosts: int) -> list[str]:
    history.begin()
    first = start_controller(server, max_hosts_per_namespace=most_hosts)
    await wait(first, BEGIN_S)
    await history.take_steps()
    history.end()
    await wait(first, QUIET_S)
    mark = len(server.writes)
    await wait(first, QUIET_S)
    late = [*find_late(server, mark)]
    await stop(first, server)
    before, mark = dict(server.objects), len(server.writes)
    second = start_controller(server, max_hosts_per_namespace=most_hosts)
    await wait(second, QUIET_S)
    await stop(second, server)
    return [*late, *find_missed(server.writes[mark:], before, server.objects)]


async def check(number: int, first: str = SEED) -> None:
    seed = f"{first}/{number}"
    latency = random.Random(seed).choice(LATENCIES_S)  # noqa: S311 - chooses tests
    server = Server(random.Random(f"{seed}/server"), latency)  # noqa: S311
    history = History(server, random.Random(f"{seed}/history"))  # noqa: S311
    most_hosts = random.Random(f"{seed}/limit").choice(MOST_HOSTS)  # noqa: S311
    problems = await find_problems(server, history, most_hosts)
    assert not problems, "\n".join(
        [f"EGRESS_SEED={first}, history {number}, {most_hosts=}", *history.log, *problems]
    )


@pytest.mark.parametrize(
    ("first", "number"),
    [
        ("31", 90),
        ("1795949114", 174),
        ("1795990512", 285),
        ("1796016551", 127),
        ("1796126870", 241),
        ("1796144287", 271),
    ],
)
async def test_a_history_that_has_failed_once(first: str, number: int) -> None:
    """31/90: a permission came and went, and the status that counts it was not looked at.

    1795949114/174: of two permissions that were stuck, another one was named after a restart.

    1795990512/285: a policy on hold was refused for a host of its own only after a restart, because
    another policy had come to share it.

    1796016551/127: a label was taken off an object while its set waited for what is refused, and
    the status went on to count it.

    1796126870/241: a wait of a rounding error ended when it began, again and again.

    1796144287/271: after a restart a policy was Ready until it was known again that a permission,
    which the objects of its namespace at the gateway wait for, is refused.
    """
    await check(number, first)


@pytest.mark.parametrize("number", range(HISTORIES))
async def test_nothing_is_left_to_do_after_a_history(number: int) -> None:
    await check(number)


@pytest.mark.long("campaign")
@pytest.mark.parametrize("number", range(HISTORIES, MANY))
async def test_nothing_is_left_to_do_after_many_histories(number: int) -> None:
    await check(number)
