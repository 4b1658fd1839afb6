"""Objects as text: YAML that every reader reads alike, or JSON. Byte-stable."""

import json
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any

import yaml

from egress_operator.cli.scalar import AmbiguousScalarError, parse_plain

_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")


class DataFormat(StrEnum):
    """Output formats of objects."""

    YAML = "yaml"
    JSON = "json"


def format_objects(objects: Iterable[dict[str, Any]], form: DataFormat) -> str:
    """Return the objects as YAML documents, or as one JSON List; `kubectl apply -f -` reads both.

    Keys stay in the order of the objects. No aliases, no folded lines.
    """
    listed = list(objects)
    if form is DataFormat.JSON:
        return format_json({"apiVersion": "v1", "kind": "List", "items": listed})
    return "".join(
        yaml.dump(
            obj,
            Dumper=_Dumper,
            sort_keys=False,
            explicit_start=True,
            allow_unicode=True,
            width=1 << 30,
        )
        for obj in listed
    )


def format_json(value: object) -> str:
    """Return `value` as indented JSON with a line end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes text in quotes where a reader could take it for something else, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _is_plain(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Whether readers of YAML 1.1 and 1.2 all take the bare text for text."""
    try:
        return parse_plain(text) == text and not _DATE.match(text)
    except AmbiguousScalarError:
        return False
