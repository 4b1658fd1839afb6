"""Programs that make networks of their own, beside the mesh of this session."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SANDBOX = (sys.executable, "-I", "-S", "-B", ROOT / "testbed/sandbox.py")
TIMEOUT_S = 60


def run_in_sandbox(script: str) -> list[list[str]]:
    """Run shell lines in a network and mount namespace and return the lists that they print."""
    done = subprocess.run(
        [*SANDBOX, "sh", "-c", f"cd /run; {script}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
