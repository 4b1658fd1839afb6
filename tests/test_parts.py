"""What `make test` runs, and the parts of `make test-long`: by name, or drawn into some minutes."""

import re
import subprocess
from collections.abc import Container, Iterable
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from parts import PARTS, draw_parts, parse_parts

NAMES = frozenset(part.name for part in PARTS)
SLICE_MINUTES = 8
TESTS = Path(__file__).parent


def test_parts_are_read_by_name() -> None:
    assert parse_parts("load,oracle") == parse_parts("oracle load") == {"load", "oracle"}
    assert parse_parts("all") == NAMES
    assert parse_parts("") == frozenset()


def test_an_unknown_part_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no part lode; there are load, .*image and all"):
        parse_parts("load lode")


def test_a_draw_fits_and_is_repeated_by_its_seed() -> None:
    minutes = {part.name: part.minutes for part in PARTS}
    for seed in map(str, range(50)):
        drawn = draw_parts(seed, SLICE_MINUTES)
        assert drawn == draw_parts(seed, SLICE_MINUTES)
        assert 0 < sum(minutes[name] for name in drawn) <= SLICE_MINUTES
        # Nothing that would still fit is left out.
        rest = SLICE_MINUTES - sum(minutes[name] for name in drawn)
        assert all(minutes[name] > rest for name in NAMES - set(drawn))


def test_every_part_is_drawn_within_a_few_seeds() -> None:
    seeds = [f"{seed}" for seed in range(40)]
    drawn = {name for seed in seeds for name in draw_parts(seed, SLICE_MINUTES)}
    assert drawn == NAMES


def test_every_part_has_a_test() -> None:
    files = TESTS.rglob("test_*.py")
    marked = {name for file in files for name in re.findall(r'long\("(\w+)"\)', file.read_text())}
    assert marked == NAMES


@pytest.mark.parametrize("targets", [["test"], ["test-unit", "test-cluster", "test-mesh"]])
def test_the_gate_runs_each_test_exactly_once(targets: list[str]) -> None:
    command = ["make", "--dry-run", *targets]
    done = subprocess.run(command, cwd=TESTS.parent, check=True, capture_output=True, text=True)
    texts = re.findall(r'-m pytest .*? -m "(.+?)"', done.stdout)
    chosen = [Expression.compile(text) for text in texts]
    for marks in (set(), {"cluster"}, {"mesh"}, {"cluster", "mesh"}):
        assert count_chosen(chosen, marks) == 1


def count_chosen(expressions: Iterable[Expression], marks: Container[str]) -> int:
    def is_marked(name: str, /, **_: object) -> bool:
        return name in marks

    return sum(expression.evaluate(is_marked) for expression in expressions)


def test_the_mesh_tests_run_after_a_test_that_fails() -> None:
    stub = 'run() { echo "$$2"; [[ "$$2" == mesh ]]; }; run'
    command = [
        "make",
        "--no-print-directory",
        "--old-file=tools",
        "--old-file=check",
        "test",
        f"PYTEST={stub}",
    ]
    done = subprocess.run(command, cwd=TESTS.parent, check=False, capture_output=True, text=True)
    assert done.returncode
    assert done.stdout.splitlines()[-2:] == ["not mesh", "mesh"]


@pytest.mark.parametrize("lane", ["unit", "cluster", "mesh"])
def test_a_lane_runs_by_itself_and_tells_the_seed(lane: str) -> None:
    command = ["make", "--dry-run", f"test-{lane}"]
    done = subprocess.run(command, cwd=TESTS.parent, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len([line for line in lines if "-m pytest" in line]) == 1
    assert "EGRESS_SEED=" in done.stdout
    assert ("testbed.tools" in done.stdout) == (lane != "unit")


def test_what_needs_a_mesh_is_where_the_gate_looks_for_it() -> None:
    marked = {
        file for file in TESTS.rglob("test_*.py") if re.search(r"mark\.mesh\b", file.read_text())
    }
    assert marked
    assert all(TESTS / "mesh" in file.parents for file in marked)
