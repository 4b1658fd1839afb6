"""Writing where perhaps nobody reads any more, as in `make demo | head`."""

import os
import sys
from typing import TextIO


class OutputClosedError(Exception):
    """Nobody reads the output any more."""


def write(stream: TextIO, text: str) -> None:
    """Write whole lines at once. Raises OutputClosedError."""
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError as error:
        raise OutputClosedError from error


def close_output() -> None:
    """Drop what is not written yet, and all that comes: Python flushes the streams at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
