"""Laying text out: wrapped lines, and two columns where there is room. Pure."""

import textwrap
from collections.abc import Sequence

WIDEST = 100
"""Lines are never longer, however wide the terminal is."""
GAP = 3
NO_BREAK = "\N{NO-BREAK SPACE}"
"""A blank at which `wrap` does not part a line; printed as an ordinary one."""
NARROWEST = 40
"""With fewer columns for the right side, it goes under the left one."""


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Wrap `text` into lines of at most `width`, behind `first` and, from line two on, `rest`.

    A word that is longer than a line stays whole, so that it can be copied.
    """
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(NO_BREAK, " ") for line in lines]


def find_right_width(left: Sequence[str], width: int) -> int:
    """Return the columns that remain beside `left`, or 0 when they are too few to read."""
    remaining = width - max(map(len, left)) - GAP
    return remaining if remaining >= NARROWEST else 0


def join_columns(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Set `right` beside `left`."""
    inset = max(map(len, left)) + GAP
    rows = max(len(left), len(right))
    pairs = zip(_fill(left, rows), _fill(right, rows), strict=True)
    return [f"{one:<{inset}}{two}".rstrip() for one, two in pairs]


def _fill(lines: Sequence[str], rows: int) -> list[str]:
    return [*lines, *[""] * (rows - len(lines))]
