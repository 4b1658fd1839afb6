"""Where a mesh has its files, and what is said when the machine lacks something."""

import os
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from testbed import proxy, system
from testbed.proxy import publish_programs
from testbed.system import FALLBACK, choose_parent, find_missing_files, open_to_all


@pytest.fixture
def short() -> Path:
    """Give the root directory: the shortest path, and everybody may enter it."""
    return Path("/")


@pytest.fixture(autouse=True)
def complete_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").touch()
    monkeypatch.setattr(system, "RESOLVER", tmp_path / "resolv.conf")
    for name in ("ROOTS_DIR", "RUN"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(system, name, tmp_path / name)
    flags = SimpleNamespace(f_flag=0)
    monkeypatch.setattr(os, "statvfs", lambda _: flags)


def test_a_directory_for_temporary_files_is_used_when_sockets_and_proxies_can(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    assert choose_parent() == short
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(system, "SHORT", len(str(tmp_path)))
    for step in (tmp_path, *list(tmp_path.parents)[:-2]):
        step.chmod(0o755)
    assert choose_parent() == tmp_path
    tmp_path.chmod(0o700)
    assert choose_parent() == FALLBACK, "the user of the proxies cannot enter"
    tmp_path.chmod(0o755)
    monkeypatch.setattr(system, "SHORT", len(str(tmp_path)) - 1)
    assert choose_parent() == FALLBACK, "too long for a socket"


def test_nothing_is_missing_on_a_complete_machine() -> None:
    assert find_missing_files() == []


@pytest.mark.parametrize("name", ["RESOLVER", "ROOTS_DIR"])
@pytest.mark.parametrize("dangling", [True, False], ids=["dangling", "absent"])
def test_what_the_mesh_mounts_over_must_be_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, dangling: bool
) -> None:
    path = tmp_path / "lacking"
    if dangling:
        path.symlink_to("nowhere")
    monkeypatch.setattr(system, name, path)

    (line,) = find_missing_files()

    assert str(path) in line


def test_a_run_directory_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (system.RUN, os.W_OK))

    (line,) = find_missing_files()

    assert f"cannot write to {system.RUN}:" in line


def test_a_directory_that_runs_no_programs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = SimpleNamespace(f_flag=os.ST_NOEXEC | os.ST_NOSUID)
    monkeypatch.setattr(os, "statvfs", lambda _: flags)

    (line,) = find_missing_files()

    assert "noexec" in line
    assert "set TMPDIR" in line


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_proxies_may_run_programs_whatever_the_umask_is_and_was(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "original"
    original.write_text("a program")
    original.chmod(mode)
    monkeypatch.setattr(proxy, "find_program", lambda _: original)
    before = os.umask(0o077)
    try:
        with open_to_all():
            publish_programs(tmp_path / "mesh/programs")
        assert os.umask(0o077) == 0o077, "it is given back"
    finally:
        os.umask(before)

    for path in (tmp_path / "mesh", *(tmp_path / "mesh").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE(original.stat().st_mode) == mode
    assert (tmp_path / "mesh/programs/envoy").read_text() == "a program"
