"""Network namespaces with names, as `ip netns` has them: a file of NETNS_DIR keeps each alive.

Standard library only: the program that sweeps loads it too.
"""

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from testbed import linux

T = TypeVar("T")

NETNS_DIR = Path("/run/netns")
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Netns:
    """A network namespace with one address on the bridge."""

    name: str
    address: str
    files: Mapping[str, Path] = field(default_factory=dict)
    """What commands inside find in place of the system's files and directories, by their paths."""

    def command(self, *argv: str | Path, user: int | None = None) -> list[str]:
        """Build the words of a command inside, as `user` with the group of the same id."""
        return [
            *(sys.executable, "-I", "-S", "-B", str(LAUNCHER), str(NETNS_DIR / self.name)),
            "-" if user is None else str(user),
            *(f"{source}:{target}" for target, source in self.files.items()),
            *("--", *(str(word) for word in argv)),
        ]


def create(name: str) -> None:
    """Make a namespace. Raises OSError, FileExistsError when there is one of this name."""
    NETNS_DIR.mkdir(parents=True, exist_ok=True)
    path = NETNS_DIR / name
    path.touch(mode=0o444, exist_ok=False)

    def bind() -> None:
        linux.unshare(linux.CLONE_NEWNET)
        linux.mount("/proc/thread-self/ns/net", str(path), flags=linux.MS_BIND)

    try:
        run_in_thread(bind)
    except OSError:
        path.unlink()
        raise


def delete(name: str) -> None:
    """Take the name away, and with it the namespace when nothing runs inside; it may be gone."""
    path = NETNS_DIR / name
    with suppress(OSError):
        linux.umount(str(path))
    # With the file the mounts on it go away that running commands have for themselves.
    path.unlink(missing_ok=True)


def find_names(prefix: str) -> list[str]:
    """List the namespaces whose names begin with `prefix`."""
    return sorted(path.name for path in NETNS_DIR.glob(f"{prefix}*"))


def is_own(name: str) -> bool:
    """Whether the namespace is the one in which this process runs."""
    try:
        return os.path.samestat((NETNS_DIR / name).stat(), Path("/proc/self/ns/net").stat())
    except OSError:
        return False


def find_processes(name: str) -> list[int]:
    """List the ids of the processes inside; none when there is no such namespace."""
    found = []
    with suppress(OSError):
        wanted = (NETNS_DIR / name).stat()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    if os.path.samestat((entry / "ns/net").stat(), wanted):
                        found.append(int(entry.name))
    return found


def run_inside(name: str, work: Callable[[], T]) -> T:
    """Run a function in a namespace, in a thread: sockets belong to where they are opened."""

    def enter() -> T:
        linux.enter_netns(str(NETNS_DIR / name))
        return work()

    return run_in_thread(enter)


def run_in_thread(work: Callable[[], T]) -> T:
    """Run a function in a thread that ends with it: what it does to itself ends as well."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
