"""A program that dies while its network is up, and what is seen afterwards.

    python -m mesh.crash die [with-leash] > FILE; python -m mesh.crash (wait | start) < FILE

`die` tells the ids of two processes that it started, one inside a namespace of the mesh and one
outside, and kills itself; with the second word it first kills the leash, which would clean up.
`wait` waits until nothing is left; `start` brings the network up again. Both print what is left.
"""

import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed import leash, sweep
from testbed.network import Network
from testbed.process import Process, start_process

WAIT_S = 15.0


@dataclass(frozen=True)
class Trace:
    """What a dying program may leave behind, beside namespaces and links."""

    pids: list[int]
    directory: str

    def find_left(self) -> list[str]:
        """List what is left of everything."""
        paths = [Path(self.directory), sweep.RESOLVERS]
        return [
            *sweep.find_remains(),
            *(str(path) for path in paths if path.exists()),
            *(f"process {pid}" for pid in self.pids if _is_running(pid)),
        ]


def die(*, with_leash: bool) -> None:
    """Start everything, tell of it, and die."""
    directory = Path(tempfile.mkdtemp(prefix="egress-operator-crash-"))
    leash.remove_on_death(directory)
    with Network() as network:
        inside = network.add("shop-checkout", network.addresses.workload(1))
        sleepers = [
            _start(inside.command("sleep", "600"), directory),
            _start(["sleep", "600"], directory),
        ]
        _tell(asdict(Trace([sleeper.pid for sleeper in sleepers], str(directory))))
        if with_leash:
            os.kill(_find_leash(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def wait(trace: Trace) -> None:
    """Wait until nothing is left, and print what is."""
    deadline = time.monotonic() + WAIT_S
    while (left := trace.find_left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    _tell(left)


def start(trace: Trace) -> None:
    """Print what is left before the next start, and after its end."""
    _tell(trace.find_left())
    with Network():
        pass
    wait(trace)


def _start(argv: list[str], directory: Path) -> Process:
    return start_process("sleeper", argv, log=directory / "log")


def _find_leash() -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and b"leash" in (entry / "cmdline").read_bytes():
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                return int(entry.name)
    raise LookupError("no leash")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _tell(what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - this is a program


def main() -> None:
    """Do what the first word says."""
    word = sys.argv[1]
    if word == "die":
        die(with_leash="with-leash" in sys.argv)
    else:
        trace = Trace(**json.load(sys.stdin))
        (wait if word == "wait" else start)(trace)


if __name__ == "__main__":
    main()
