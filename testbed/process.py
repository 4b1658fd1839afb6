"""Child processes: started in a session of their own, waited for, and ended by id."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed import leash
from testbed.deadline import DeadlineError, wait_until
from testbed.stoppable import Stoppable

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
TAIL_LINES = 15


class ProcessError(RuntimeError):
    """A child did not start, did not become ready, or did not end; shows the end of its log."""


class Process(Stoppable):
    """A running child and all that it starts, as one process group. A context manager.

    Only `kill`, with which each other end ends, reaps the child. Until then the kernel gives its id
    to nobody else, so what is sent to the group reaches the group; afterwards nothing is sent.
    """

    def __init__(self, name: str, child: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._child = child
        self._leash = leash.kill_on_death(child.pid)

    @property
    def pid(self) -> int:
        """The id of the child, which is also that of its group and session."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._child.returncode is not None:
            return self._child.returncode
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # Another thread is in `kill`, and has just reaped it.
            return self._child.wait(STOP_TIMEOUT_S)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until `is_ready` says yes.

        OSError of `is_ready` means "not yet". A child that ends or stays unready is killed and
        raises ProcessError with the end of its log.
        """

        def look() -> bool:
            if not self.is_alive:
                raise self._error(f"ended with code {self.returncode} before it was ready")
            try:
                return is_ready()
            except OSError:
                return False

        try:
            wait_until(look, timeout_s, f"{self.name} is not ready")
        except DeadlineError as error:
            self.kill()
            raise self._error(f"was not ready after {timeout_s:g} s") from error
        except BaseException:
            self.kill()
            raise

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until the child has ended by itself and return its exit code.

        Raises TimeoutError when it still runs after `timeout_s`; it goes on running.
        """
        try:
            wait_until(lambda: not self.is_alive, timeout_s, self.name)
        except DeadlineError as error:
            raise TimeoutError(f"{self.name} still runs after {timeout_s:g} s") from error
        assert self.returncode is not None
        return self.returncode

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM the group, SIGKILL what is left after `timeout_s`; return the exit code."""
        self.send(signal.SIGTERM)
        with suppress(TimeoutError):
            self.wait(timeout_s)
        return self.kill()

    def end(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM the child alone, as a kubelet does, and wait until it and its own are gone.

        SIGKILL what is left after `timeout_s`; return the exit code.
        """
        if self.is_alive:
            os.kill(self.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            self.wait(timeout_s)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the group, wait until nothing of it runs, and return the exit code."""
        if self._child.returncode is not None:
            return self._child.returncode
        self.send(signal.SIGKILL)
        try:
            wait_until(lambda: not list(find_members(self.pid)), STOP_TIMEOUT_S, self.name)
        except DeadlineError as error:
            raise self._error(f"left processes behind: {list(find_members(self.pid))}") from error
        code = self._child.wait(STOP_TIMEOUT_S)
        leash.release(self._leash)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; nothing happens after `kill`."""
        if self._child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _error(self, what: str) -> ProcessError:
        return ProcessError(f"{self.name} {what}; the end of {self.log}:\n{self.tail()}")


def start_process(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ready: Callable[[], bool] | None = None,
    timeout_s: float = READY_TIMEOUT_S,
) -> Process:
    """Start `argv` in a session of its own, output appended to `log`, and wait until `ready`.

    `env` is the whole environment; None hands on ours. The child and its group are killed when
    this process dies. Raises ProcessError with the end of the log.
    """
    with log.open("ab") as output, hold_signals(), leash.starting:
        try:
            child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(f"{name} cannot be started: {error}") from error
        process = Process(name, child, log)
    if ready is not None:
        process.wait_ready(ready, timeout_s)
    return process


@contextmanager
def hold_signals() -> Iterator[None]:
    """Put off SIGINT and SIGTERM to the end of the block, in the main thread.

    Their handlers raise exceptions there. Between the start of a child and its entry on the leash,
    one would leave a child that nobody knows.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {
        number: signal.signal(number, lambda caught, _frame: held.append(caught))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in held:
            signal.raise_signal(caught)


def find_members(group: int) -> Iterator[int]:
    """Ids of the processes of a group that still run (the dead and unreaped do not count)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            state, _, member_of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and state not in "ZX":
                yield int(entry.name)
