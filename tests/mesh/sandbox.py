"""Programs that make networks of their own, beside the mesh of this session."""

import json
import subprocess
from pathlib import Path

TESTS = Path(__file__).parents[1]
TIMEOUT_S = 60
# A copy of /etc, not a mount over /etc/netns: that would go when somebody outside removes the
# directory, and the real one would lie open.
SETUP = """
mount -t tmpfs tmpfs /run
cp -a /etc /run/etc
rm -rf /run/etc/netns
mount --bind /run/etc /etc
ip link set lo up
cd /run
"""


def run_in_sandbox(script: str) -> list[list[str]]:
    """Run shell lines in a network and mount namespace and return the lists that they print."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", SETUP + script],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
