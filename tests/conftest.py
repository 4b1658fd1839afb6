"""Session fixtures: a real control plane with Istio's and our CRDs, and istiod as the judge.

Tests that use one of them carry the marker `cluster`. Where the programs are missing they are
skipped with the reason; under CI they fail instead. Each xdist worker has a control plane of its
own.
"""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import pytest

from parts import ALL, PARTS, parse_parts
from testbed.controlplane import ControlPlane, ControlPlaneOption, start_control_plane
from testbed.crd import load_all_crds
from testbed.istiod import Istiod, start_istiod
from testbed.program import MissingProgramError, find_program
from testbed.workload import temporary_namespace

CLUSTER_FIXTURES = {"programs", "control_plane", "fresh_control_plane"}
FIRST = (
    "test_oracle.py",
    "test_mortal.py",
    "test_fault.py",
    "test_steady.py",
    "test_kill.py",
    "test_crd.py",
    "test_restart.py",
    "test_withdrawal.py",
    "test_missing_kind.py",
    "test_install.py",
    "test_chart.py",
    "test_process.py",
    "test_leftover.py",
)
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "pilot-discovery")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the parts of `make test-long` be chosen."""
    names = ", ".join(part.name for part in PARTS)
    parser.addoption(
        "--parts", default="", help=f"run these parts of the long tests only: {names}, or {ALL}"
    )


def pytest_sessionstart() -> None:
    """Keep looptime's plugin from making a loop for every first synchronous test, never closed."""
    asyncio.set_event_loop(None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose between the gate and the long parts, mark what needs a control plane, order files."""
    _choose_parts(config, items)
    for item in items:
        if CLUSTER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cluster)
    # At the end one worker would wait for the others.
    items.sort(
        key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST)
    )


def _choose_parts(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the parts that `--parts` names; without it, those that are in no part."""
    try:
        wanted = parse_parts(config.getoption("--parts"))
        kept: list[pytest.Item] = []
        left: list[pytest.Item] = []
        for item in items:
            marker = item.get_closest_marker("long")
            parts = parse_parts(marker.args[0]) if marker else frozenset()
            is_wanted = bool(parts & wanted) if wanted else not parts
            (kept if is_wanted else left).append(item)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.fixture(scope="session")
def programs() -> None:
    """Skip, or fail under CI, where a program of the control plane or istiod is missing."""
    with needing_programs():
        for name in PROGRAMS:
            find_program(name)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Start the session's control plane, audit log on, with Istio's CRDs and ours."""
    with needing_programs():
        plane = start_control_plane(ControlPlaneOption(audit=True, definitions=load_all_crds()))
    with plane:
        yield plane


@pytest.fixture(scope="session")
def istiod(control_plane: ControlPlane) -> Iterator[Istiod]:
    """Start istiod on the session's control plane; its webhook judges every Istio object."""
    with needing_programs():
        running = start_istiod(control_plane)
    with running:
        running.register_webhook()
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a fresh namespace; its deletion is asked for afterwards."""
    with temporary_namespace(control_plane.admin) as name:
        yield name


@pytest.fixture
def fresh_control_plane() -> Iterator[Callable[[ControlPlaneOption], ControlPlane]]:
    """Start control planes for one test alone, without CRDs; they stop after it."""
    with ExitStack() as stack:

        def start(option: ControlPlaneOption) -> ControlPlane:
            with needing_programs():
                return stack.enter_context(start_control_plane(option))

        yield start


@contextmanager
def needing_programs() -> Iterator[None]:
    """Skip the test where a program is missing; fail it under CI."""
    try:
        yield
    except MissingProgramError as error:
        _give_up(str(error))


def pytest_configure() -> None:
    """Take Ctrl-C as it is taken in a terminal: a shell lets jobs in the background ignore it."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was left out, and why: a run that skips all of it looks as if it had passed."""
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, count in Counter(report.longrepr[2] for report in skipped).items():
        terminalreporter.write_line(f"{count} not run: {reason.removeprefix('Skipped: ')}")


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
