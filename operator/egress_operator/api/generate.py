"""Write what is made from the models: `python -m egress_operator.api.generate [--check]`.

With `--check` nothing is written; stale files are listed and the exit code is 1.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from egress_operator.api.crd import RESOURCES, Resource, render_crd
from egress_operator.api.policy import GROUP, VERSION
from egress_operator.api.reference import render_api, render_rules
from egress_operator.api.schema import build_strict_schema

ROOT = Path(__file__).resolve().parents[3]
"""The checkout: generated files belong to it, not to an installed package."""

OWNED = ("crds", "schemas")
"""Directories that hold generated files alone."""


def build_files() -> dict[str, str]:
    """Every generated file by its path in the checkout. Pure; the same bytes each time."""
    files = {"docs/reference/api.md": render_api(), "docs/reference/rules.md": render_rules()}
    for resource in RESOURCES:
        crd = f"crds/{GROUP}_{resource.plural}.yaml"
        files[crd] = "# Written by `make gen`.\n" + render_crd(resource)
        schema = f"schemas/{GROUP}/{resource.kind.lower()}_{VERSION}.json"
        files[schema] = render_strict_schema(resource)
    return files


def render_strict_schema(resource: Resource) -> str:
    """Render the JSON Schema by which editors check an object of the kind."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"{resource.kind} {GROUP}/{VERSION}",
    }
    return json.dumps(schema | build_strict_schema(resource.whole), indent=2) + "\n"


def find_stale(root: Path, files: dict[str, str]) -> list[str]:
    """List, sorted, the files that are missing, differ, or should not be there."""
    stale = {
        path
        for path, text in files.items()
        if not (root / path).is_file() or (root / path).read_text("utf-8") != text
    }
    present = {
        str(path.relative_to(root))
        for directory in OWNED
        for path in (root / directory).rglob("*")
        if path.is_file()
    }
    return sorted(stale | (present - files.keys()))


def main(arguments: Sequence[str]) -> int:
    """Write the stale files, or list them with `--check`."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python -m egress_operator.api.generate [--check]\n")
        return 2
    files = build_files()
    stale = find_stale(ROOT, files)
    if arguments:
        for path in stale:
            sys.stderr.write(f"{path} is stale; run `make gen`\n")
        return int(bool(stale))
    for path in stale:
        target = ROOT / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path], "utf-8")
        else:
            target.unlink()
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
