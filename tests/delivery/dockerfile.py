"""Read a Dockerfile and run its stages without a container engine, below a directory."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ABSOLUTE = re.compile(r"(?<![^\s=])/(?=[a-z])")
_FROM = re.compile(r"(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: keyword in capitals, and the rest of its line, continuations joined."""

    keyword: str
    text: str

    @property
    def words(self) -> list[str]:
        """The parts of an exec form (JSON), else of the line."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return self.text.split()


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: tuple[Step, ...]

    def texts(self, keyword: str) -> list[str]:
        """Return what follows each instruction of that keyword."""
        return [step.text for step in self.steps if step.keyword == keyword]


def parse_dockerfile(text: str) -> list[Stage]:
    """Stages in order, ARG values put into FROM lines. Pure; enough for our own file."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[tuple[str, str, list[Step]]] = []
    for line in filter(None, joined.splitlines()):
        keyword, _, rest = line.partition(" ")
        step = Step(keyword.upper(), rest.strip())
        if step.keyword == "ARG" and not stages:
            name, _, value = step.text.partition("=")
            arguments[name] = value
        elif step.keyword == "FROM":
            match = _FROM.fullmatch(step.text)
            assert match is not None, line
            base = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], match["base"])
            stages.append((match["name"] or "", base, []))
        else:
            stages[-1][2].append(step)
    return [Stage(name, base, tuple(steps)) for name, base, steps in stages]


def run_stage(stage: Stage, context: Path, root: Path) -> None:
    """Do what WORKDIR, COPY, ENV and RUN say, with `root` in place of `/`.

    `python` is the interpreter of this environment. To be quick, pip keeps its cache and does not
    compile what it installs. Raises AssertionError with the output of a RUN that fails.
    """
    directory = root
    environment = _environment(root)
    for step in stage.steps:
        match step.keyword:
            case "WORKDIR":
                directory = root / step.text.lstrip("/")
                directory.mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(step.words, context, directory)
            case "ENV":
                pairs = dict(word.partition("=")[::2] for word in step.words)
                pairs.pop("PIP_NO_CACHE_DIR", None)
                environment |= pairs
            case "RUN":
                command = _ABSOLUTE.sub(f"{root}/", step.text)
                _run(command, directory, environment)
            case keyword:
                raise ValueError(f"{keyword} in a stage that is built")


def allowed_names(dockerignore: str) -> set[str]:
    """Return the names at the top of the context that an allow-list .dockerignore lets through."""
    lines = [line for line in dockerignore.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "an allow list begins with *"
    return {line[1:] for line in lines if line.startswith("!")}


def _environment(root: Path) -> dict[str, str]:
    programs = root / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    shim = programs / "python"
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}")
    shim.write_text(f'#!/bin/sh\nexec "{base}" "$@"\n')
    shim.chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }
    return kept | {"PATH": f"{programs}:/usr/bin:/bin", "PIP_COMPILE": "0"}


def _copy(words: list[str], context: Path, directory: Path) -> None:
    *sources, target = words
    allowed = allowed_names((context / ".dockerignore").read_text())
    for source in sources:
        name = source.split("/")[0]
        assert name in allowed, f".dockerignore keeps {source} out of the build"
        path = context / source
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, directory / target, ignore=ignored, dirs_exist_ok=True)
        else:
            destination = (
                directory / target / path.name if target.endswith("/") else directory / target
            )
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, destination)


def _run(command: str, directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", command],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"RUN {command}\n{done.stdout}")
