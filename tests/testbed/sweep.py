"""One mesh at a time on a machine, and no remains of an earlier one.

All network namespaces and links of a mesh carry one prefix, so what a killed run left behind is
found by name; the processes inside are found by their network namespace, never by program name.

This file is also a program, run by the leash when the test process was killed, so it needs the
standard library only.
"""

import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Run by its path and isolated, it finds only the standard library by itself.
sys.path.append(str(Path(__file__).parents[1]))

from testbed import link, netns

PREFIX = "egt-"
"""Beginning of the names of our network namespaces and of our one link in the host's."""
HOST_LINK = f"{PREFIX}host"
STATE_FILE = Path("/run/egress-operator-testbed.json")
RESOLVER_FILE = Path("/run/egress-operator-testbed.resolv.conf")
"""What commands inside find as /etc/resolv.conf."""
LOCK_ADDRESS = "\0egress-operator-testbed-mesh"
"""An abstract socket: freed by the kernel with its process, and no file is left."""
WAIT_S = 10.0
PAUSE_S = 0.02


class BusyError(RuntimeError):
    """Another mesh is up on this machine."""


class Lock:
    """The right to have the mesh of this machine; held until `release` or the process's end."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def acquire(self, timeout_s: float = WAIT_S) -> None:
        """Take it, waiting for a mesh that is just ending. Raises BusyError with the holder."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._socket.bind(LOCK_ADDRESS)
            except OSError as error:
                if time.monotonic() >= deadline:
                    self.release()
                    raise BusyError(
                        f"another mesh is up on this machine, held by process {find_holder()}: "
                        "wait for it or end it"
                    ) from error
                time.sleep(PAUSE_S)
            else:
                self._socket.listen()
                return

    def release(self) -> None:
        """Give it back."""
        self._socket.close()


def find_holder() -> int | None:
    """Id of the process that holds the lock; None when it is free."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(LOCK_ADDRESS)
        except OSError:
            return None
        size = struct.calcsize("3i")
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", credentials)[0])


def sweep() -> list[str]:
    """Kill and remove everything of ours in the network; needs the lock. Returns what it found."""
    kill_recorded()
    found = find_remains()
    for name in found:
        if name != HOST_LINK:
            _remove_namespace(name)
    # A namespace takes its end of the link with it, but later, on a kernel thread.
    with suppress(OSError):
        link.delete_link(HOST_LINK)
    RESOLVER_FILE.unlink(missing_ok=True)
    return found


def record(directories: Iterable[Path]) -> None:
    """Note the process groups of this process's children, and directories, for a later sweep.

    Processes of the control plane live in the host's own network namespace; when the leash is
    killed together with the test process, nothing else leads to them.
    """
    state = {
        "owner": [os.getpid(), _read_start(os.getpid())],
        "processes": [[pid, _read_start(pid)] for pid in _find_children()],
        "directories": [str(directory) for directory in directories],
    }
    STATE_FILE.write_text(json.dumps(state))


def kill_recorded() -> None:
    """End what `record` noted and a killed program left, and forget it. Never raises."""
    # A file that says something else is not ours.
    with suppress(OSError, ValueError, TypeError, LookupError):
        state = json.loads(STATE_FILE.read_text())
        pid, start = state["owner"]
        processes = [(int(pid), int(start)) for pid, start in state["processes"]]
        directories = [Path(directory) for directory in state["directories"]]
        # The same id with another start time is somebody else's process. As long as the owner
        # lives, its children are its own business: not all of them belong to the mesh.
        if _read_start(pid) != start:
            _kill(processes)
            for directory in directories:
                shutil.rmtree(directory, ignore_errors=True)
    STATE_FILE.unlink(missing_ok=True)


def _kill(groups: Iterable[tuple[int, int]]) -> None:
    for pid, start in groups:
        if _read_start(pid) == start:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)


def _find_children() -> list[int]:
    """List children that lead a group of their own, but for the leash: it must outlive us."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[1:3]
            if int(parent) == os.getpid() and group == entry.name:
                command = (entry / "cmdline").read_bytes()
                if b"leash" not in command:
                    found.append(int(entry.name))
    return found


def _read_start(pid: int) -> int | None:
    """Read when a process started, in ticks since boot; None when there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def find_remains() -> list[str]:
    """Names of our network namespaces and links that exist now.

    A name that somebody gave to the namespace in which this runs is not ours.
    """
    names = [name for name in netns.find_names(PREFIX) if not netns.is_own(name)]
    links = [name for _, name in socket.if_nameindex() if name == HOST_LINK]
    return [*names, *links]


def _remove_namespace(name: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while pids := netns.find_processes(name):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= deadline:
            break
        time.sleep(PAUSE_S)
    netns.delete(name)


def main() -> None:
    """Sweep, unless a new mesh was faster: that one has swept already."""
    lock = Lock()
    with suppress(BusyError):
        lock.acquire(timeout_s=0)
        sweep()


if __name__ == "__main__":
    main()
