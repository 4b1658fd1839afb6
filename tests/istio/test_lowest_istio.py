"""Istio 1.22, the lowest supported version, knows every field and value that is written.

`istio-1.22.txt` lists what the CRDs of istio.io/api v1.22.0 have for our kinds in `v1`, which comes
with that version: fields, and after a colon the allowed values; of EnvoyFilters what is used here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_operator.istio.kind import Kind

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/*/objects.yaml"))
LINES = (Path(__file__).parent / "istio-1.22.txt").read_text().splitlines()
FIELDS: Mapping[str, frozenset[str]] = {
    field: frozenset(values.split())
    for field, _, values in (line.partition(": ") for line in LINES)
}
NEWER: Mapping[str, str] = {
    "ServiceEntry.resolution: DYNAMIC_DNS": "| [wildcards](../use/wildcards.md) ",
}
"""Fields, or fields with a value (`ServiceEntry.resolution: …`), that need a newer Istio, each with
the row of the table of versions in docs/operate/install.md that says so."""
FILTER: Mapping[Kind, str] = {Kind.ENVOY_FILTER: "v1alpha3"}
"""EnvoyFilters have no `v1` in any Istio."""
TABLE = (Path(__file__).parents[2] / "docs" / "operate" / "install.md").read_text()
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def find_unknown(value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - any part of a spec
    """Give the fields that are not known, and values that are not allowed."""
    if path in FIELDS:
        if FIELDS[path] and value not in FIELDS[path]:
            yield f"{path}: {value}"
    elif isinstance(value, list):
        for item in value:
            yield from find_unknown(item, f"{path}[]")
    elif isinstance(value, dict):
        for name, item in value.items():
            named = f"{path}.{name}"
            is_map = any(field.startswith(f"{path}.*") for field in FIELDS)
            yield from find_unknown(item, f"{path}.*" if is_map else named)
    else:
        yield path


def read_objects() -> list[dict[str, Any]]:
    documents = (item for path in GOLDEN for item in yaml.load_all(path.read_text(), LOADER))
    return [item for item in documents if item]


def test_every_field_is_known_or_named_in_the_table() -> None:
    objects = read_objects()
    assert {item["kind"] for item in objects} == {str(kind) for kind in Kind}
    versions = {(item["kind"], item["apiVersion"].partition("/")[2]) for item in objects}
    assert versions == {(str(kind), FILTER.get(kind, "v1")) for kind in Kind}
    found = {line for item in objects for line in find_unknown(item["spec"], item["kind"])}
    assert found == set(NEWER)
    assert all(row in TABLE for row in NEWER.values())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hosts": ["a.example"], "resolution": "DYNAMIC_DNS"}, "resolution: DYNAMIC_DNS"),
        ({"hosts": ["a.example"], "unknown": {"a": 1}}, "unknown.a"),
        ({"ports": [{"number": 80, "colour": "red"}]}, "ports[].colour"),
    ],
)
def test_what_is_newer_is_found(spec: dict[str, Any], expected: str) -> None:
    assert list(find_unknown(spec, "ServiceEntry")) == [f"ServiceEntry.{expected}"]
