"""Finding program sets, and building what is missing of them, set by set."""

import time
from collections.abc import Iterator, Sequence

from testbed.build import BuildError, Schedule, build_missing, find_missing
from testbed.golang import find_go, install_go
from testbed.program import Program, ProgramSet, locate, locate_file, read_version
from testbed.progress import Reporter, format_minutes, format_time


def prepare_each(reporter: Reporter, sets: Sequence[ProgramSet]) -> Iterator[ProgramSet]:
    """Yield every set as soon as it is complete: first those of which nothing is missing.

    The others are built in their order. A line about every program and file is reported. What the
    reporter raises ends the build. Raises BuildError, GoError or ProcessError.
    """
    start = time.monotonic()
    missing = [owner for owner in sets if any(find_missing(owner))]
    for owner in sets:
        if owner not in missing:
            _describe(owner, reporter)
            yield owner
    if not missing:
        return
    names = ", ".join(owner.name for owner in missing)
    reporter.line(
        f"tools: to build: {names}; {format_minutes(_add_up(missing))} on 2 cores,"
        " up to 6 GB of disk for Go's caches"
    )
    go = find_go() or install_go(reporter)
    reporter.line(f"{'go':<24} {go.version:<9} {go.path}")
    for number, owner in enumerate(missing):
        begin = time.monotonic()
        schedule = Schedule(start, _add_up(missing[:number]), _add_up(missing[number + 1 :]))
        built = build_missing(owner, go, reporter, schedule)
        _describe(owner, reporter, built, f"built in {format_time(time.monotonic() - begin)}")
        yield owner


def _add_up(sets: Sequence[ProgramSet]) -> float:
    return sum(owner.build_s for owner in sets)


def _describe(
    owner: ProgramSet, reporter: Reporter, built: Sequence[str] = (), took: str = ""
) -> None:
    for program in owner.programs:
        place = _describe_place(owner, program, took if program.name in built else "")
        reporter.line(f"{program.name:<24} {place}")
    for entry in owner.files:
        location = locate_file(owner, entry)
        reporter.line(
            f"{entry.name:<24} {owner.version:<9} {location.source if location else 'missing'}"
        )


def _describe_place(owner: ProgramSet, program: Program, took: str) -> str:
    location = locate(owner, program)
    if location is None:
        raise BuildError(f"{program.name} is missing after its build")
    version = read_version(location.path, program) or "unknown"
    place = location.source if location.source == "cache" else f"{location.path}"
    return f"{version:<9} {took or place}"
