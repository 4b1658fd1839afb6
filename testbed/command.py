"""Waiting for a child that ends by itself, in a way that can be interrupted."""

import time
from collections.abc import Callable
from contextlib import suppress

from testbed.process import Process

LOOK_S = 0.2


def watch(child: Process, timeout_s: float, look: Callable[[], None]) -> int:
    """Wait for the end of a child and return its exit code; call `look` several times per second.

    What `look` raises passes through, as does KeyboardInterrupt; TimeoutError when the child still
    runs after `timeout_s`. The child and all that it started are killed then.
    """
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            with suppress(TimeoutError):
                return child.wait(LOOK_S)
            look()
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{child.name} still runs after {timeout_s:g} s")
    finally:
        child.kill()
