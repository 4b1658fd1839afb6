"""One mesh at a time on a machine, and no remains of an earlier one.

All network namespaces and links of a mesh carry one prefix, so what a killed run left behind is
found by name; the processes inside are found by their network namespace, never by program name.

This file is also a program, run by the leash when the test process was killed, so it needs the
standard library only.
"""

import os
import shutil
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

# Run by its path and isolated, it finds only the standard library by itself.
sys.path.append(str(Path(__file__).parents[1]))

from testbed import link, netns

PREFIX = "egt-"
"""Beginning of the names of our network namespaces and of our one link in the host's."""
HOST_LINK = f"{PREFIX}host"
RESOLVERS = Path("/run/egress-operator-testbed")
"""What commands inside find as /etc/resolv.conf: a file for each namespace, by its name."""
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
    found = find_remains()
    for name in found:
        if name != HOST_LINK:
            _remove_namespace(name)
    # A namespace takes its end of the link with it, but later, on a kernel thread.
    with suppress(OSError):
        link.delete_link(HOST_LINK)
    shutil.rmtree(RESOLVERS, ignore_errors=True)
    return found


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
