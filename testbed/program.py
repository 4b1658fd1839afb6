"""The programs of the testbed: what they are, which versions, and where they are found.

Looked for in this order:
1. the directory that KUBEBUILDER_ASSETS names (etcd, kube-apiserver, kube-controller-manager), in
   whatever version it holds, because the user chose it;
2. the cache that `make tools` fills, see `build.py`;
3. under sudo, the same cache of the user who called it, so that nothing is built twice;
4. PATH, where the program's own `--version` has the pinned major and minor number.
Envoy comes from the Python environment.
"""

import hashlib
import importlib.util
import os
import platform
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION_TIMEOUT_S = 20.0
GO_MINIMUM = (1, 26)
"""The oldest Go that builds all of it: what the modules' own `go` lines ask for."""
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
GO_FLAGS = ("-trimpath",)


class MissingProgramError(RuntimeError):
    """A program is neither built nor installed; the message is one line."""


@dataclass(frozen=True)
class Program:
    """One program, the Go package it is built from, and how it tells its version."""

    name: str
    package: str
    version_argv: tuple[str, ...] = ("--version",)
    in_assets: bool = False
    """Whether KUBEBUILDER_ASSETS may hold it."""


@dataclass(frozen=True)
class DataFile:
    """A file of a Go module that is needed at run time."""

    name: str
    module: str
    path: str


@dataclass(frozen=True)
class ProgramSet:
    """What one wrapper module provides, a directory of `tools/` with go.mod and go.sum.

    Either programs, which are built, or data files, which only need a download. One module for all
    would not do: their Kubernetes versions clash.
    """

    name: str
    version: str
    programs: Sequence[Program] = ()
    link_flags: Sequence[str] = ()
    files: Sequence[DataFile] = ()
    module: str = ""
    """The directory in `tools/`; the name of the set unless given."""
    packages: int = 0
    """About how many Go packages a build compiles that the sets before have not compiled."""
    build_s: float = 0.0
    """About how long that takes on two cores, downloads included."""

    @property
    def wrapper(self) -> Path:
        return ROOT / "tools" / (self.module or self.name)

    @property
    def directory(self) -> Path:
        """Where the built programs lie: the name changes with whatever could change them.

        The version of Go is in the key by the minimum, not by the one at hand: it makes no
        difference to a test, and a machine that has the programs needs no Go to find them.
        """
        return cache_directory() / self._key

    @property
    def directory_of_caller(self) -> Path | None:
        """The same in the cache of the user who called sudo; None where there is none to use."""
        cache = find_cache_of_caller()
        return cache / self._key if cache else None

    @property
    def _key(self) -> str:
        key = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            key.update((self.wrapper / name).read_bytes())
        packages = [program.package for program in self.programs]
        files = [(entry.module, entry.path) for entry in self.files]
        inputs = (GO_MINIMUM, GO_ENVIRONMENT, GO_FLAGS, self.link_flags, packages, files)
        key.update(repr((*inputs, platform.machine())).encode())
        return f"{self.name}-{key.hexdigest()[:16]}"


_VERSION = "k8s.io/component-base/version"

ETCD = ProgramSet(
    "etcd",
    "3.6.14",
    [Program("etcd", "go.etcd.io/etcd/server/v3", in_assets=True)],
    packages=574,
    build_s=60.0,
)
KUBE = ProgramSet(
    "kube",
    "1.36.4",
    [
        Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", in_assets=True),
        Program(
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            in_assets=True,
        ),
    ],
    # Without these it calls itself v0.0.0.
    link_flags=(
        f"-X {_VERSION}.gitVersion=v1.36.4",
        f"-X {_VERSION}.gitMajor=1",
        f"-X {_VERSION}.gitMinor=36",
    ),
    packages=2187,
    build_s=450.0,
)
ISTIO_API = ProgramSet(
    "istio-api",
    "1.31.1",
    files=[
        DataFile(
            "istio-crds.yaml", "istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"
        ),
        DataFile(
            "envoy_bootstrap.json", "istio.io/istio", "tools/packaging/common/envoy_bootstrap.json"
        ),
    ],
    module="istio",
    build_s=5.0,
)
ISTIO = ProgramSet(
    "istio",
    "1.31.1",
    [
        Program("pilot-discovery", "istio.io/istio/pilot/cmd/pilot-discovery", ("version", "-s")),
        Program("pilot-agent", "istio.io/istio/pilot/cmd/pilot-agent", ("version", "-s")),
    ],
    link_flags=("-X istio.io/istio/pkg/version.buildVersion=1.31.1",),
    packages=1480,
    build_s=385.0,
)
SETS = (ETCD, ISTIO_API, KUBE, ISTIO)
"""In the order in which they are built: Istio's kinds before `kube`, the programs of Istio last."""
ENVOY = "envoy"


@dataclass(frozen=True)
class Location:
    """Where a program or file was found."""

    path: Path
    source: str
    """`KUBEBUILDER_ASSETS`, `cache`, `SUDO_USER`, `PATH` or `environment` (the Python one)."""


def cache_directory() -> Path:
    """Return the user's cache of tools, outside the repository.

    A relative XDG_CACHE_HOME does not count, as its specification says.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".cache"
    return base / "egress-operator" / "tools"


def find_cache_of_caller() -> Path | None:
    """Find the cache of the user who called sudo. Programs are run from there, never built.

    Only where that user owns both the cache and this checkout: root then runs their code with or
    without the cache, beginning with the Makefile, so their programs add no risk.
    """
    name = os.environ.get("SUDO_USER")
    if not name or os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(name)
        cache = Path(user.pw_dir) / ".cache" / "egress-operator" / "tools"
        owners = {path.stat().st_uid for path in (ROOT, cache)}
    except (KeyError, OSError):
        return None
    return cache if owners == {user.pw_uid} else None


def find_program(name: str) -> Path:
    """Find a program by name, `envoy` included. Raises MissingProgramError."""
    if name == ENVOY:
        location = locate_envoy()
    else:
        pairs = ((owner, entry) for owner in SETS for entry in owner.programs)
        location = next(locate(owner, entry) for owner, entry in pairs if entry.name == name)
    return _require(location, name)


def find_file(name: str) -> Path:
    """Find a data file: `istio-crds.yaml` or `envoy_bootstrap.json`. Raises MissingProgramError."""
    pairs = ((owner, entry) for owner in SETS for entry in owner.files)
    return _require(next(locate_file(o, entry) for o, entry in pairs if entry.name == name), name)


def locate(owner: ProgramSet, program: Program) -> Location | None:
    """Where a program is found, or None."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and program.in_assets and _is_executable(path := Path(assets) / program.name):
        return Location(path, "KUBEBUILDER_ASSETS")
    if _is_executable(path := owner.directory / program.name):
        return Location(path, "cache")
    of_caller = owner.directory_of_caller
    if of_caller and _is_executable(path := of_caller / program.name):
        return Location(path, "SUDO_USER")
    found = shutil.which(program.name)
    if found:
        version = read_version(Path(found), program)
        if version.split(".")[:2] == owner.version.split(".")[:2]:
            return Location(Path(found), "PATH")
    return None


def locate_file(owner: ProgramSet, entry: DataFile) -> Location | None:
    """Where a data file is found, or None."""
    if _has_content(path := owner.directory / entry.name):
        return Location(path, "cache")
    of_caller = owner.directory_of_caller
    if of_caller and _has_content(path := of_caller / entry.name):
        return Location(path, "SUDO_USER")
    return None


def locate_envoy() -> Location | None:
    """Envoy's binary in the Python environment, or None."""
    specification = importlib.util.find_spec("envoy")
    for directory in (specification and specification.submodule_search_locations) or ():
        if _is_executable(path := Path(directory) / "_bin" / "envoy"):
            return Location(path, "environment")
    return None


@cache
def read_version(path: Path, program: Program) -> str:
    """Ask a program for its version, such as `1.36.4`; empty when it tells none."""
    try:
        answer = subprocess.run(
            [path, *program.version_argv],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(r"\d+\.\d+\.\d+", answer.stdout)
    return match.group() if match else ""


def _require(location: Location | None, name: str) -> Path:
    if location is None:
        raise MissingProgramError(
            f"{name} is not there: run `make tools` (about 15 minutes the first time)"
        )
    return location.path


def _is_executable(path: Path) -> bool:
    return _has_content(path) and os.access(path, os.X_OK)


def _has_content(path: Path) -> bool:
    """Whether it is a file that is not empty, as a loss of power may leave it."""
    return path.is_file() and path.stat().st_size > 0
