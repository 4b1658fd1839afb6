"""What must not outlive the test process, even when that is killed with SIGKILL.

One small helper process per test process reads lines from a pipe. When the pipe ends, for whatever
reason, it kills the process groups, runs the commands and removes the directories still on its
list. When the helper is killed too, the next one does it (`journal.py`), but for the commands.
PR_SET_PDEATHSIG would not do: it follows the thread that started the child, is lost on a
change of user, and does not reach grandchildren such as the Envoy of pilot-agent.

This file is also the helper's program, so it imports the standard library only.
"""

import atexit
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# Run by its path and isolated, it finds only the standard library by itself.
sys.path.append(str(Path(__file__).parents[1]))

from testbed.journal import append_line, apply_lines, create_journal, read_start, take_left

COMMAND_TIMEOUT_S = 10.0
END_TIMEOUT_S = 60.0
START_TIMEOUT_S = 5.0
"""How long the start of a child may hold up `leave`."""
WAIT = "import os, sys; os.waitpid(int(sys.argv[1]), 0); os._exit(int(sys.argv[2]))"


class _Leash:
    """The pipe to the helper; made on first use and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._owner = 0
        self._helper: subprocess.Popen[bytes] | None = None
        self._journal: Path | None = None

    def add(self, entry: dict[str, object]) -> int:
        ident = next(self._ids)
        self._send({"id": ident, **entry})
        return ident

    def release(self, ident: int) -> None:
        if self._owner == os.getpid():
            self._send({"id": ident})

    def end(self) -> None:
        """Let the helper clean up what is left, and wait for it."""
        if self._helper is None or self._owner != os.getpid():
            return
        with suppress(OSError, subprocess.TimeoutExpired):
            self._helper.communicate(timeout=END_TIMEOUT_S)

    def leave(self, code: int) -> NoReturn:
        """Wait for the helper's end in place of everything else, then exit."""
        if self._helper is None or self._owner != os.getpid():
            os._exit(code)
        # A child that another thread starts right now must be on the list first.
        starting.acquire(timeout=START_TIMEOUT_S)
        # A blocked signal stays blocked in the program that this becomes; a handler does not stay.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        words = [sys.executable, "-I", "-S", "-c", WAIT, str(self._helper.pid), str(code)]
        os.execv(sys.executable, words)  # noqa: S606 - no shell is wanted

    def _send(self, entry: dict[str, object]) -> None:
        with self._lock:
            helper = self._start()
            assert helper.stdin is not None
            line = json.dumps(entry)
            append_line(self._journal, line)
            helper.stdin.write(line.encode() + b"\n")
            helper.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._helper is None or self._owner != os.getpid():
            self._journal = create_journal()
            names = [] if self._journal is None else [str(self._journal)]
            # A session of its own: Ctrl-C and a kill of our group must not reach it.
            self._helper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", __file__, *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
            self._owner = os.getpid()
        return self._helper


starting = threading.Lock()
"""Held from the start of a child until it is on the list."""
_LEASH = _Leash()
atexit.register(_LEASH.end)


def kill_on_death(group: int) -> int:
    """SIGKILL process group `group` when this process is gone. Returns an id for `release`."""
    return _LEASH.add({"kill": group, "start": read_start(group)})


def remove_on_death(directory: Path) -> int:
    """Remove `directory` when this process is gone. Returns an id for `release`."""
    return _LEASH.add({"remove": str(directory)})


def run_on_death(argv: Sequence[str]) -> int:
    """Run a command when this process is gone, after the kills. Returns an id for `release`."""
    return _LEASH.add({"run": list(argv)})


def leave(code: int) -> NoReturn:
    """End this process at once, whatever its threads do, when the helper has cleaned up.

    The process becomes a program that only waits: so the pipe ends, and the lock of the network is
    free for what the helper runs.
    """
    _LEASH.leave(code)


def end() -> None:
    """Let the helper clean up what is still on the list, and wait for it. Nothing may be added."""
    _LEASH.end()


def release(ident: int) -> None:
    """Take an entry off the list: its owner has cleaned up by itself."""
    _LEASH.release(ident)


def main() -> None:
    """Read entries until the pipe ends, then clean up what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _clean(take_left())
    _clean(apply_lines(sys.stdin))
    for journal in sys.argv[1:]:
        Path(journal).unlink(missing_ok=True)


def _clean(entries: list[dict[str, object]]) -> None:
    for entry in entries:
        if isinstance(group := entry.get("kill"), int):
            with suppress(OSError):
                os.killpg(group, signal.SIGKILL)
    for entry in reversed(entries):
        if isinstance(argv := entry.get("run"), list):
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(argv, check=False, timeout=COMMAND_TIMEOUT_S, capture_output=True)
    for entry in entries:
        if isinstance(directory := entry.get("remove"), str):
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
