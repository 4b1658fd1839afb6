"""The parts of `make test-long`: the long-running tests, by name.

    PYTHONPATH=.:tests .venv/bin/python -m parts list
        every part, what it holds, and about how many minutes
    PYTHONPATH=.:tests .venv/bin/python -m parts draw --seed 7 --minutes 8
        names of parts that fit into the time, at random

A test belongs to a part by the marker `long("NAME")`. It runs only when its part is asked for, with
`--parts NAME[,NAME]` or `--parts all`.
"""

import argparse
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass

ALL = "all"


@dataclass(frozen=True)
class Part:
    """One part. `minutes` is what it takes by itself on two cores, rounded up."""

    name: str
    holds: str
    minutes: float


PARTS = (
    Part("load", "changes under load of 30 s and more", 6),
    Part("mortal", "operators that end while policies change under load", 3),
    Part("oracle", "hundreds of random policy sets against the independent judge of traffic", 8),
    Part("fault", "planted faults, which the independent judge must find", 3),
    Part("contract", "what the design takes for granted of Istio, with objects by hand", 2),
    Part("kill", "kills of the operator and of the API server, one after the other", 5),
    Part("campaign", "random histories, orphans and definitions that come and go", 8),
    Part("interface", "random histories of everybody at the interface, compared exactly", 6),
    Part("permission", "permissions withdrawn in every way, whatever became of the policies", 3),
    Part("testbed", "the test bed's own tests", 4),
    Part("image", "the image's Dockerfile, step by step", 2),
)


def parse_parts(text: str) -> frozenset[str]:
    """Read `NAME[,NAME]`, also with spaces; `all` is every part. Raises ValueError. Pure."""
    names = text.replace(",", " ").split()
    known = [part.name for part in PARTS]
    if unknown := [name for name in names if name not in (ALL, *known)]:
        raise ValueError(f"no part {', '.join(unknown)}; there are {', '.join(known)} and {ALL}")
    return frozenset(known if ALL in names else names)


def draw_parts(seed: str, minutes: float, parts: Iterable[Part] = PARTS) -> list[str]:
    """Choose parts at random, in a random order, that fit into `minutes` together. Pure.

    Whatever is drawn first always fits, so each part has its turn within a few seeds.
    """
    order = sorted(parts, key=lambda part: part.name)
    random.Random(seed).shuffle(order)  # noqa: S311 - chooses tests, guards no secret
    chosen: list[str] = []
    for part in order:
        if part.minutes <= minutes:
            chosen.append(part.name)
            minutes -= part.minutes
    return chosen


def main() -> int:
    """List the parts, or print what is drawn on one line, joined by commas."""
    parser = argparse.ArgumentParser(prog="parts", description="The parts of make test-long.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print every part")
    draw = commands.add_parser("draw", help="choose parts at random")
    draw.add_argument("--seed", required=True)
    draw.add_argument("--minutes", type=float, required=True)
    options = parser.parse_args()
    if options.command == "list":
        lines = [f"{part.name:<10} {part.holds} (about {part.minutes:g} min)" for part in PARTS]
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        drawn = draw_parts(options.seed, options.minutes)
        if not drawn:
            parser.error(f"no part fits into {options.minutes:g} minutes")
        sys.stdout.write(",".join(drawn) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
