"""Every dependency has its reason, and every install its hashes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import parse_lock

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGE = (ROOT / "docs" / "design" / "dependencies.md").read_text()


def _names(requirements: list[str]) -> list[str]:
    return sorted(canonicalize_name(Requirement(line).name) for line in requirements)


def _listed(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^- `([a-z0-9-]+)`: \S.{10,}$", section, flags=re.MULTILINE)


def test_every_dependency_of_the_operator_has_a_reason() -> None:
    assert sorted(_listed("Run time")) == _names(PROJECT["project"]["dependencies"])


def test_every_dependency_of_developers_has_a_reason() -> None:
    assert sorted(_listed("Development")) == _names(PROJECT["dependency-groups"]["dev"])


@pytest.mark.parametrize("name", ["run", "dev", "build"])
def test_every_locked_package_has_one_version_and_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    locked = parse_lock(text)
    assert len(locked) == len(re.findall(r"^[A-Za-z0-9]", text, flags=re.MULTILINE))
    for entry in locked.values():
        assert re.match(r"\S+==\S+", entry)
        assert "--hash=sha256:" in entry


def test_locks_hold_what_is_asked_for() -> None:
    run = parse_lock((ROOT / "requirements" / "run.lock").read_text())
    dev = parse_lock((ROOT / "requirements" / "dev.lock").read_text())
    assert set(_names(PROJECT["project"]["dependencies"])) <= set(run)
    assert set(_names(PROJECT["dependency-groups"]["dev"])) | set(run) <= set(dev)
    assert {name: dev[name] for name in run} == run
