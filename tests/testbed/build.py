"""Building program sets from their wrapper modules into the cache, one at a time."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import leash
from testbed.golang import Go
from testbed.process import Process, start_process
from testbed.program import (
    GO_ENVIRONMENT,
    GO_FLAGS,
    Program,
    ProgramSet,
    locate,
    locate_file,
    read_version,
)

PROGRESS_S = 30.0
BUILD_TIMEOUT_S = 3600.0
TAIL_LINES = 8

Say = Callable[[str], None]


class BuildError(RuntimeError):
    """A build failed; shows the end of Go's output and names the log."""


def find_missing(owner: ProgramSet) -> tuple[list[Program], bool]:
    """Return the programs of a set that are nowhere, and whether data files are missing."""
    programs = [program for program in owner.programs if locate(owner, program) is None]
    return programs, any(locate_file(owner, entry) is None for entry in owner.files)


def build_missing(owner: ProgramSet, go: Go, say: Say) -> list[str]:
    """Build what is missing of a set; return the names. Another run's build is waited for."""
    with _lock(owner, say):
        programs, files_missing = find_missing(owner)
        # In the target's directory, so that a rename puts each file there at once and whole.
        with tempfile.TemporaryDirectory(dir=owner.directory, prefix=".build-") as scratch:
            lead = leash.remove_on_death(Path(scratch))
            module, output = Path(scratch) / "module", Path(scratch) / "output"
            output.mkdir()
            # A copy: with -mod=mod Go may write to go.mod and go.sum.
            shutil.copytree(owner.wrapper, module)
            if programs:
                _build(owner, programs, go, module, output, say)
            if files_missing:
                _copy_files(owner, go, module, output)
            _check_pinned(owner, module)
            for file in output.iterdir():
                file.replace(owner.directory / file.name)
            leash.release(lead)
    return [program.name for program in programs]


def _build(
    owner: ProgramSet,
    programs: Sequence[Program],
    go: Go,
    module: Path,
    output: Path,
    say: Say,
) -> None:
    log = owner.directory / "build.log"
    log.unlink(missing_ok=True)
    target = f"{output}/{programs[0].name}" if len(programs) == 1 else f"{output}/"
    link_flags = " ".join(("-s", "-w", *owner.link_flags))
    packages = [program.package for program in programs]
    argv = [
        str(go.path),
        "build",
        "-v",
        *GO_FLAGS,
        f"-ldflags={link_flags}",
        "-o",
        target,
        *packages,
    ]
    child = start_process(
        f"{owner.name} build", argv, log=log, cwd=module, env=_build_environment()
    )
    with child:
        code = _watch(owner, child, say)
    if code:
        raise BuildError(f"{owner.name}: go build failed, see {log}:\n{child.tail(TAIL_LINES)}")
    for program in programs:
        version = read_version(output / program.name, program)
        if version != owner.version:
            raise BuildError(f"{program.name} says version {version!r} instead of {owner.version}")


def _watch(owner: ProgramSet, child: Process, say: Say) -> int:
    """Wait for the end with a line every half minute; return the exit code."""
    start = time.monotonic()
    while True:
        try:
            return child.wait(PROGRESS_S)
        except TimeoutError:
            elapsed = time.monotonic() - start
            if elapsed > BUILD_TIMEOUT_S:
                raise BuildError(f"{owner.name}: no end after an hour, see {child.log}") from None
            count = sum(not line.startswith("go: ") for line in child.log.read_text().splitlines())
            say(f"{owner.name}: building, {format_time(elapsed)}, {count} packages compiled")


def _copy_files(owner: ProgramSet, go: Go, module: Path, output: Path) -> None:
    """Copy the data files out of Go's module cache; `go list` knows the replaced versions."""
    for entry in owner.files:
        argv = [str(go.path), "list", "-m", "-f", "{{.Dir}}", entry.module]
        answer = subprocess.run(
            argv, cwd=module, env=_build_environment(), capture_output=True, text=True, check=False
        )
        directory = answer.stdout.strip()
        if answer.returncode or not directory:
            words = " ".join(answer.stderr.split()[-40:])
            raise BuildError(f"{owner.name}: no module {entry.module} for {entry.name}: {words}")
        shutil.copyfile(Path(directory) / entry.path, output / entry.name)


def _check_pinned(owner: ProgramSet, module: Path) -> None:
    """Refuse what was built from modules that the repository's go.sum does not name."""
    for name in ("go.mod", "go.sum"):
        if (module / name).read_bytes() != (owner.wrapper / name).read_bytes():
            raise BuildError(
                f"tools/{owner.name}/{name} does not pin everything: run there"
                f" `GOFLAGS=-mod=mod go list -deps {owner.programs[0].package}` and try again"
            )


def _build_environment() -> dict[str, str]:
    # Go wants a home for its caches, which a bare environment may not name.
    return {"HOME": str(Path.home()), **os.environ, **GO_ENVIRONMENT}


@contextmanager
def _lock(owner: ProgramSet, say: Say) -> Iterator[None]:
    owner.directory.mkdir(parents=True, exist_ok=True)
    with (owner.directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{owner.name}: another run builds it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def format_time(seconds: float) -> str:
    """`8 s`, `2 min 30 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
