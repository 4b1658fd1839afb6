"""The Dockerfile: what its stages say, and what they make."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from delivery.dockerfile import Stage, allowed_names, parse_dockerfile, run_stage

ROOT = Path(__file__).parents[2]
STAGES = parse_dockerfile((ROOT / "Dockerfile").read_text())
LAST = STAGES[-1]


def _label(stage: Stage, name: str) -> str:
    match = re.search(
        rf'org\.opencontainers\.image\.{name}="([^"]*)"', " ".join(stage.texts("LABEL"))
    )
    assert match is not None
    return match[1]


def test_both_stages_stand_on_one_base_with_an_exact_python() -> None:
    assert len({stage.base for stage in STAGES}) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", LAST.base)


def test_last_stage_installs_nothing() -> None:
    assert LAST.texts("RUN") == []
    assert LAST.texts("COPY") == ["--from=build /opt/venv /opt/venv"]


def test_first_stage_takes_only_what_has_a_hash() -> None:
    installs = [
        part
        for text in STAGES[0].texts("RUN")
        for part in text.split("&&")
        if " install " in part or " wheel " in part
    ]
    assert len(installs) == 4
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)


def test_user_is_a_number_and_not_root() -> None:
    (user,) = LAST.texts("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_entry_point_is_the_operator_without_a_shell() -> None:
    (step,) = [step for step in LAST.steps if step.keyword == "ENTRYPOINT"]
    assert step.text.startswith("[")
    assert step.words == ["egressctl", "run"]
    assert LAST.texts("CMD") == []


def test_labels_tell_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"VERSION={project['version']}" in LAST.texts("ARG")
    assert _label(LAST, "title") == project["name"]
    assert _label(LAST, "description") == project["description"]
    assert _label(LAST, "licenses") == project["license"]


def test_context_holds_nothing_but_what_is_copied() -> None:
    copied = {word.split("/")[0] for text in STAGES[0].texts("COPY") for word in text.split()[:-1]}
    assert allowed_names((ROOT / ".dockerignore").read_text()) == copied


@pytest.mark.long("image")
@pytest.mark.timeout(300)
def test_first_stage_makes_an_environment_that_runs(tmp_path: Path) -> None:
    run_stage(STAGES[0], ROOT, tmp_path)
    for name in ("dist", "src", "opt/build"):
        shutil.rmtree(tmp_path / name)
    programs = tmp_path / "opt" / "venv" / "bin"
    done = subprocess.run(
        [programs / "egressctl", "version"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (done.returncode, done.stderr) == (0, "")
    assert project["version"] in done.stdout
    assert not (programs / "pip").exists()
