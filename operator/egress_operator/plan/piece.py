"""Work in pieces: a generator that yields between two pieces, and returns what comes out."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Pieces = Generator[None, None, T]


def finish(pieces: Pieces[T]) -> T:
    """Do all pieces that are left, and return what comes out."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            value: T = end.value
            return value
