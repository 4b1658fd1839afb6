"""The live part: building what is missing, then the scenes, once or twice."""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from demo.ending import report_failure, show_means, show_summary
from demo.output import OutputClosedError
from demo.play import play
from demo.playground import open_playground
from demo.show import Show
from demo.stop import Stop
from egress_operator.plan.option import PlanOptions
from testbed.build import BuildError, find_missing
from testbed.client import ApiError, ConnectError
from testbed.deadline import list_waits
from testbed.golang import GoError
from testbed.network import NetworkError
from testbed.operator import SETTLE_S
from testbed.process import ProcessError
from testbed.program import ISTIO, SETS, MissingProgramError, ProgramSet
from testbed.progress import Progress, ProgressLine
from testbed.sweep import BusyError
from testbed.tools import Build, StoppedError

PLAIN_SETS = tuple(owner for owner in SETS if owner is not ISTIO)
"""Without the one that only a mesh needs, which is built last."""
SLOW_S = 20.0
"""When the start is slow, so that it should say what it waits for."""
FAILURES = (
    ApiError,
    AssertionError,
    BuildError,
    BusyError,
    ConnectError,
    GoError,
    MissingProgramError,
    NetworkError,
    OSError,
    ProcessError,
    StoppedError,
)


TRAFFIC = (
    "A real API server, istiod and Envoy sidecars will run on this machine. The mesh blocks every "
    "outside host that no policy names (REGISTRY_ONLY). shop/checkout calls; shop/batch is another "
    "pod of its namespace, pay/app a pod of another team. Each outside server reports the address "
    "that a call came from: the pod's own when it came direct, the gateway's when it came via "
    "gateway. The first call of each kind shows it."
)
NO_TRAFFIC = "A real API server will run on this machine, with the operator, but without traffic"
TIMES = (
    f"Times are those of a settle time of {SETTLE_S:g} s; the default, for real meshes, is "
    f"{PlanOptions().settle:g} s."
)
NOT_YET = "istiod is still being built. The second part has traffic"


def run(show: Show, options: argparse.Namespace, stop: Stop, lack: str) -> int:
    """Play the live part and return the exit code. What a stop leads to is raised.

    `lack` tells why there can be no mesh here; "" when there can.
    """
    try:
        return _run(show, options, stop, lack)
    except FAILURES as error:
        if stop.is_requested:
            raise
        report_failure(show, error)
        return 1


def _run(show: Show, options: argparse.Namespace, stop: Stop, lack: str) -> int:
    sets = PLAIN_SETS if lack else SETS
    is_complete = not any(any(find_missing(owner)) for owner in sets)
    needs_istio = any(find_missing(ISTIO))
    with Build() as build:
        build.start(sets)
        _wait(build, PLAIN_SETS, is_complete=is_complete)
        if lack:
            return _play(show, options, stop, lack)
        if needs_istio and (code := _play(show, options, None, NOT_YET)):
            return code
        _wait(build, SETS, is_complete=is_complete)
    return _play(show, options, stop, lack)


class _SilentReporter:
    """A reporter for a build that has nothing to do."""

    def line(self, text: str) -> None:
        """Nobody asks where the programs are found."""

    def update(self, progress: Progress) -> None:
        """There is none."""


def _wait(build: Build, sets: Sequence[ProgramSet], *, is_complete: bool) -> None:
    """Show the progress until the sets are complete."""
    progress = ProgressLine(sys.stderr)
    try:
        for owner in sets:
            build.wait(owner.name, _SilentReporter() if is_complete else progress)
    finally:
        progress.close()


def _play(show: Show, options: argparse.Namespace, stop: Stop | None, lack: str) -> int:
    """Play the live part, without traffic when there is a `lack`; the last time with a `stop`."""
    show.title("Live, without traffic" if lack else "Live")
    # Why there is none for good, the first line of the demo has said.
    why = f": {lack}" if lack == NOT_YET else ""
    show.text(f"{NO_TRAFFIC}{why}. {TIMES}" if lack else f"{TRAFFIC} {TIMES}")
    parts = "an API server" if lack else "an API server, istiod, Envoys"
    show.progress(f"starting {parts} and the operator (10 to 20 s)")
    start = time.monotonic()
    with ExitStack() as stack:
        with _explain_slow_start(show):
            playground = stack.enter_context(open_playground(with_mesh=not lack))
        try:
            play(playground, show, everything=options.all)
            if stop:
                show_summary(playground, show, time.monotonic() - start)
        except FAILURES as error:
            report_failure(show, error, playground)
            return 1
        if stop and not options.once:
            show_means(playground, show)
            stop.stay()
    return 0


@contextmanager
def _explain_slow_start(show: Show) -> Iterator[None]:
    """Tell, when the block is slow, what it still waits for."""

    def explain() -> None:
        waits = "; ".join(list_waits())
        with suppress(OutputClosedError):
            show.progress(f"still starting after {SLOW_S:g} s{f': {waits}' if waits else ''}")

    timer = threading.Timer(SLOW_S, explain)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
