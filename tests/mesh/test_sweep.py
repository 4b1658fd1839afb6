"""What a mesh leaves behind: nothing, however it ends.

The programs run in a network and mount namespace of their own, beside the mesh of this session.
"""

import os
import sys

import pytest

from testbed.sweep import BusyError, Lock, find_holder

from .sandbox import run_in_sandbox

pytestmark = [
    pytest.mark.mesh,
    pytest.mark.long("testbed"),
    pytest.mark.usefixtures("machine"),
]

CRASH = f"{sys.executable} -P -m mesh.crash"


def test_a_killed_program_leaves_nothing() -> None:
    assert run_in_sandbox(f"{CRASH} die > told; {CRASH} wait < told") == [[]]


def test_the_next_start_removes_what_not_even_the_leash_could() -> None:
    before, after = run_in_sandbox(f"{CRASH} die with-leash > told; {CRASH} start < told")

    assert {"egt-hub", "egt-shop-checkout", "egt-host"} < set(before)
    assert len([entry for entry in before if entry.startswith("process")]) == 2
    assert after == []


NOT_OURS = """
import json, os
from pathlib import Path
from testbed import linux, netns, sweep
netns.NETNS_DIR.mkdir()
path = netns.NETNS_DIR / "egt-mine"
path.touch()
linux.mount("/proc/self/ns/net", str(path), flags=linux.MS_BIND)
print(json.dumps(sweep.sweep()))
print(json.dumps([name for name in netns.find_names("") if netns.is_own(name)]))
"""


def test_what_is_bound_to_the_namespace_of_the_machine_stays() -> None:
    found, names = run_in_sandbox(f"{sys.executable} -P -c '{NOT_OURS}'")

    assert found == []
    assert names == ["egt-mine"]


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
