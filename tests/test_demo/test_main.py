"""`python -m demo` as a process: how it ends when it is stopped, not read, or goes wrong."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed import linux
from testbed.deadline import wait_until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30
GO = """\
#!/bin/sh
case "$1" in
env) echo go1.26.6;;
*) echo $$ > {directory}/pid; sleep 600 & wait;;
esac
"""
STOPPED = "demo: stopped; no process is left, what was built stays in ~/.cache"
NO_TRAFFIC = "demo: this run has no traffic: "
FIRST_LINE = "== What a policy becomes ="
FAILING = """
import sys
import demo.__main__ as program
from demo import playground as setting, run
from demo.act import RIVAL
from testbed import network
from testbed.ledger import load_objects

def fail(playground, show, *, everything):
    (policy,) = load_objects(RIVAL)
    playground.apply(policy)
    setting.TIMEOUT_S = 1.0
    playground.wait(policy, "is not as it must be", lambda item: False)

network.find_missing = lambda: ["no network in this test"]
run.play = fail
sys.exit(program.main())
"""


BUSY = """
import sys
import demo.__main__ as program
from testbed.sweep import Lock

lock = Lock()
lock.acquire()
sys.exit(program.main())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a machine that has no program, and a Go that never ends."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO.format(directory=tmp_path))
    go.chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PATH": f"{go.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
    }


def leave_network() -> None:
    """Take a network of its own, where no mesh is up; only root can."""
    if os.geteuid() == 0:
        linux.unshare(linux.CLONE_NEWNET)


@contextmanager
def run_demo(
    environment: Mapping[str, str], *words: str, leaves: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program, by default the demo, in the repository.

    It leaves the network of the machine, unless it has an API server, which needs the loopback.
    """
    argv = [sys.executable, *(words or ("-m", "demo", "--once"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=leave_network if leaves else None,  # noqa: PLW1509 - there are no threads here
    ) as program:
        try:
            yield program
        finally:
            program.terminate()


def read_first_line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline()


def read_words(errors: str) -> list[str]:
    """Return the lines of the demo itself."""
    return [line for line in errors.splitlines() if "demo:" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("builds", [False, True], ids=["preview", "build"])
def test_a_signal_ends_it_with_one_line(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals, *, builds: bool
) -> None:
    file = tmp_path / "pid"
    with run_demo(environment) as program:
        assert read_first_line(program).startswith(FIRST_LINE)
        if builds:
            wait_until(lambda: file.exists() and file.read_text(), TIMEOUT_S, "no build begins")
        program.send_signal(number)
        _, errors = program.communicate(timeout=TIMEOUT_S)
    assert program.returncode == 128 + number
    # Above it are the lines of the build, if one has begun.
    assert errors.splitlines()[-1] == STOPPED
    assert [line for line in read_words(errors) if not line.startswith(NO_TRAFFIC)] == [STOPPED]
    assert "Traceback" not in errors
    if builds:
        assert not Path(f"/proc/{file.read_text().strip()}").exists()
    assert not list(tmp_path.glob("egress-operator-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there is no mesh at all")
def test_another_mesh_is_reported_before_anything_is_shown(environment: dict[str, str]) -> None:
    with run_demo(environment, "-c", BUSY) as program:
        shown, errors = program.communicate(timeout=TIMEOUT_S)
    assert program.returncode == 1
    assert shown == ""
    assert errors.startswith(
        f"demo: failed: another mesh is up on this machine, held by process {program.pid}"
    )
    assert len(errors.splitlines()) == 1


def test_it_ends_quietly_when_nobody_reads_on(environment: dict[str, str]) -> None:
    with run_demo(environment) as program:
        assert program.stdout is not None
        assert read_first_line(program).startswith(FIRST_LINE)
        program.stdout.close()
        assert program.stderr is not None
        errors = program.stderr.read()
        assert program.wait(TIMEOUT_S) == 128 + signal.SIGPIPE
    assert "Traceback" not in errors
    assert "Broken" not in errors


@pytest.mark.usefixtures("programs")
def test_a_scene_that_comes_out_otherwise_fails_and_tells_the_conditions(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with run_demo(environment, "-c", FAILING, "--once", leaves=False) as program:
        _, errors = program.communicate(timeout=4 * TIMEOUT_S)
    assert program.returncode == 1, errors
    assert "demo: failed: timed out after 1 s: EgressPolicy rival is not as it must be" in errors
    assert "demo: EgressPolicy rival: Ready=True " in errors
    assert "demo: the operator's last lines:\n   " in errors
    assert "Traceback" not in errors
    (log,) = re.findall(r"^demo: the operator's whole log: (.+)$", errors, flags=re.MULTILINE)
    assert Path(log).read_text()


def test_a_cache_that_cannot_be_made_fails_with_a_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # A file in its place: even root cannot make a directory there.
    (tmp_path / ".cache").write_text("")
    with run_demo(environment) as program:
        _, errors = program.communicate(timeout=TIMEOUT_S)
    assert program.returncode == 1
    assert "demo: failed: [Errno 20] Not a directory" in errors
    assert "Traceback" not in errors
