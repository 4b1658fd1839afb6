"""Programs that make networks of their own, beside the mesh of this session."""

import json
import subprocess
from pathlib import Path

TESTS = Path(__file__).parents[1]
TIMEOUT_S = 60


def run_in_sandbox(script: str) -> list[list[str]]:
    """Run shell lines in a network and mount namespace and return the lists that they print."""
    done = subprocess.run(
        ["sh", TESTS / "testbed/sandbox.sh", "sh", "-c", f"cd /run; {script}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
