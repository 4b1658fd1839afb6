"""One mesh at a time on a machine, and no remains of an earlier one.

All network namespaces and links of a mesh carry one prefix, so what a killed run left behind is
found by name; the processes inside are found by their network namespace, never by program name.

This file is also a program, run by the leash when the test process was killed, so it imports the
standard library only.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PREFIX = "egt-"
"""Beginning of the names of our network namespaces and of our one link in the host's."""
HOST_LINK = f"{PREFIX}host"
STATE_FILE = Path("/run/egress-operator-testbed.json")
CONFIG_DIR = Path("/etc/netns")
"""`ip netns exec NAME` mounts the files of CONFIG_DIR/NAME over those of /etc."""
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
    _kill_recorded()
    found = find_remains()
    for name in found:
        if name != HOST_LINK:
            _remove_namespace(name)
    # The peer in a removed namespace takes the link with it, but later, on a kernel thread.
    _run("ip", "link", "delete", HOST_LINK)
    for directory in CONFIG_DIR.glob(f"{PREFIX}*"):
        shutil.rmtree(directory, ignore_errors=True)
    with suppress(OSError):
        CONFIG_DIR.rmdir()
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


def _kill_recorded() -> None:
    try:
        state = json.loads(STATE_FILE.read_text())
    except (OSError, ValueError):
        return
    STATE_FILE.unlink(missing_ok=True)
    # The same id with another start time is somebody else's process. As long as the owner lives,
    # its children are its own business: not all of them belong to the mesh.
    pid, start = state["owner"]
    if _read_start(pid) == start:
        return
    for pid, start in state["processes"]:
        if _read_start(pid) == start:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
    for directory in state["directories"]:
        shutil.rmtree(directory, ignore_errors=True)


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
    """Names of our network namespaces and links that exist now."""
    listed = _run("ip", "netns", "list").split("\n")
    names = [line.split()[0] for line in listed if line.startswith(PREFIX)]
    if HOST_LINK in (name for _, name in socket.if_nameindex()):
        names.append(HOST_LINK)
    return names


def _remove_namespace(name: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while pids := _run("ip", "netns", "pids", name).split():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if time.monotonic() >= deadline:
            break
        time.sleep(PAUSE_S)
    _run("ip", "netns", "delete", name)


def _run(*argv: str) -> str:
    """Output of a command; its failure is no error, the thing may be gone already."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=WAIT_S)
    return done.stdout


def main() -> None:
    """Sweep, unless a new mesh was faster: that one has swept already."""
    lock = Lock()
    with suppress(BusyError):
        lock.acquire(timeout_s=0)
        sweep()


if __name__ == "__main__":
    main()
