"""What a mesh needs of this machine's files and directories."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESOLVER = Path("/etc/resolv.conf")
ROOTS_DIR = Path("/etc/ssl/certs")
"""Where programs look for `ca-certificates.crt`, the roots that the system trusts."""
RUN = Path("/run")
FALLBACK = Path("/tmp")  # noqa: S108 - only the parent of directories with names of their own
SHORT = 16
"""Bytes in the path of the parent: a socket's path has 107 at most, and 91 of them are ours."""
UMASK = 0o022


def choose_parent() -> Path:
    """Choose the parent of a mesh's directory: where temporary files are, or FALLBACK.

    The path must be short because of the sockets, and open to the user of the proxies.
    """
    parent = Path(tempfile.gettempdir())
    steps = (parent, *parent.parents)
    is_open = all(step.stat().st_mode & stat.S_IXOTH for step in steps)
    return parent if is_open and len(os.fsencode(parent)) <= SHORT else FALLBACK


@contextmanager
def open_to_all() -> Iterator[None]:
    """Let the whole process make files and directories that other users may read and enter."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def find_missing_files() -> list[str]:
    """List what a mesh lacks, one line each, with the fix; [] when nothing is missing."""
    parent = choose_parent()
    lines = []
    if not RESOLVER.is_file():
        lines.append(f"the mesh needs the file {RESOLVER}, to mount its own over it: make one")
    if not ROOTS_DIR.is_dir():
        lines.append(
            f"the mesh needs the directory {ROOTS_DIR}, to mount its own over it: make it, or "
            "install ca-certificates"
        )
    if not os.access(RUN, os.W_OK):
        lines.append(f"the mesh cannot write to {RUN}: mount it read-write, or a tmpfs over it")
    if os.statvfs(parent).f_flag & os.ST_NOEXEC:
        lines.append(
            f"the mesh cannot run programs from {parent}, which is mounted noexec: set TMPDIR to a "
            f"directory whose path has at most {SHORT} characters and that every user may enter"
        )
    return lines
