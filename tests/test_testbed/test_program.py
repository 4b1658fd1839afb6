"""Where programs are looked for, in which order, and what is said when they are missing."""

import os
import pwd
import shutil
from pathlib import Path

import pytest

from testbed import program
from testbed.program import (
    ETCD,
    ISTIO,
    ISTIO_API,
    KUBE,
    SETS,
    MissingProgramError,
    cache_directory,
    find_file,
    find_program,
    locate,
)

APISERVER = KUBE.programs[0]


def write_program(directory: Path, name: str, version: str) -> Path:
    """Write a program that only tells its version."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)


def test_a_missing_program_gets_one_line_with_the_fix() -> None:
    for find, name in ((find_program, "etcd"), (find_file, "istio-crds.yaml")):
        with pytest.raises(MissingProgramError, match=f"^{name} is not there: run `make tools`"):
            find(name)


def test_the_users_directory_wins_over_the_cache_and_that_over_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = write_program(tmp_path / "bin", "kube-apiserver", "Kubernetes v1.36.0")
    assert find_program("kube-apiserver") == on_path
    cached = write_program(KUBE.directory, "kube-apiserver", "Kubernetes v1.36.4")
    assert find_program("kube-apiserver") == cached
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert find_program("kube-apiserver") == cached, "an empty directory changes nothing"
    chosen = write_program(tmp_path / "assets", "kube-apiserver", "Kubernetes v1.34.1")
    assert find_program("kube-apiserver") == chosen


@pytest.mark.parametrize("value", ["", "cache", "./cache"])
def test_a_cache_directory_that_is_not_absolute_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_directory() == tmp_path / ".cache/egress-operator/tools"


def test_an_empty_file_of_the_cache_is_missing() -> None:
    for directory, name in ((ETCD.directory, "etcd"), (ISTIO_API.directory, "istio-crds.yaml")):
        write_program(directory, name, "").write_text("")
    for find, name in ((find_program, "etcd"), (find_file, "istio-crds.yaml")):
        with pytest.raises(MissingProgramError, match=f"^{name} is not there"):
            find(name)


@pytest.fixture
def cache_of_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be root by sudo, in a checkout and beside a cache of user `dev`."""
    home = tmp_path / "home"
    fields = ("dev", "x", os.getuid(), os.getgid(), "", str(home), "/bin/sh")
    monkeypatch.setattr(pwd, "getpwnam", {"dev": pwd.struct_passwd(fields)}.__getitem__)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "dev")
    checkout = tmp_path / "checkout"
    shutil.copytree(program.ROOT / "tools", checkout / "tools")
    monkeypatch.setattr(program, "ROOT", checkout)
    return home / ".cache" / "egress-operator" / "tools"


def test_under_sudo_what_the_caller_has_built_is_found(
    tmp_path: Path, cache_of_caller: Path
) -> None:
    theirs = write_program(cache_of_caller / KUBE.directory.name, "kube-apiserver", "v1.36.4")
    file = write_program(cache_of_caller / ISTIO_API.directory.name, "istio-crds.yaml", "")
    assert find_program("kube-apiserver") == theirs
    assert find_file("istio-crds.yaml") == file
    own = write_program(KUBE.directory, "kube-apiserver", "v1.36.4")
    assert own.is_relative_to(tmp_path / "cache"), "a build goes to root's own cache"
    assert find_program("kube-apiserver") == own


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away, which takes root")
@pytest.mark.parametrize("foreign", ["checkout", "home/.cache/egress-operator/tools"])
def test_under_sudo_nothing_is_run_that_is_not_the_callers(
    tmp_path: Path, cache_of_caller: Path, foreign: str
) -> None:
    write_program(cache_of_caller / KUBE.directory.name, "kube-apiserver", "v1.36.4")
    os.chown(tmp_path / foreign, 12345, -1)
    assert locate(KUBE, APISERVER) is None


@pytest.mark.parametrize("name", ["", "nobody-of-that-name"])
def test_without_a_caller_of_sudo_there_is_only_our_cache(
    cache_of_caller: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(cache_of_caller / KUBE.directory.name, "kube-apiserver", "v1.36.4")
    monkeypatch.setenv("SUDO_USER", name)
    assert locate(KUBE, APISERVER) is None


def test_the_users_directory_is_not_asked_for_istio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path / "assets", "pilot-agent", "1.31.1")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert locate(ISTIO, ISTIO.programs[1]) is None


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("Kubernetes v1.36.4", True),
        ("Kubernetes v1.36.11", True),
        ("Kubernetes v1.35.9", False),
        ("Kubernetes v1.3.6", False),
        ("Kubernetes v0.0.0-master", False),
        ("no idea", False),
    ],
)
def test_the_path_counts_where_major_and_minor_version_fit(
    tmp_path: Path, version: str, *, fits: bool
) -> None:
    write_program(tmp_path / "bin", "kube-apiserver", version)
    assert (locate(KUBE, APISERVER) is not None) == fits


def test_a_program_that_cannot_run_does_not_fit(tmp_path: Path) -> None:
    path = write_program(tmp_path / "bin", "etcd", "etcd Version: 3.6.14")
    path.write_text("#!/bin/sh\nexit 1\n")
    assert locate(ETCD, ETCD.programs[0]) is None


def test_the_cache_directory_changes_with_the_wrapper_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "ROOT", tmp_path)
    wrapper = tmp_path / "tools" / "etcd"
    wrapper.mkdir(parents=True)
    directories = set()
    for name, text in (("go.mod", "1"), ("go.sum", "1"), ("go.mod", "2"), ("go.sum", "2")):
        for other in ("go.mod", "go.sum"):
            (wrapper / other).touch()
        (wrapper / name).write_text(text)
        directories.add(ETCD.directory)
        assert ETCD.directory.is_relative_to(tmp_path / "cache")
    assert len(directories) == 4


def test_sets_of_one_wrapper_module_have_a_directory_each() -> None:
    assert ISTIO_API.wrapper == ISTIO.wrapper
    assert ISTIO_API.directory != ISTIO.directory


def test_the_kinds_of_istio_are_there_before_the_api_server() -> None:
    assert SETS.index(ISTIO_API) < SETS.index(KUBE) < SETS.index(ISTIO)
    assert not ISTIO_API.programs
