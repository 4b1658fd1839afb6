"""What the next leash finds of one that was killed with its owner."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import journal
from testbed.deadline import wait_until
from testbed.journal import append_line, create_journal, read_start, take_left
from testbed.process import find_members

TIMEOUT_S = 20
ROOT = Path(__file__).parents[2]
DIE = """
import os, signal
from testbed import leash
from testbed.process import start_process
from testbed.scratch import open_scratch
with open_scratch("remains-") as directory:
    child = start_process("sleeper", ["sleep", "600"], log=directory / "log")
    print(child.pid, flush=True)
    os.kill(leash._LEASH._helper.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""
NEXT = """
from testbed.scratch import open_scratch
with open_scratch("next-"):
    pass
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Give the id of a process that leads a group."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as child:
        yield child.pid
        child.kill()


def write_left(temporary: Path, owner: int, *lines: object) -> Path:
    """Write the journal of a process, which may live."""
    file = create_journal()
    assert file is not None
    assert file.parent == temporary
    place, *_ = json.loads(file.read_text())
    texts = [json.dumps(line) for line in ([place, owner, read_start(owner)], *lines)]
    file.write_text("\n".join(texts) + "\n")
    return file


def test_processes_and_directories_are_cleaned_up_by_the_next_start(temporary: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}

    def run(script: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", script],
            check=False,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
        ).stdout

    group = int(run(DIE))
    assert len(list(find_members(group))) == 1
    assert list(temporary.glob("remains-*"))

    run(NEXT)

    wait_until(lambda: not list(find_members(group)), TIMEOUT_S, "the child lives on")
    assert list(temporary.iterdir()) == []


def test_what_a_leash_has_released_or_another_process_has_become_stays(
    temporary: Path, sleeper: int
) -> None:
    start = read_start(sleeper)
    kept = {"kill": sleeper, "start": start}
    file = write_left(
        temporary,
        0,
        *({"id": 1, "remove": "/released"}, {"id": 1}),
        {"id": 2, "kill": sleeper, "start": -1},
        {"id": 3, **kept},
        {"id": 4, "run": ["command"]},
        {"id": 5, "remove": "/left"},
    )
    with file.open("a") as end:
        end.write('{"id": 6, "remove": "/cu')

    assert take_left() == [kept, {"remove": "/left"}]
    assert not file.exists()


def test_as_long_as_the_owner_lives_it_is_its_own_business(temporary: Path, sleeper: int) -> None:
    file = write_left(temporary, sleeper, {"id": 1, "remove": "/left"})
    assert take_left() == []
    assert file.exists()


@pytest.mark.parametrize(
    "text", ["", "\n", "{\n", "[]\n", "{}\n", "null\n", "7\n", "[1, 2]\n", "[[], [[]]]\n", "\xff\n"]
)
def test_a_file_that_is_no_journal_is_left_alone(temporary: Path, text: str) -> None:
    file = temporary / f"{journal.PREFIX}other"
    file.write_text(text, encoding="latin-1")
    assert take_left() == []
    assert file.exists()


def test_ids_of_another_namespace_or_boot_mean_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_left(temporary, 0, {"id": 1, "remove": "/left"})
    monkeypatch.setattr(journal, "_read_place", lambda: ["another boot", "pid:[1]"])
    assert take_left() == []


def test_neither_a_link_nor_another_users_file_is_believed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_left(temporary, 0, {"id": 1, "remove": "/left"})
    target = file.rename(temporary / "target")
    file.symlink_to(target)
    assert take_left() == []
    target.rename(file)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert take_left() == []


def test_without_room_for_temporary_files_there_is_no_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert create_journal() is None
    append_line(None, "{}")
