"""Builds: once, whole, one at a time. A shell script stands for Go; the real one takes minutes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from testbed import golang, program
from testbed.build import BuildError, Schedule, build_missing, find_missing
from testbed.deadline import wait_until
from testbed.golang import Go, find_go, is_recent
from testbed.process import find_members
from testbed.program import DataFile, Program, ProgramSet, find_file, find_program
from testbed.progress import Progress
from testbed.tools import Build, StoppedError

GO = """\
#!/bin/sh
echo "$PWD $CGO_ENABLED $GOFLAGS $GOTOOLCHAIN $*" >> {journal}
case "$1" in
env) echo go{version};;
mod) echo 'go: downloading toy.test v1.2.3' >&2;;
list) echo {module};;
build)
  while [ "$1" != -o ]; do shift; done
  out=$2; shift 2
  for package; do
    file=$out; [ -d "$out" ] && file=$out/${{package##*/}}
    printf '#!/bin/sh\\necho v{stamp}\\n' > "$file"; chmod +x "$file"
    echo "$package" >&2
  done
  {more};;
esac
"""
SET = ProgramSet(
    "toy",
    "1.2.3",
    [Program("red", "toy.test/red"), Program("blue", "toy.test/cmd/blue")],
    link_flags=("-X toy.test/version=1.2.3",),
    files=[DataFile("toy.json", "toy.test", "data/toy.json")],
    packages=4,
    build_s=60.0,
)
HANG = "touch $GOTMPDIR/work; echo $$ > {machine}/pid; sleep 60 & wait"
DATA = ProgramSet("data", "1.2.3", files=SET.files, module="toy")
FAILING = ProgramSet("failing", "2.0.0", [Program("green", "toy.test/green")], module="toy")


class Recorder:
    """A reporter that keeps everything."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[Progress] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def update(self, progress: Progress) -> None:
        self.progress.append(progress)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a repository with one wrapper module, and an empty cache."""
    wrapper = tmp_path / "tools" / "toy"
    wrapper.mkdir(parents=True)
    (wrapper / "go.mod").write_text("module toy\n")
    (wrapper / "go.sum").write_text("")
    data = tmp_path / "module" / "data"
    data.mkdir(parents=True)
    (data / "toy.json").write_text("{}")
    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr(program, "SETS", (SET,))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def write_go(
    machine: Path, *, version: str = "1.26.6", stamp: str = "1.2.3", more: str = ":"
) -> Go:
    path = machine / "go"
    text = GO.format(
        journal=machine / "journal",
        version=version,
        module=machine / "module",
        stamp=stamp,
        more=more,
    )
    path.write_text(text)
    path.chmod(0o755)
    return Go(path, version)


def build_set(owner: ProgramSet, go: Go, reporter: Recorder | None = None) -> list[str]:
    """Build a set as the only one of a run."""
    return build_missing(owner, go, reporter or Recorder(), Schedule(time.monotonic()))


def read_pid(machine: Path) -> int:
    """Wait until a build hangs; return the id of its process group."""
    file = machine / "pid"
    wait_until(lambda: file.exists() and file.read_text(), 10, "no build hangs")
    return int(file.read_text())


def read_builds(machine: Path) -> list[str]:
    lines = (machine / "journal").read_text().splitlines()
    return [line for line in lines if " build " in line]


def test_what_is_missing_is_built_once_and_then_found(machine: Path) -> None:
    go = write_go(machine)
    assert build_set(SET, go) == ["red", "blue"]
    assert find_program("blue").read_text().endswith("echo v1.2.3\n")
    assert find_file("toy.json").read_text() == "{}"
    assert not any(find_missing(SET))
    (line,) = read_builds(machine)
    assert "0 -mod=mod local build -v -trimpath -ldflags=-s -w -X toy.test/version=1.2.3" in line
    assert not line.startswith(str(SET.wrapper)), "Go may write to go.mod: it gets a copy"
    assert {entry.name for entry in SET.directory.iterdir()} == {
        ".lock",
        "build.log",
        "red",
        "blue",
        "toy.json",
    }

    find_program("red").unlink()
    assert build_set(SET, go) == ["red"]
    assert read_builds(machine)[1].endswith("/red toy.test/red")


def test_a_failed_build_shows_why_and_leaves_nothing_to_find(machine: Path) -> None:
    go = write_go(machine, more="echo 'cannot find module'; exit 1")
    with pytest.raises(BuildError, match=r"(?s)^toy: go build failed, see .*cannot find module$"):
        build_set(SET, go)
    assert len(find_missing(SET)[0]) == 2


def test_a_wrong_version_stamp_is_refused(machine: Path) -> None:
    with pytest.raises(BuildError, match=r"red says version '0\.0\.0' instead of 1\.2\.3"):
        build_set(SET, write_go(machine, stamp="0.0.0"))
    assert len(find_missing(SET)[0]) == 2


def test_what_go_sum_does_not_pin_is_refused(machine: Path) -> None:
    go = write_go(machine, more="echo more >> go.sum")
    with pytest.raises(BuildError, match=r"tools/toy/go\.sum does not pin everything"):
        build_set(SET, go)
    assert len(find_missing(SET)[0]) == 2


def test_two_runs_at_once_build_once(machine: Path) -> None:
    go = write_go(machine, more="sleep 0.5")
    reporter = Recorder()
    built: list[list[str]] = []
    runs = [
        threading.Thread(target=lambda: built.append(build_set(SET, go, reporter)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(built) == [[], ["red", "blue"]]
    assert reporter.lines == ["toy: another run builds it; waiting"]
    assert len(read_builds(machine)) == 1


def test_a_long_build_tells_how_far_it_is(machine: Path) -> None:
    reporter = Recorder()
    build_set(SET, write_go(machine, more="sleep 1"), reporter)
    last = reporter.progress[-1]
    assert (last.name, last.compiled, last.expected) == ("toy", 2, 4)
    assert last.elapsed_s > 0.5
    assert last.remaining_s == pytest.approx(30, abs=15), "half of what it takes"


def test_what_an_interrupted_run_has_compiled_counts(machine: Path) -> None:
    with pytest.raises(BuildError):
        build_set(SET, write_go(machine, more="echo toy.test/more >&2; exit 1"))
    reporter = Recorder()
    build_set(SET, write_go(machine, more="sleep 0.5"), reporter)
    assert {progress.compiled for progress in reporter.progress} == {3}


def test_data_files_need_no_build(machine: Path) -> None:
    assert build_set(DATA, write_go(machine)) == []
    assert read_builds(machine) == []
    assert (DATA.directory / "toy.json").read_text() == "{}"


def test_a_build_in_the_background_tells_when_each_set_is_complete(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{machine}:{os.environ['PATH']}")
    write_go(machine, more='case "$*" in *green*) echo no; exit 1;; *) sleep 0.5;; esac')
    reporter = Recorder()
    with Build() as background:
        background.start((SET, FAILING))
        background.wait("toy", reporter)
        assert find_program("red").parent == SET.directory
        assert any(line.startswith("red ") for line in reporter.lines)
        assert {progress.name for progress in reporter.progress} == {"toy"}
        with pytest.raises(BuildError, match=r"^failing: go build failed"):
            background.wait("failing", reporter)
        assert background.done
        assert isinstance(background.error, BuildError)


def test_a_set_that_is_there_waits_for_none_that_is_built(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{machine}:{os.environ['PATH']}")
    build_set(DATA, write_go(machine, more="sleep 60"))
    with Build() as background:
        background.start((SET, DATA))
        background.wait("data", Recorder())
        assert not background.done
        wait_until(lambda: background.progress, 10, "no progress")
        background.stop()
        with pytest.raises(StoppedError):
            background.wait("toy", Recorder())


def test_a_set_that_was_not_started_is_not_waited_for(machine: Path) -> None:
    build_set(DATA, write_go(machine))
    with Build() as background:
        background.start((DATA,))
        with pytest.raises(ValueError, match="the set toy is not among"):
            background.wait("toy", Recorder())


def test_a_stopped_build_leaves_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{machine}:{os.environ['PATH']}")
    write_go(machine, more=HANG.format(machine=machine))
    background = Build()
    background.start((SET,))
    assert not background.done
    child = read_pid(machine)
    background.stop()
    assert background.done
    assert isinstance(background.error, StoppedError)
    assert not list(find_members(child))
    assert {entry.name for entry in SET.directory.iterdir()} == {".lock", "build.log"}


def test_ctrl_c_ends_a_build_and_leaves_nothing(machine: Path) -> None:
    write_go(machine, more=HANG.format(machine=machine))
    environment = {
        **os.environ,
        "PATH": f"{machine}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "testbed.tools"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
        child = read_pid(machine)
        run.send_signal(signal.SIGINT)
        _, words = run.communicate(timeout=60)
    assert run.returncode == 130
    assert words == "tools: stopped; what is built so far is kept\n"
    assert not list(find_members(child))
    (directory,) = program.cache_directory().iterdir()
    assert {entry.name for entry in directory.iterdir()} == {".lock", "build.log"}


def test_an_old_go_is_passed_over(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "SYSTEM_GO", machine / "none" / "go")
    monkeypatch.setenv("PATH", f"{machine}:/usr/bin:/bin")
    write_go(machine, version="1.25.9")
    assert find_go() is None
    go = write_go(machine, version="1.27rc1")
    assert find_go() == go


def test_versions_of_go_are_compared_as_numbers() -> None:
    assert [is_recent(word) for word in ("1.26.0", "1.100", "2.0", "1.9.9", "1.25.12", "")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
