"""What a test expects of a request, and waiting until it holds. Pure, but for what waits."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from testbed.caller import Order
from testbed.deadline import wait_until
from testbed.request import REACHED, Outcome, Verdict

PAUSE_S = 0.05
HISTORY = 6
"""How many different outcomes a failure shows."""
SPREAD_S = 15.0
AFTERWARDS = 10
REACHED_STATUS = 200


@dataclass(frozen=True)
class Expectation:
    """What must come of a request. None, or nothing, means: as it may be."""

    verdict: Verdict
    status: int | None = None
    server: str = ""

    def find_mismatch(self, outcome: Outcome) -> str:
        """Say what is not as expected, or nothing. Pure."""
        if outcome.verdict is not self.verdict:
            return f"expected {self.verdict.name}"
        if self.status is not None and outcome.status != self.status:
            return f"expected status {self.status}"
        if self.server and outcome.server != self.server:
            return f"expected an answer of {self.server}"
        return ""


def build_expectation(
    order: Order, verdict: Verdict, status: int | None, server: str | None
) -> Expectation:
    """Fill in what goes without saying: whoever answers is the host, and says 200 on HTTP. Pure."""
    reached = verdict in REACHED
    if status is None and reached and order.scheme in {"http", "https"}:
        status = REACHED_STATUS
    if server is None:
        server = order.host if reached else ""
    return Expectation(verdict, status, server)


def wait_for(
    expected: Expectation, ask: Callable[[], Outcome], *, within_s: float, times: int
) -> Outcome:
    """Ask until `times` outcomes in a row are as expected and return the last.

    Raises AssertionError with the outcomes seen when that is not so after `within_s`.
    """
    deadline = time.monotonic() + within_s
    seen: list[str] = []
    in_a_row = 0
    while True:
        outcome = ask()
        mismatch = expected.find_mismatch(outcome)
        in_a_row = 0 if mismatch else in_a_row + 1
        if in_a_row >= times:
            return outcome
        line = str(outcome)
        if not seen or seen[-1] != line:
            seen.append(line)
        if mismatch and time.monotonic() >= deadline:
            listed = "\n  ".join(seen[-HISTORY:])
            raise AssertionError(f"{mismatch}; seen in {within_s:g} s:\n  {listed}")
        time.sleep(PAUSE_S)


def wait_for_each(expected: set[str], ask: Callable[[], str]) -> None:
    """Ask until each of these, and nobody else, has answered; then ten times more.

    A proxy chooses at random: any number of requests may go to the same one. `ask` returns nothing
    when nobody answered, which counts only afterwards. Raises AssertionError.
    """
    seen: set[str] = set()

    def look() -> bool:
        seen.update({ask()} - {""})
        return seen == expected

    wait_until(look, SPREAD_S, f"not all of {sorted(expected)}, or others too, answered")
    for _ in range(AFTERWARDS):
        assert ask() in expected
