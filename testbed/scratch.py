"""Directories that are gone with the block that uses them, or with the process."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed import leash
from testbed.process import hold_signals


@contextmanager
def open_scratch(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a directory in `parent`, or where temporary files are, and remove it at the end."""
    with hold_signals(), leash.starting:
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        entry = leash.remove_on_death(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        leash.release(entry)
