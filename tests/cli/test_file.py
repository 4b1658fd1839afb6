"""Files, directories and standard input."""

import io
import os
from pathlib import Path

import pytest

from egress_operator.cli import file
from egress_operator.cli.file import File, Reader
from egress_operator.cli.finding import Finding


def read(*paths: Path | str, stdin: bytes = b"") -> tuple[list[str], list[Finding]]:
    items = list(Reader(io.BytesIO(stdin)).read([str(path) for path in paths]))
    return (
        [item.name for item in items if isinstance(item, File)],
        [item for item in items if isinstance(item, Finding)],
    )


def test_directory_is_read_sorted_and_below_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "d.txt", ".e.yaml", "f/g.yaml", ".git/h.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names, findings = read(tmp_path)
    assert names == [f"{tmp_path}/{name}" for name in ("a.yml", "b.yaml", "c.json", "f/g.yaml")]
    assert findings == []


def test_every_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch()
    (tmp_path / "b.yaml").symlink_to(path)
    assert read(tmp_path, path, path)[0] == [str(path)]


def test_symlink_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "x.yaml").touch()
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    (tmp_path / "loop").symlink_to("loop")
    names, findings = read(tmp_path)
    assert names == [f"{tmp_path}/a/x.yaml"]
    assert [found.file for found in findings] == [f"{tmp_path}/self.yaml"]


def test_volume_of_a_config_map_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "policy.yaml").touch()
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    assert read(tmp_path)[0] == [f"{tmp_path}/policy.yaml"]


def test_special_files_of_a_directory_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "a.yaml").touch()
    assert read(tmp_path)[0] == [f"{tmp_path}/a.yaml"]


@pytest.mark.parametrize("name", ["missing.yaml", "a\0b", "x" * 5000])
def test_unreadable_name(name: str, tmp_path: Path) -> None:
    names, (finding,) = read(f"{tmp_path}/{name}")
    assert names == []
    assert finding.rule == "EG901"
    assert finding.message.startswith("cannot be read: ")


def test_directory_without_yaml_is_an_error(tmp_path: Path) -> None:
    _, (finding,) = read(tmp_path)
    assert "no *.yaml, *.yml, *.json in this directory" in finding.message


def test_endless_input_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MAX_TOTAL", 1000)
    names, (finding,) = read("/dev/zero", "/dev/zero")
    assert names == []
    assert finding.rule == "EG902"


def test_the_bound_counts_all_files_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "MAX_TOTAL", 10)
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        (tmp_path / name).write_text("12345")
    (tmp_path / "d.yaml").write_text("1")
    names, (finding,) = read(tmp_path)
    assert [Path(name).name for name in names] == ["a.yaml", "b.yaml"]
    assert finding.file == f"{tmp_path}/c.yaml"


def test_stdin() -> None:
    (item,) = Reader(io.BytesIO(b"a: b")).read(["-", "-"])
    assert item == File("<stdin>", b"a: b", named=True)
