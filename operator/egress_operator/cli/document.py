"""Strict YAML: text in, documents with the place of every value out, and what is wrong with them.

Works on parser events and never on a loaded tree: nested brackets crash the C loader and exhaust
the stack of the Python one, merge keys and aliases multiply. Hence `MAX_DEPTH` and `MAX_COPIES`.
JSON is read as the YAML that it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from egress_operator.cli.finding import (
    FileRule,
    Finding,
    InputError,
    build_file_finding,
    quote,
)
from egress_operator.cli.scalar import AmbiguousScalarError, parse_plain
from egress_operator.cli.syntax import TEMPLATE_FIX, find_syntax_fix

MAX_DEPTH = 64
MAX_COPIES = 10_000
"""Values that the aliases of one document stand for, all in all."""
MAX_FAULTS = 50
"""Faults named per document; a text with more is something else than a policy."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_STARRED = re.compile(r"\*[^\s,\]}]{0,80}")


class Place(NamedTuple):
    """Where a value is (for an entry of a mapping: its key), counted from 1, and what is in it."""

    line: int
    column: int
    children: "dict[str, Place] | list[Place] | None" = None


class Document(NamedTuple):
    """One document. `value` is what JSON can hold: dict, list, str, int, float, bool, None."""

    file: str
    value: Any
    place: Place
    faults: tuple[Finding, ...] = ()
    """In the order of the text. Then `value` is a guess that must not be compiled."""


_PATH_STEP = re.compile(r'\["(?P<quoted>[^"]*)"\]|\[(?P<index>[0-9]+)\]|\.?(?P<name>[^.\[\]]+)')


def find_place(root: Place, path: str) -> Place:
    """Return the place of the field `path` (`spec.destinations[0].hosts[1]`). Pure.

    A field that is missing is reported where it should be written: at the nearest one around it.
    """
    place = root
    for step in _PATH_STEP.finditer(path):
        children = place.children
        if step["index"] is not None and isinstance(children, list):
            if int(step["index"]) >= len(children):
                break
            place = children[int(step["index"])]
        elif isinstance(children, dict) and (name := step["quoted"] or step["name"]) in children:
            place = children[name]
        else:
            break
    return place


def decode_text(data: bytes, file: str) -> str:
    """Return the text of a file, without a byte order mark.

    Raises InputError if it is not UTF-8 or holds control characters.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise _error(FileRule.SYNTAX, file, _locate(before, len(before)), message) from None
    if match := _NOT_YAML.search(text):
        message = f"the control character U+{ord(match[0]):04X} is not allowed: remove it"
        raise _error(FileRule.SYNTAX, file, _locate(text, match.start()), message)
    return text


def parse_documents(text: str, file: str) -> Iterator[Document]:
    """Yield the documents of `text`, empty ones left out.

    Raises InputError at the first place from which the rest cannot be read (syntax, bounds); the
    documents before it were yielded.
    """
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    try:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                reader = _Reader(file, events)
                value, place = reader.read_value(next(events), 1)
                if value is not None or reader.faults:
                    yield Document(file, value, place, tuple(reader.faults))
    except yaml.MarkedYAMLError as error:
        raise _explain(error, text, file) from None
    except yaml.YAMLError as error:
        raise _error(FileRule.SYNTAX, file, Place(0, 0), f"not YAML: {error}") from None


@dataclass(slots=True)
class _Reader:
    """Reads one document from the events. Mutable: counters and anchors of this document."""

    file: str
    events: Iterator[Any]
    values: int = 0
    """Values read so far, those of aliases included."""
    copies: int = 0
    """Values that aliases stand for."""
    anchors: dict[str, tuple[Any, Place, int]] = field(default_factory=dict)
    """Anchored value, its place, and the number of values in it."""
    faults: list[Finding] = field(default_factory=list)

    def read_value(self, event: Any, depth: int) -> tuple[Any, Place]:  # noqa: ANN401  PyYAML's events are untyped
        """Return the value that begins with `event`, and its place."""
        place = _find_place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._read_alias(event, place)
        if depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} levels deep: no Kubernetes object needs that"
            raise _error(FileRule.LIMIT, self.file, place, message)
        if event.tag is not None:
            message = f"the tag {quote(event.tag)} is not supported: remove it and quote the value"
            self._note(FileRule.UNSUPPORTED, place, message)
        before = self.values
        self.values += 1
        value: Any
        children: Any = None
        if isinstance(event, yaml.ScalarEvent):
            value = self._read_scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value, children = self._read_sequence(depth)
        else:
            value, children = self._read_mapping(depth)
        place = place._replace(children=children)
        if event.anchor is not None:
            # Known only from here on: an alias inside its own anchor would be an endless object.
            self.anchors[event.anchor] = (value, place, self.values - before)
        return value, place

    def _read_alias(self, event: Any, place: Place) -> tuple[Any, Place]:  # noqa: ANN401
        if event.anchor not in self.anchors:
            message = _describe_star(f"*{event.anchor}")
            raise _error(FileRule.SYNTAX, self.file, place, message)
        value, target, size = self.anchors[event.anchor]
        self.values += size
        self.copies += size
        if self.copies > MAX_COPIES:
            message = f"the aliases stand for more than {MAX_COPIES} values: write the values out"
            raise _error(FileRule.LIMIT, self.file, place, message)
        return value, place._replace(children=target.children)

    def _read_scalar(self, event: Any, place: Place) -> Any:  # noqa: ANN401
        if not event.implicit[0] or event.tag is not None:
            return event.value
        try:
            return parse_plain(event.value)
        except AmbiguousScalarError as error:
            self._note(FileRule.AMBIGUOUS_VALUE, place, str(error))
            return event.value

    def _read_sequence(self, depth: int) -> tuple[list[Any], list[Place]]:
        values: list[Any] = []
        places: list[Place] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            value, place = self.read_value(event, depth + 1)
            values.append(value)
            places.append(place)
        return values, places

    def _read_mapping(self, depth: int) -> tuple[dict[str, Any], dict[str, Place]]:
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key, at = self._read_key(event, depth)
            if key in values:
                message = f"the key {quote(key)} is already in line {places[key].line}: keep one"
                if depth == 1:
                    message += "; or is --- missing between two documents?"
                self._note(FileRule.DUPLICATE_KEY, at, message)
            values[key], place = self.read_value(next(self.events), depth + 1)
            places[key] = at._replace(children=place.children)
        return values, places

    def _read_key(self, event: Any, depth: int) -> tuple[str, Place]:  # noqa: ANN401
        value, place = self.read_value(event, depth + 1)
        plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        if plain and event.value == "<<":
            message = "the merge key << is not supported: write the fields out"
            self._note(FileRule.UNSUPPORTED, place, message)
        elif not isinstance(value, str):
            shown = f" {quote(event.value)}" if isinstance(event, yaml.ScalarEvent) else ""
            message = f"the key{shown} is not text: put it in quotes"
            if isinstance(event, yaml.MappingStartEvent):
                message += f"; {TEMPLATE_FIX}"
            self._note(FileRule.UNSUPPORTED, place, message)
            value = str(getattr(event, "value", f"?{place.line}:{place.column}"))
        return value, place

    def _note(self, rule: FileRule, place: Place, message: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            found = build_file_finding(rule, self.file, place.line, place.column, message)
            self.faults.append(found)


def _find_place(event: Any) -> Place:  # noqa: ANN401
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _locate(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _error(rule: FileRule, file: str, place: Place, message: str) -> InputError:
    return InputError(build_file_finding(rule, file, place.line, place.column, message))


def _describe_star(word: str) -> str:
    return f'YAML takes {word} for a reference to another place: write "{word}" in quotes'


def _explain(error: yaml.MarkedYAMLError, text: str, file: str) -> InputError:
    """Return the complaint and the fix; the commonest mistake is a host with an asterisk."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    source = "".join(lines[line : line + 1])
    context, begin = error.context or "", error.context_mark
    if "alias" in context and (star := _STARRED.search(source, max(column - 1, 0))):
        column, message = star.start(), _describe_star(star[0])
    else:
        since = f" that begins in line {begin.line + 1}" if begin else ""
        at = f" at {source[column]!r}" if column < len(source) else ""
        message = f"not YAML: {f'{context}{since}, ' if context else ''}{error.problem}{at}"
        start = "".join(lines[begin.line : begin.line + 1]) if begin else ""
        if fix := find_syntax_fix(f"{context} {error.problem}", source, column, start):
            message += f"; {fix}"
    return _error(FileRule.SYNTAX, file, Place(line + 1, column + 1), message)
