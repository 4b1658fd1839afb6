"""The golden inputs of the compiler, rendered by the command line."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from egress_operator.cli import offline
from egress_operator.cli.main import run
from egress_operator.cli.option import COMPILE_OPTIONS
from egress_operator.istio.name import is_label
from egress_operator.plan.reference import NOT_FOUND, NOT_READY
from golden.case import MOMENT
from testbed.document import load_documents

GOLDEN = Path(__file__).parents[1] / "golden"
READ_OF_THE_CLUSTER = ("normalizes_paths", "entry_visibility", "\nadmission:")
"""What only the operator knows: the command line takes Istio's defaults, and Strict admission."""
CASES = sorted(
    path.parent
    for path in GOLDEN.glob("*/*/input.yaml")
    if not any(name in path.read_text() for name in READ_OF_THE_CLUSTER)
)
UNKNOWN_FLAGS = {"outbound_mode", "settle"}
"""Settings that take no part in what is rendered."""


def build_arguments(options: dict[str, Any]) -> list[str]:
    """Spell the settings of a case as flags."""
    arguments = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if name in UNKNOWN_FLAGS:
            continue
        assert flag in COMPILE_OPTIONS
        text = ("on" if value else "off") if isinstance(value, bool) else value
        arguments += [f"--{flag}", ",".join(text) if isinstance(text, list) else str(text)]
    return arguments


def strip(obj: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only a cluster knows."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
    return {**obj, "metadata": metadata}


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(
    case: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offline, "time", SimpleNamespace(time=lambda: MOMENT))
    documents = load_documents((case / "input.yaml").read_text())
    settings = [found for found in documents if found["kind"] == "Settings"]
    texts = (case / "input.yaml").read_text().split("\n---\n")
    path = tmp_path / "input.yaml"
    path.write_text("\n---\n".join(text for text in texts if "kind: Settings" not in text))
    arguments = build_arguments((settings[0].get("settings") or {}) if settings else {})

    code = run(["render", "-f", str(path), *arguments])

    out, err = capsys.readouterr()
    if not any(is_label(found["metadata"]["name"]) for found in documents if is_istio(found)):
        rendered = [strip(obj) for obj in load_documents(out)]
        expected = [strip(obj) for obj in load_documents((case / "objects.yaml").read_text())]
        assert rendered == expected
    lines = (case / "diagnostics.txt").read_text().splitlines()
    has_gateway = any(found["kind"] == "EgressGateway" for found in documents)
    for line in lines:
        if f" {NOT_READY} " in line or (f" {NOT_FOUND} " in line and not has_gateway):
            # Only a cluster knows.
            continue
        label, rule, field, message = line.split(" ", 3)
        field = "" if field == "-:" else f" {field.removesuffix(':')}"
        assert f" {rule} {label}{field}: {message}\n" in err
    assert (code == 0) is (": error " not in err)


def is_istio(document: dict[str, Any]) -> bool:
    """Whether it is an Istio object: under a name of ours it stands in the way, or is kept."""
    return str(document.get("apiVersion")).startswith("networking.istio.io/")


def test_there_are_cases() -> None:
    assert len(CASES) > 30
