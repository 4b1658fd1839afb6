"""Builds: once, whole, one at a time. A shell script stands for Go; the real one takes minutes."""

import threading
from pathlib import Path

import pytest

from testbed import build, golang, program
from testbed.build import BuildError, build_missing, find_missing, format_time
from testbed.golang import Go, find_go, is_recent
from testbed.program import DataFile, Program, ProgramSet, find_file, find_program

GO = """\
#!/bin/sh
echo "$PWD $CGO_ENABLED $GOFLAGS $GOTOOLCHAIN $*" >> {journal}
case "$1" in
env) echo go{version};;
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
)


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


def read_builds(machine: Path) -> list[str]:
    lines = (machine / "journal").read_text().splitlines()
    return [line for line in lines if " build " in line]


def test_what_is_missing_is_built_once_and_then_found(machine: Path) -> None:
    go = write_go(machine)
    assert build_missing(SET, go, say=print) == ["red", "blue"]
    assert find_program("blue").read_text().endswith("echo v1.2.3\n")
    assert find_file("toy.json").read_text() == "{}"
    assert not any(find_missing(SET))
    (line,) = read_builds(machine)
    assert (
        "0 -mod=mod local build -v -trimpath -p=2 -ldflags=-s -w -X toy.test/version=1.2.3" in line
    )
    assert not line.startswith(str(SET.wrapper)), "Go may write to go.mod: it gets a copy"
    assert {entry.name for entry in SET.directory.iterdir()} == {
        ".lock",
        "build.log",
        "red",
        "blue",
        "toy.json",
    }

    find_program("red").unlink()
    assert build_missing(SET, go, say=print) == ["red"]
    assert read_builds(machine)[1].endswith("/red toy.test/red")


def test_a_failed_build_shows_why_and_leaves_nothing_to_find(machine: Path) -> None:
    go = write_go(machine, more="echo 'cannot find module'; exit 1")
    with pytest.raises(BuildError, match=r"(?s)^toy: go build failed, see .*cannot find module$"):
        build_missing(SET, go, say=print)
    assert len(find_missing(SET)[0]) == 2


def test_a_wrong_version_stamp_is_refused(machine: Path) -> None:
    with pytest.raises(BuildError, match=r"red says version '0\.0\.0' instead of 1\.2\.3"):
        build_missing(SET, write_go(machine, stamp="0.0.0"), say=print)
    assert len(find_missing(SET)[0]) == 2


def test_what_go_sum_does_not_pin_is_refused(machine: Path) -> None:
    go = write_go(machine, more="echo more >> go.sum")
    with pytest.raises(BuildError, match=r"tools/toy/go\.sum does not pin everything"):
        build_missing(SET, go, say=print)
    assert len(find_missing(SET)[0]) == 2


def test_two_runs_at_once_build_once(machine: Path) -> None:
    go = write_go(machine, more="sleep 0.5")
    said: list[str] = []
    built: list[list[str]] = []
    runs = [
        threading.Thread(target=lambda: built.append(build_missing(SET, go, said.append)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(built) == [[], ["red", "blue"]]
    assert said == ["toy: another run builds it; waiting"]
    assert len(read_builds(machine)) == 1


def test_a_long_build_says_that_it_goes_on(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "PROGRESS_S", 0.2)
    said: list[str] = []
    build_missing(SET, write_go(machine, more="sleep 0.5"), said.append)
    assert "toy: building, 0 s, 2 packages compiled" in said


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


def test_times_read_well() -> None:
    assert [format_time(s) for s in (0.2, 59.4, 150, 3600)] == [
        "0 s",
        "59 s",
        "2 min 30 s",
        "60 min 00 s",
    ]
