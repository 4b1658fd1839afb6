"""Writes every generated file of the checkout: `python -m tools.generate [--check]`.

With `--check` nothing is written: stale files are named and the exit code is 1.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from egress_operator.api.policy import GROUP, VERSION
from testbed.chart import CHART, operator_roles, render_chart
from tools.api_reference import render_api, render_rules
from tools.chart_reference import build_reference, parse_values
from tools.chart_rules import build_rules
from tools.chart_settings import write_schema, write_values
from tools.cli_reference import build_reference as build_cli_reference
from tools.crd import RESOURCES, render_crd, render_strict_schema
from tools.lock import build_lock
from tools.manifest import build_deploy

ROOT = Path(__file__).parents[1]
_REFERENCE = ROOT / "docs" / "reference"
_OWNED = (ROOT / "crds", ROOT / "schemas", CHART / "files" / "crds", ROOT / "deploy")
"""Folders that hold generated files alone."""


def build_files() -> dict[Path, str]:
    """Absolute path → text of every generated file.

    Those of `build_rendered` are made from the chart as it stands on disk.
    """
    return build_sources() | build_rendered()


def build_sources() -> dict[Path, str]:
    """Absolute path → text of what is made from the operator's code and the locks.

    Of values.yaml and its schema only the settings are: the rest is taken as it stands.
    """
    files = {
        _REFERENCE / "api.md": render_api(),
        _REFERENCE / "rules.md": render_rules(),
        _REFERENCE / "cli.md": build_cli_reference(),
        CHART / "templates" / "_rules.tpl": build_rules(),
        ROOT / "requirements" / "build.lock": build_lock(
            (ROOT / "requirements" / "dev.lock").read_text()
        ),
    }
    for name, write in (("values.yaml", write_values), ("values.schema.json", write_schema)):
        files[CHART / name] = write((CHART / name).read_text())
    for name, text in _build_crds().items():
        files[ROOT / "crds" / name] = files[CHART / "files" / "crds" / name] = text
    for resource in RESOURCES:
        name = f"{resource.kind.lower()}_{VERSION}.json"
        files[ROOT / "schemas" / GROUP / name] = render_strict_schema(resource)
    return files


def build_rendered() -> dict[Path, str]:
    """Absolute path → text of what is made from the chart: deploy/ and the page of its values."""
    values = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = parse_values(values, yaml.safe_load(values), schema)
    deploy = build_deploy(render_chart(), _build_crds())
    files = {ROOT / "deploy" / name: text for name, text in deploy.items()}
    return files | {_REFERENCE / "chart.md": build_reference(rows, operator_roles())}


def _build_crds() -> dict[str, str]:
    return {
        f"{GROUP}_{resource.plural}.yaml": "# Written by `make gen`.\n" + render_crd(resource)
        for resource in RESOURCES
    }


def find_stale(files: Mapping[Path, str]) -> list[Path]:
    """List the files that differ from what they should be, and those that should not be there."""
    changed = [path for path, text in files.items() if not _reads(path, text)]
    present = [path for folder in _OWNED for path in folder.rglob("*") if path.is_file()]
    return sorted({*changed, *(path for path in present if path not in files)})


def main(arguments: list[str]) -> int:
    """Exit code: 0 done or nothing stale, 1 stale files, 2 unknown argument."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tools.generate [--check]", file=sys.stderr)
        return 2
    if arguments:
        stale = find_stale(build_files())
        for path in stale:
            print(f"{path.relative_to(ROOT)}: stale; run `make gen`", file=sys.stderr)
        return 1 if stale else 0
    # The chart is rendered when its own generated files are written.
    _write(build_sources())
    files = build_files()
    _write(files)
    for path in find_stale(files):
        path.unlink()
    return 0


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        if not _reads(path, text):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
