"""Children end with us, whatever way we end, and say why they failed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.deadline import DeadlineError, list_waits, wait_until
from testbed.port import find_free_port, is_open
from testbed.process import ProcessError, find_members, hold_signals, start_process

TIMEOUT_S = 10
ATTEMPTS = 100
"""To get a process id that somebody else may take first."""
FAMILY = "sleep 600 & echo started; wait"
"""A shell with a child of its own."""


def test_stop_ends_the_whole_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start_process(
        "family", ["sh", "-c", FAMILY], log=log, ready=lambda: bool(log.read_text())
    )
    assert len(list(find_members(child.pid))) == 2
    assert child.stop() == -signal.SIGTERM
    assert list(find_members(child.pid)) == []


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "trap '' TERM; echo started; while :; do sleep 0.1; done"
    child = start_process(
        "deaf", ["sh", "-c", script], log=log, ready=lambda: bool(log.read_text())
    )
    assert child.stop(timeout_s=0.3) == -signal.SIGKILL
    assert list(find_members(child.pid)) == []


def test_an_ended_child_keeps_its_id_until_it_is_stopped(tmp_path: Path) -> None:
    """Else a signal, or the leash, meets whoever has the id by then."""
    child = start_process("short", ["sh", "-c", "exit 3"], log=tmp_path / "log")
    assert child.wait() == 3
    assert not child.is_alive
    assert Path(f"/proc/{child.pid}").exists()
    assert (child.returncode, child.stop()) == (3, 3)
    assert not Path(f"/proc/{child.pid}").exists()


def test_a_second_stop_does_not_meet_the_next_with_the_same_id(tmp_path: Path) -> None:
    child = start_process("first", ["sleep", "600"], log=tmp_path / "log")
    assert child.stop() == -signal.SIGTERM
    stranger = start_with_id(child.pid)
    try:
        child.send(signal.SIGKILL)
        assert (child.stop(), child.end(), child.kill()) == (-signal.SIGTERM,) * 3
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(TIMEOUT_S)


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"(?s)^broken ended with code 3 before.*no such flag$"):
        start_process(
            "broken",
            ["sh", "-c", "echo no such flag; exit 3"],
            log=tmp_path / "log",
            ready=lambda: False,
            timeout_s=TIMEOUT_S,
        )


def test_a_child_that_never_gets_ready_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ProcessError, match="slow was not ready after"):
        start_process(
            "slow",
            ["sh", "-c", "echo $$; sleep 600"],
            log=log,
            ready=lambda: False,
            timeout_s=0.3,
        )
    assert list(find_members(int(log.read_text()))) == []


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"nowhere cannot be started: .*No such file"):
        start_process("nowhere", [tmp_path / "nowhere"], log=tmp_path / "log")


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Not the grandchildren either, nor a child started from a thread that has ended."""
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    mark = tmp_path / "mark"
    script = f"""
import sys, threading, time
from pathlib import Path
from testbed import leash
from testbed.process import start_process
leash.remove_on_death(Path({str(doomed)!r}))
leash.run_on_death(["touch", {str(mark)!r}])
released = start_process("gone", ["sleep", "600"], log=Path({str(tmp_path / "gone.log")!r}))
released.stop()
def start():
    log = Path({str(tmp_path / "log")!r})
    argv = ["sh", "-c", {FAMILY!r}]
    child = start_process("family", argv, log=log, ready=lambda: bool(log.read_text()))
    print(child.pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""
    parent = run_script(script)
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    assert len(list(find_members(group))) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=TIMEOUT_S)
    wait_until(lambda: not list(find_members(group)), TIMEOUT_S, "the children live on")
    wait_until(lambda: mark.exists() and not doomed.exists(), TIMEOUT_S, "no cleaning up")


def test_a_child_that_starts_while_its_parent_leaves_does_not_outlive_it(tmp_path: Path) -> None:
    script = f"""
import os, subprocess, threading, time
from pathlib import Path
from testbed import leash
from testbed.process import start_process
log = Path({str(tmp_path / "log")!r})
start_process("first", ["sleep", "600"], log=log)
started = threading.Event()
class SlowPopen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)
        started.set()
        time.sleep(0.5)
subprocess.Popen = SlowPopen
argv = ["sleep", "600"]
threading.Thread(target=start_process, args=("second", argv), kwargs={{"log": log}}).start()
started.wait()
leash.leave(7)
"""
    parent = run_script(script)
    told, _ = parent.communicate(timeout=TIMEOUT_S)
    assert parent.returncode == 7
    assert list(find_members(int(told))) == []


def test_ports_are_free_and_never_the_same_twice() -> None:
    ports = [find_free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert not any(is_open(port) for port in ports[:5])


def test_what_is_waited_for_is_known_meanwhile() -> None:
    assert wait_until(list_waits, TIMEOUT_S, "it is not ready") == ["it is not ready"]
    with pytest.raises(DeadlineError):
        wait_until(lambda: False, 0, "it never comes")
    assert list_waits() == []


def test_a_deadline_shows_the_last_failed_assertion() -> None:
    def look() -> bool:
        assert {"a": 1} == {"a": 2}, "two differ"
        return True

    with pytest.raises(DeadlineError, match=r"timed out after 0.1 s: equality; last: two differ"):
        wait_until(look, 0.1, "equality")


def start_with_id(pid: int) -> subprocess.Popen[bytes]:
    """Start a program that gets the id `pid`, which must be free."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    for _ in range(ATTEMPTS):
        try:
            last.write_text(str(pid - 1))
        except OSError as error:
            pytest.skip(f"the next process id cannot be chosen: {error}")
        started = subprocess.Popen(["sleep", "600"], start_new_session=True)
        if started.pid == pid:
            return started
        started.kill()
        started.wait(TIMEOUT_S)
    pytest.fail(f"no program got the id {pid} in {ATTEMPTS} attempts")


def run_script(script: str) -> subprocess.Popen[str]:
    """Start a Python program that can import the testbed."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_signal_waits_for_the_end_of_a_block() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117 - the order is the point
        with hold_signals():
            signal.raise_signal(signal.SIGINT)
            done = True
    assert done
