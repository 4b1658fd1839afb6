"""The wheel: what is in it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _build(directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_holds_every_file_of_the_package(names: set[str]) -> None:
    """Modules, the type marker and the rules."""
    package = ROOT / "operator" / "egress_operator"
    files = {
        f"egress_operator/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"egress_operator/py.typed", "egress_operator/rules.toml"} <= files
    assert files <= names


def test_holds_the_crds(names: set[str]) -> None:
    crds = {f"egress_operator/crds/{path.name}" for path in (ROOT / "crds").glob("*.yaml")}
    assert crds
    assert crds <= names


def test_holds_nothing_else(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert tops == {"egress_operator", "egress_operator-0.1.0.dist-info"}
    assert not [name for name in names if "test" in name or "__pycache__" in name]
    assert "egress_operator-0.1.0.dist-info/licenses/LICENSE" in names


def test_names_both_programs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("egress_operator-0.1.0.dist-info/entry_points.txt").decode()
    assert "egressctl = egress_operator.cli.main:main" in text
    assert "kubectl-egress = egress_operator.cli.main:main" in text


def test_two_builds_are_equal_byte_by_byte(wheel: Path, tmp_path: Path) -> None:
    assert _build(tmp_path).read_bytes() == wheel.read_bytes()
