"""Building program sets from their wrapper modules into the cache, one at a time."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.command import LOOK_S, watch
from testbed.golang import Go
from testbed.process import start_process
from testbed.program import (
    GO_ENVIRONMENT,
    GO_FLAGS,
    Program,
    ProgramSet,
    locate,
    locate_file,
    read_version,
)
from testbed.progress import Progress, Reporter, estimate_remaining
from testbed.scratch import open_scratch

BUILD_TIMEOUT_S = 3600.0
TAIL_LINES = 8
NICE = ("nice", "-n", "10")
"""Other programs have priority over a build."""


@dataclass(frozen=True)
class Schedule:
    """Where a set stands among those of one run; times as in `ProgramSet.build_s`."""

    started_at: float
    """When the run began, by the monotonic clock."""
    done_s: float = 0.0
    later_s: float = 0.0


class BuildError(RuntimeError):
    """A build failed; shows the end of Go's output and names the log."""


def find_missing(owner: ProgramSet) -> tuple[list[Program], bool]:
    """Return the programs of a set that are nowhere, and whether data files are missing."""
    programs = [program for program in owner.programs if locate(owner, program) is None]
    return programs, any(locate_file(owner, entry) is None for entry in owner.files)


def compute_progress(
    owner: ProgramSet, compiled: int, before: int, schedule: Schedule, now: float
) -> Progress:
    """Compute how far a set is, `before` of whose packages were compiled by earlier runs. Pure."""

    def take(count: int) -> float:
        return owner.build_s * min(count / owner.packages, 1.0) if owner.packages else 0.0

    elapsed = now - schedule.started_at
    done = schedule.done_s + take(compiled - before)
    left = schedule.later_s + owner.build_s - take(compiled)
    remaining = estimate_remaining(elapsed, done, left)
    return Progress(owner.name, compiled, owner.packages, elapsed, remaining)


def build_missing(owner: ProgramSet, go: Go, reporter: Reporter, schedule: Schedule) -> list[str]:
    """Build what is missing of a set; return the names. Another run's build is waited for.

    What the reporter raises ends the build, as does KeyboardInterrupt; what is compiled so far is
    kept in Go's cache. Raises BuildError when Go fails, ProcessError when it cannot be started.
    """
    watcher = _Watcher(owner, reporter, schedule)
    with _lock(owner, watcher):
        programs, files_missing = find_missing(owner)
        # In the target's directory, so that a rename puts each file there at once and whole.
        with open_scratch(".build-", owner.directory) as scratch:
            workshop = _Workshop(owner, go, scratch, watcher)
            if programs:
                workshop.build(programs)
            if files_missing:
                workshop.copy_files()
            _check_pinned(owner, workshop.module)
            for file in workshop.output.iterdir():
                file.replace(owner.directory / file.name)
    return [program.name for program in programs]


class _Watcher:
    """Tells the reporter how far a set is, from the log of its build."""

    def __init__(self, owner: ProgramSet, reporter: Reporter, schedule: Schedule) -> None:
        self.reporter = reporter
        self.log = owner.directory / "build.log"
        self._owner = owner
        self._schedule = schedule
        self._packages: set[bytes] = set()
        self._offset = 0
        # An interrupted run has compiled these: Go's cache has them.
        self._before = self._count_packages()

    def look(self) -> None:
        compiled = self._count_packages()
        progress = compute_progress(
            self._owner, compiled, self._before, self._schedule, time.monotonic()
        )
        self.reporter.update(progress)

    def _count_packages(self) -> int:
        """Count the packages that `go build -v` has named, each once."""
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
            # The last line may not be complete.
            whole = text[: text.rfind(b"\n") + 1]
            self._offset += len(whole)
            self._packages.update(re.findall(rb"^[^\s:]+$", whole, flags=re.MULTILINE))
        return len(self._packages)


class _Workshop:
    """A scratch directory, and Go's commands in a copy of the wrapper module in it."""

    def __init__(self, owner: ProgramSet, go: Go, scratch: Path, watcher: _Watcher) -> None:
        self.module = scratch / "module"
        self.output = scratch / "output"
        self._owner = owner
        self._go = go
        self._scratch = scratch
        self._watcher = watcher
        self.output.mkdir()
        # A copy: with -mod=mod Go may write to go.mod and go.sum.
        shutil.copytree(owner.wrapper, self.module)

    def build(self, programs: Sequence[Program]) -> None:
        names = [program.name for program in programs]
        target = f"{self.output}/{names[0]}" if len(names) == 1 else f"{self.output}/"
        link_flags = " ".join(("-s", "-w", *self._owner.link_flags))
        packages = [program.package for program in programs]
        self._run(
            ["build", "-v", *GO_FLAGS, f"-ldflags={link_flags}", "-o", target, *packages],
            self._watcher.log,
        )
        for program in programs:
            version = read_version(self.output / program.name, program)
            if version != self._owner.version:
                raise BuildError(
                    f"{program.name} says version {version!r} instead of {self._owner.version}"
                )

    def copy_files(self) -> None:
        """Copy the data files out of Go's module cache; Go knows the replaced versions."""
        for number, entry in enumerate(self._owner.files):
            log = self._scratch / f"{number}.log"
            self._run(["mod", "download", entry.module], log)
            self._run(["list", "-m", "-f", "{{.Dir}}", entry.module], log)
            directory = Path(log.read_text().splitlines()[-1])
            shutil.copyfile(directory / entry.path, self.output / entry.name)

    def _run(self, arguments: Sequence[str], log: Path) -> None:
        temporary = self._scratch / "tmp"
        temporary.mkdir(exist_ok=True)
        # Go wants a home for its caches, which a bare environment may not name.
        environment = {"HOME": str(Path.home()), **os.environ, **GO_ENVIRONMENT}
        child = start_process(
            f"{self._owner.name}: go {arguments[0]}",
            [*NICE, self._go.path, *arguments],
            log=log,
            cwd=self.module,
            env={**environment, "GOTMPDIR": str(temporary)},
        )
        try:
            code = watch(child, BUILD_TIMEOUT_S, self._watcher.look)
        except TimeoutError as error:
            raise BuildError(f"{error}, see {log}") from None
        if code:
            raise BuildError(f"{child.name} failed, see {log}:\n{child.tail(TAIL_LINES)}")


def _check_pinned(owner: ProgramSet, module: Path) -> None:
    """Refuse what was built from modules that the repository's go.sum does not name."""
    for name in ("go.mod", "go.sum"):
        if (module / name).read_bytes() != (owner.wrapper / name).read_bytes():
            raise BuildError(
                f"tools/{owner.wrapper.name}/{name} does not pin everything: run there"
                " `GOFLAGS=-mod=mod go list -deps PACKAGE` for each program and try again"
            )


@contextmanager
def _lock(owner: ProgramSet, watcher: _Watcher) -> Iterator[None]:
    """Wait until no other run builds the set; its log tells how far it is."""
    owner.directory.mkdir(parents=True, exist_ok=True)
    with (owner.directory / ".lock").open("w") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    watcher.reporter.line(f"{owner.name}: another run builds it; waiting")
                told = True
                watcher.look()
                time.sleep(LOOK_S)
        yield
