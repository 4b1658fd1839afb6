"""The parts of `make test-long` are chosen by name, or drawn into a budget of minutes."""

import re
from pathlib import Path

import pytest

from parts import PARTS, draw_parts, parse_parts

NAMES = frozenset(part.name for part in PARTS)
SLICE_MINUTES = 8


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
    files = Path(__file__).parent.rglob("test_*.py")
    marked = {name for file in files for name in re.findall(r'long\("(\w+)"\)', file.read_text())}
    assert marked == NAMES
