"""What the demo prints: content on standard output, progress and failures on standard error."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

from demo.output import write
from demo.text import WIDEST, wrap

LABEL_WIDTH = 10
WIDE = 96
"""Columns of a terminal from which on policies and objects stand side by side."""
INDENT = "   "
BOLD, RED, GREEN, DIM, PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[2m", "\033[0m"
YELLOW = "\033[33m"
"""For a refusal that is meant; red is for what goes wrong."""
_COLOURS = (
    (re.compile(r"\b(?:blocked|denied|Ready=False|Accepted=False)\b"), YELLOW),
    (re.compile(r"\b(?:direct|via gateway|Ready=True|Programmed=True)\b"), GREEN),
    (re.compile(r"\beverything came out as expected\b"), GREEN),
)


def find_width() -> int:
    """Return how wide lines may be: the terminal's width, at most WIDEST; WIDEST in a log."""
    return min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST)


def is_wide() -> bool:
    """Whether standard output is a wide terminal. In a log, columns are hard to read."""
    return sys.stdout.isatty() and find_width() >= WIDE


def has_colour(stream: TextIO) -> bool:
    """Whether the stream is a terminal that shows colours, and nobody objects."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@dataclass
class Show:
    """Prints the demo."""

    verbose: bool = False
    """Whether to show every object with its name."""
    width: int = field(default_factory=find_width)
    coloured: bool = field(default_factory=lambda: has_colour(sys.stdout))
    beside: bool = field(default_factory=is_wide)
    """Whether policies and their objects may stand side by side."""
    _has_output: bool = field(default=False, init=False)

    def progress(self, text: str) -> None:
        """Tell what is under way."""
        write(sys.stderr, f"demo: {text}")

    def failure(self, text: str) -> None:
        """Tell what went wrong."""
        line = f"demo: {text}"
        write(sys.stderr, f"{RED}{line}{PLAIN}" if has_colour(sys.stderr) else line)

    def title(self, text: str) -> None:
        """Begin a part."""
        above = [""] if self._has_output else []
        self._print([*above, self._style(BOLD, f"== {text} ".ljust(self.width, "=")), ""])

    def heading(self, text: str) -> None:
        """Begin a scene."""
        self._print(["", self._style(BOLD, f"-- {text}")])

    def text(self, text: str) -> None:
        """Print prose, wrapped."""
        self._print(wrap(text, self.width, INDENT))

    def block(self, lines: Iterable[str]) -> None:
        """Print lines as they are."""
        self._print(lines)

    def code(self, text: str) -> None:
        """Print YAML or what a program has printed, indented."""
        self._print(textwrap.indent(text.strip("\n"), INDENT * 2).splitlines())

    def line(self, label: str, text: str) -> None:
        """Print one fact behind its label."""
        first = f"{INDENT}{label:<{LABEL_WIDTH}} "
        lines = wrap(text, self.width, first, " " * len(first))
        if self.coloured:
            for pattern, colour in _COLOURS:
                lines = [pattern.sub(rf"{colour}\g<0>{PLAIN}", line) for line in lines]
            lines[0] = self._style(DIM, first) + lines[0].removeprefix(first)
        self._print(lines)

    def commands(self, text: str, *lines: str, note: str = "") -> None:
        """Print lines to paste, whole, below what they are for and a note."""
        heading = f"{INDENT}{self._style(BOLD, text)}"
        notes = wrap(note, self.width, INDENT) if note else []
        self._print(["", heading, *notes, *(f"{INDENT * 2}{line}" for line in lines)])

    def _style(self, style: str, text: str) -> str:
        return f"{style}{text}{PLAIN}" if self.coloured else text

    def _print(self, lines: Iterable[str]) -> None:
        write(sys.stdout, "\n".join(lines))
        self._has_output = True
