"""How far a build is: the words, the remaining time, and one line that shows both."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO

INTERVAL_S = 30.0
"""Between two lines where a line cannot be rewritten."""
ESTIMATE_S = 60.0
"""After so much work the measured pace counts as much as the expected one."""
ERASE_TO_END = "\x1b[K"
DEFAULT_COLUMNS = 80


@dataclass(frozen=True)
class Progress:
    """How far the build of one program set is.

    `compiled` and `expected` count Go packages; `expected` is 0 where there is only a download.
    `remaining_s` is for all that is still to be built, later sets included; None when unknown.
    """

    name: str
    compiled: int
    expected: int
    elapsed_s: float
    remaining_s: float | None

    def __str__(self) -> str:
        """`kube 1240 of about 2150 packages, about 4 min left`."""
        left = (
            f"{format_time(self.elapsed_s)} so far"
            if self.remaining_s is None
            else f"{format_minutes(self.remaining_s)} left"
        )
        if not self.expected:
            return f"{self.name}: downloading, {left}"
        if not self.compiled:
            return f"{self.name}: downloading modules, {left}"
        expected = max(self.expected, self.compiled)
        return f"{self.name} {self.compiled} of about {expected} packages, {left}"


class Reporter(Protocol):
    """Where a build reports. What a method raises ends the build, its processes included."""

    def line(self, text: str) -> None:
        """Take a line that stays."""

    def update(self, progress: Progress) -> None:
        """Take the progress of the moment, several times per second."""


class ProgressLine:
    """Prints durable lines and, below them, one line of progress.

    On a terminal that line is rewritten in place; elsewhere a new one is printed every half minute.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._shown = ""
        self._printed_at = clock()

    def update(self, progress: Progress) -> None:
        """Show the progress of the moment."""
        text = str(progress)
        if self._is_terminal:
            # The last column stays free: some terminals wrap as soon as it is filled.
            text = text[: self._read_columns() - 1]
            if text != self._shown:
                self._write(f"\r{text}{ERASE_TO_END}")
                self._shown = text
        elif self._clock() - self._printed_at >= INTERVAL_S:
            self.line(text)

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        self._write(f"{text}\n")
        self._printed_at = self._clock()

    def close(self) -> None:
        """Clear the line of progress; the next `update` shows one again."""
        if self._shown:
            self._write(f"\r{ERASE_TO_END}")
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _read_columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or DEFAULT_COLUMNS
        except OSError:
            return DEFAULT_COLUMNS


def estimate_remaining(elapsed_s: float, done_s: float, left_s: float) -> float:
    """Remaining seconds, from the time that the work done has taken. Pure.

    `done_s` and `left_s` are what the work done and the work left take on the machine of the
    expectation. Before much is done, the expectation counts more than what was measured.
    """
    pace = (elapsed_s + ESTIMATE_S) / (done_s + ESTIMATE_S)
    return pace * left_s


def format_minutes(seconds: float) -> str:
    """`about 4 min`, `less than a minute`. Pure."""
    return "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"


def format_time(seconds: float) -> str:
    """`8 s`, `2 min 30 s`. Pure."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
