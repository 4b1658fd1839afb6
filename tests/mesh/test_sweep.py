"""What a mesh leaves behind: nothing, however it ends.

The programs run in a network and mount namespace of their own, beside the mesh of this session.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.sweep import BusyError, Lock, find_holder

pytestmark = [pytest.mark.mesh, pytest.mark.usefixtures("machine")]

TESTS = Path(__file__).parents[1]
TIMEOUT_S = 60
# A copy of /etc, not a mount over /etc/netns: that would go when somebody outside removes the
# directory, and the real one would lie open.
SANDBOX = """
mount -t tmpfs tmpfs /run
cp -a /etc /run/etc
rm -rf /run/etc/netns
mount --bind /run/etc /etc
ip link set lo up
cd /run
"""
CRASH = f"{sys.executable} -P -m mesh.crash"


def run_in_sandbox(script: str) -> list[list[str]]:
    """Run shell lines with namespaces of their own and return the lists that they print."""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", SANDBOX + script],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_killed_program_leaves_nothing() -> None:
    assert run_in_sandbox(f"{CRASH} die > told; {CRASH} wait < told") == [[]]


def test_the_next_start_removes_what_not_even_the_leash_could() -> None:
    before, after = run_in_sandbox(f"{CRASH} die with-leash > told; {CRASH} start < told")

    assert {"egt-hub", "egt-shop-checkout", "egt-host"} < set(before)
    assert len([entry for entry in before if entry.startswith("process")]) == 2
    assert after == []


def test_a_second_mesh_is_told_who_has_the_first() -> None:
    first, second = Lock(), Lock()
    holder = find_holder()
    if holder is None:
        first.acquire(timeout_s=0)
    try:
        with pytest.raises(BusyError, match=f"held by process {holder or os.getpid()}:"):
            second.acquire(timeout_s=0)
    finally:
        first.release()
        second.release()
