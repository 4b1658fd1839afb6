"""Hostile input is refused within little memory and processor time, measured by hard limits."""

import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from cli.call import POLICY, TIME_LIMIT_S, build_environment

MEMORY = 400 << 20
"""Bytes of address space for everything: the interpreter with its libraries takes most of it."""
PROCESSOR_S = 10
"""Of processor time, an unhurried start included; the bombs take from 15 s to for ever."""

UNKNOWN = 8000
"""Fields: with a hint for each, they took 20 s."""


def _build_alias_bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    names = "abcdefghij"
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 6)}]" for before, name in pairwise(names)
    ]
    return "\n".join(lines)


def _build_merge_bomb() -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [
        f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}]}}" for level in range(1, 25)
    ]
    return "\n".join(lines)


def _build_list_bomb() -> str:
    """Build a List of our own objects with a fault in each."""
    item = "- {apiVersion: egress-operator.io/v1alpha1, kind: EgressPolicy, x: 1, x: 2}\n"
    return "kind: EgressPolicyList\nitems:\n" + item * 3000


BOMBS = {
    "aliases": _build_alias_bomb(),
    "merge keys": _build_merge_bomb(),
    "brackets": "[" * 200_000,
    "braces": "{a: " * 200_000,
    "dashes": "- " * 200_000,
    "questions": "? " * 200_000,
    "digits": "a: " + "9" * 1_000_000,
    "duplicates": "a: 1\n" * 100_000,
    "faults in a List": _build_list_bomb(),
}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def test_many_unknown_fields_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(POLICY + "".join(f"  field{number}: 1\n" for number in range(UNKNOWN)))
    done = subprocess.run(
        [sys.executable, "-m", "egress_operator.cli", "lint", "-f", str(path)],
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=False,
        preexec_fn=_limit,
    )
    assert done.returncode == 1, done.stderr[-500:]
    assert done.stdout.count(b" EG001 ") == UNKNOWN, done.stdout[-500:]


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(BOMBS[name])
    done = subprocess.run(
        [sys.executable, "-m", "egress_operator.cli", "lint", "-f", str(path)],
        capture_output=True,
        env=build_environment(),
        timeout=TIME_LIMIT_S,
        check=False,
        preexec_fn=_limit,
    )
    assert done.returncode in {1, 2}, done.stderr[-500:]
    lines = done.stdout.decode().splitlines()
    assert lines
    assert all(line.startswith(f"{path}:") and ": error EG9" in line for line in lines)
    assert len(done.stdout) < 20_000
    summary = f"policies: 0, gateways: 0, errors: {len(lines)}, warnings: 0\n"
    assert done.stderr.decode().startswith(summary)
