"""The load that tests put on a mesh, on its own."""

import threading
import time
from types import SimpleNamespace
from typing import Any

from mesh.traffic.stream import Load, Pace
from testbed.deadline import wait_until
from testbed.request import DIRECT, Outcome

PACE = Pace(per_second=100, threads=4)
STALL_S = 1.0
TIMEOUT_S = 20.0


def test_what_a_slow_moment_has_held_up_is_made_up_for() -> None:
    """Else a busy machine would turn a load of so many requests a second into less."""
    free = threading.Event()

    def request(*_: object) -> Outcome:
        free.wait()
        return Outcome(DIRECT)

    mesh: Any = SimpleNamespace(request=request)
    with Load(mesh, {"shop/checkout": ["TCP db.example:5432"]}, pace=PACE) as load:
        start = time.monotonic()
        time.sleep(STALL_S)
        held = load.count
        free.set()

        def look() -> bool:
            due = (time.monotonic() - start) * PACE.per_second
            return load.count > due - 2 * PACE.threads

        wait_until(look, TIMEOUT_S, "the load stays behind")
    assert held == 0
    assert not load.lost
