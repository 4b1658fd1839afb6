"""The live part: building what is missing, then the stages, one or two."""

import argparse
import sys
import time
from collections.abc import Sequence

from demo.ending import report_failure, show_summary, stay
from demo.play import play
from demo.show import Show
from demo.stage import open_stage
from demo.stop import Stop
from testbed import network
from testbed.build import BuildError, find_missing
from testbed.client import ApiError, ConnectError
from testbed.golang import GoError
from testbed.network import NetworkError
from testbed.process import ProcessError
from testbed.program import SETS, MissingProgramError, ProgramSet
from testbed.progress import Progress, ProgressLine
from testbed.sweep import BusyError
from testbed.tools import Build

MESH_SET = "istio"
"""The program set that only a mesh needs, and the last one that is built."""
PLAIN_SETS = tuple(owner for owner in SETS if owner.name != MESH_SET)
FAILURES = (
    ApiError,
    AssertionError,
    BuildError,
    BusyError,
    ConnectError,
    GoError,
    MissingProgramError,
    NetworkError,
    ProcessError,
    TimeoutError,
)


TRAFFIC = (
    "A real API server, istiod and Envoy sidecars run on this machine. The mesh blocks every "
    "outside host that no policy names (REGISTRY_ONLY). shop/checkout calls; shop/batch is another "
    "pod of its namespace, pay/app a pod of another team. The outside servers tell from "
    "which address a request came."
)
NO_TRAFFIC = "A real API server runs on this machine, with the operator. There are no requests"
NOT_YET = " yet: istiod is still being built. They are made in the second part"


def run(show: Show, options: argparse.Namespace, stop: Stop) -> int:
    """Play the live part and return the exit code. What a stop leads to is raised."""
    try:
        return _run(show, options)
    except FAILURES as error:
        if stop.code:
            raise
        report_failure(show, error)
        return 1


def _run(show: Show, options: argparse.Namespace) -> int:
    lacks = network.find_missing()
    sets = PLAIN_SETS if lacks else SETS
    is_complete = not any(_is_missing(owner) for owner in sets)
    with Build() as build:
        build.start(sets)
        _wait(build, PLAIN_SETS, is_complete=is_complete)
        if lacks:
            return _play(show, options, lacks=f": {lacks[0]}", is_last=True)
        if not is_complete and (code := _play(show, options, lacks=NOT_YET, is_last=False)):
            return code
        _wait(build, SETS, is_complete=is_complete)
    return _play(show, options, lacks="", is_last=True)


def _is_missing(owner: ProgramSet) -> bool:
    programs, files = find_missing(owner)
    return bool(programs or files)


class _Silence:
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
            build.wait(owner.name, _Silence() if is_complete else progress)
    finally:
        progress.close()


def _play(show: Show, options: argparse.Namespace, *, lacks: str, is_last: bool) -> int:
    """Play the live part, without traffic when there is something that a mesh `lacks`.

    `lacks` ends the sentence NO_TRAFFIC.
    """
    show.title("Live, without traffic" if lacks else "Live")
    show.text(f"{NO_TRAFFIC}{lacks}." if lacks else TRAFFIC)
    parts = "an API server" if lacks else "an API server, istiod, Envoys"
    show.progress(f"starting {parts} and the operator (10 to 20 s)")
    start = time.monotonic()
    with open_stage(with_mesh=not lacks) as stage:
        try:
            play(stage, show, everything=options.all)
            if is_last:
                show_summary(stage, show, time.monotonic() - start)
        except FAILURES as error:
            report_failure(show, error, stage)
            return 1
        if is_last and not options.once:
            stay(stage, show)
    return 0
