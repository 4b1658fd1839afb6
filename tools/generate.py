"""Writes what is made from the chart, crds/ and the lock: `python -m tools.generate [--check]`.

With `--check` nothing is written: stale files are named and the exit code is 1.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from testbed.chart import CHART, operator_roles, render_chart
from tools.chart_reference import build_reference, parse_values
from tools.lock import build_lock
from tools.manifest import build_deploy

ROOT = Path(__file__).parents[1]
_COPIES = CHART / "files" / "crds"


def build_files() -> dict[Path, str]:
    """Absolute path → text of every file that is made here."""
    values = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = parse_values(values, yaml.safe_load(values), schema)
    crds = {path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}
    deploy = build_deploy(render_chart(), crds)
    dev_lock = (ROOT / "requirements" / "dev.lock").read_text()
    return {
        **{_COPIES / name: text for name, text in crds.items()},
        **{ROOT / "deploy" / name: text for name, text in deploy.items()},
        ROOT / "docs" / "reference" / "chart.md": build_reference(rows, operator_roles()),
        ROOT / "requirements" / "build.lock": build_lock(dev_lock),
    }


def find_stale(files: Mapping[Path, str]) -> list[Path]:
    """Files that differ from what they should be, and files that should not be there."""
    changed = [path for path, text in files.items() if not _reads(path, text)]
    present = [path for folder in (_COPIES, ROOT / "deploy") for path in folder.rglob("*.yaml")]
    return sorted({*changed, *(path for path in present if path not in files)})


def main(arguments: list[str]) -> int:
    """Exit code: 0 done or nothing stale, 1 stale files, 2 unknown argument."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tools.generate [--check]", file=sys.stderr)
        return 2
    files = build_files()
    stale = find_stale(files)
    if arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: stale; run `make gen`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path])
        else:
            path.unlink()
    return 0


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
