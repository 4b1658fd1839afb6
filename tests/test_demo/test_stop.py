"""Signals end the demo's process in order."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.deadline import wait_until

ENDED = "stopped; no process is left, what was built stays in ~/.cache"
ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from demo.stop import Stop, Stopped
stop = Stop()
stop.handle()
from testbed.process import start_process
from pathlib import Path
try:
    with start_process("child", ["sleep", "600"], log=Path(sys.argv[1])) as child:
        Path(sys.argv[2]).write_text(str(child.pid))
        try:
            if sys.argv[4:]:
                stop.stay()
            time.sleep(600)
        finally:
            time.sleep(float(sys.argv[3]))
except Stopped:
    stop.finish()
    sys.exit(stop.code)
"""


def ignore_interrupts() -> None:
    """Begin as a shell script begins its background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("cleaning_s", [0, 600], ids=["clean", "stuck"])
@pytest.mark.parametrize("stays", [False, True], ids=["plays", "stays"])
def test_a_signal_ends_it_and_its_children(
    number: signal.Signals, cleaning_s: int, tmp_path: Path, *, stays: bool
) -> None:
    # While it stays up after the last scene, Ctrl-C is the end that is meant.
    code = 0 if stays and number == signal.SIGINT else 128 + number
    told = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path / "log", told, str(cleaning_s), *["stay"] * stays],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        preexec_fn=ignore_interrupts,  # noqa: PLW1509 - there are no threads here
    ) as program:
        wait_until(lambda: told.exists() and told.read_text(), 10, "the child's id")
        child = int(told.read_text())
        program.send_signal(number)
        program.send_signal(number)
        assert program.wait(20) == code
        assert program.stderr is not None
        last = "stopped; cleaning up" if cleaning_s else ENDED
        assert program.stderr.read().decode() == f"demo: {last}\n"
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 10, "the child is gone")
