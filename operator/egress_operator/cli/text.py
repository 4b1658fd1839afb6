"""Objects as text: YAML that every reader reads alike, or JSON. Byte-stable."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
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
    return yaml.emit(_build_events(listed), Dumper=_DUMPER, width=_WIDTH) if listed else ""


def format_json(value: object) -> str:
    """Return `value` as indented JSON with a line end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


_WIDTH = 1 << 30
_DUMPER: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_ANY = (True, True)
"""The emitter may leave the tag out, with and without quotes."""


def _build_events(objects: Iterable[object]) -> Iterator[yaml.Event]:
    # Events and not yaml.dump: its representer takes most of the time of `render`.
    yield yaml.StreamStartEvent()
    for obj in objects:
        events: list[yaml.Event] = [yaml.DocumentStartEvent(explicit=True)]
        _add_value(events, obj)
        yield from events
        yield yaml.DocumentEndEvent()
    yield yaml.StreamEndEvent()


def _add_value(events: list[yaml.Event], value: object) -> None:
    if isinstance(value, str):
        style = None if _is_plain(value) else "'"
        events.append(yaml.ScalarEvent(None, None, _ANY, value, style=style))
    elif isinstance(value, Mapping):
        events.append(yaml.MappingStartEvent(None, None, implicit=True, flow_style=not value))
        for key, item in value.items():
            _add_value(events, key)
            _add_value(events, item)
        events.append(yaml.MappingEndEvent())
    elif isinstance(value, list | tuple):
        events.append(yaml.SequenceStartEvent(None, None, implicit=True, flow_style=not value))
        for item in value:
            _add_value(events, item)
        events.append(yaml.SequenceEndEvent())
    else:
        events.append(yaml.ScalarEvent(None, None, _ANY, json.dumps(value)))


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Whether readers of YAML 1.1 and 1.2 all take the bare text for text."""
    try:
        return parse_plain(text) == text and not _DATE.match(text)
    except AmbiguousScalarError:
        return False
