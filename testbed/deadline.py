"""Polling with a deadline: the only way the testbed waits."""

import itertools
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL_S = 0.02
"""First pause between two looks; it grows to ten times as much."""
_IDS = itertools.count()
_WAITS: dict[int, str] = {}
"""What each `wait_until` waits for that has not come back."""


class DeadlineError(AssertionError):
    """Something did not come true in time."""


def wait_until(check: Callable[[], T | None], timeout_s: float, what: str) -> T:
    """Call `check` until its result is truthy and return that result.

    `what` finishes the sentence "timed out after N s: …". Exceptions of `check` pass through,
    except AssertionError: an assertion that does not hold yet is asked again, and shown at the end.
    """
    ident = next(_IDS)
    _WAITS[ident] = what
    try:
        return _poll(check, timeout_s, what)
    finally:
        del _WAITS[ident]


def list_waits() -> list[str]:
    """Return what is waited for right now in this process, each once."""
    return list(dict.fromkeys(_WAITS.copy().values()))


def _poll(check: Callable[[], T | None], timeout_s: float, what: str) -> T:
    deadline = time.monotonic() + timeout_s
    pause = INTERVAL_S
    while True:
        reason = ""
        try:
            result = check()
        except DeadlineError:
            raise
        except AssertionError as error:
            reason = f"; last: {error}"
        else:
            if result:
                return result
        if time.monotonic() >= deadline:
            raise DeadlineError(f"timed out after {timeout_s:g} s: {what}{reason}")
        time.sleep(pause)
        pause = min(pause * 1.3, 10 * INTERVAL_S)
