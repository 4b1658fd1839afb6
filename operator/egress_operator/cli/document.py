"""Strict YAML: text in, documents with the place of every value out, and what is wrong with them.

The reader works on parser events and never on a loaded tree, so that hostile input is refused
before it costs anything: nested brackets crash the C loader and exhaust the stack of the Python
one, merge keys and aliases multiply. Bounds: `MAX_DEPTH`, `MAX_ALIASES`, `MAX_DOCUMENT` (with
aliases written out; the items of a List count one by one). JSON is read as the YAML that it is.
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

MAX_DEPTH = 64
MAX_ALIASES = 64
MAX_DOCUMENT = 1 << 20
"""Characters of one document, or of one item of a List."""
MAX_DOCUMENTS = 20_000
"""Documents of one file, empty ones too."""
MAX_WORD = 80
"""Characters of a word shown in a message."""
MAX_FAULTS = 50
"""Faults named per document; a text with more is something else than a policy."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOT_YAML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_SURROGATES = re.compile(
    r"\\\\|\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)
_STARRED = re.compile(r"\*[^\s,\]}]*")


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

    Raises InputError if it is not UTF-8 or holds characters or directives that are refused
    (libyaml's time for `%TAG` lines grows with the square of their number).
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _error(FileRule.SYNTAX, file, 1, 1, "the file is UTF-16: save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        byte = data[error.start]
        message = f"byte 0x{byte:02x} is not UTF-8: save the file as UTF-8"
        raise _error(FileRule.SYNTAX, file, line, column, message) from None
    if match := _NOT_YAML.search(text):
        character = f"U+{ord(match[0]):04X}"
        message = f"the control character {character} is not allowed: remove it"
        raise _error_at(file, text, match.start(), message)
    if text.lstrip().startswith(("{", "[")):
        text = _SURROGATES.sub(_join_surrogates, text)
    if match := _DIRECTIVE.search(text):
        message = "a line that begins with % is a directive, which is not supported: remove it"
        raise _error_at(file, text, match.start(), message)
    return text


def _join_surrogates(match: re.Match[str]) -> str:
    # JSON writes characters beyond U+FFFF as two escapes, YAML as one.
    if match["high"] is None:
        return match[0]
    both = bytes.fromhex(match["high"] + match["low"]).decode("utf-16-be")
    return f"\\U{ord(both):08x}"


def parse_documents(text: str, file: str) -> Iterator[Document]:
    """Yield the documents of `text`, empty ones left out.

    Raises InputError at the first place from which the rest cannot be read (syntax, bounds); the
    documents before it were yielded.
    """
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    count = 0
    try:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                count += 1
                if count > MAX_DOCUMENTS:
                    message = f"more than {MAX_DOCUMENTS} documents in one file: split it"
                    raise _error(FileRule.LIMIT, file, _find_place(event).line, 1, message)
                document = _Reader(file, text, events).read(event)
                if document is not None:
                    yield document
    except yaml.MarkedYAMLError as error:
        raise _explain(error, text, file) from None
    except yaml.YAMLError as error:
        raise _error(FileRule.SYNTAX, file, 0, 0, f"not YAML: {error}") from None


@dataclass(slots=True)
class _Reader:
    """Reads one document from the events. Mutable: counters and anchors of this document."""

    file: str
    text: str
    events: Iterator[Any]
    start: int = 0
    """Index of the first character of what counts against MAX_DOCUMENT."""
    extra: int = 0
    """Characters that aliases stand for."""
    aliases: int = 0
    anchors: dict[str, tuple[Any, Place, int]] = field(default_factory=dict)
    """Anchored value, its place, and its size in characters."""
    faults: list[Finding] = field(default_factory=list)
    end: int = 0
    """Index after the last event."""

    def read(self, start: Any) -> Document | None:  # noqa: ANN401  PyYAML's events are untyped
        """Return the document that begins with the event `start`, None if it is empty."""
        self._begin(start)
        event = next(self.events)
        value, place = self._value(event, 1)
        next(self.events)
        if value is None and not self.faults:
            return None
        return Document(self.file, value, place, tuple(self.faults))

    def _value(self, event: Any, depth: int) -> tuple[Any, Place]:  # noqa: ANN401
        place = _find_place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place)
        self._check_size(event)
        if depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} levels deep: no Kubernetes object needs that"
            raise self._stop(FileRule.LIMIT, place, message)
        if event.tag is not None:
            self._fault(
                FileRule.UNSUPPORTED,
                place,
                f"the tag {quote(event.tag)} is not supported: remove it and quote the value",
            )
        extra = self.extra
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value, children = self._sequence(depth)
            place = place._replace(children=children)
        else:
            value, entries = self._mapping(depth)
            place = place._replace(children=entries)
        if event.anchor is not None:
            self._anchor(event, value, place, extra)
        return value, place

    def _anchor(self, event: Any, value: Any, place: Place, extra: int) -> None:  # noqa: ANN401
        # Known only from here on: an alias inside its own anchor would be an endless object.
        size = self.end - event.start_mark.index + self.extra - extra
        self.anchors[event.anchor] = (value, place, max(size, 1))

    def _begin(self, event: Any) -> None:  # noqa: ANN401
        self.start, self.extra = event.start_mark.index, 0

    def _finish(self, event: Any) -> None:  # noqa: ANN401
        self.end = event.end_mark.index

    def _check_size(self, event: Any) -> None:  # noqa: ANN401
        self.end = event.end_mark.index
        if self.end - self.start + self.extra > MAX_DOCUMENT:
            message = (
                "the document is larger than 1 MiB, which the API server would refuse: split it"
            )
            raise self._stop(FileRule.LIMIT, _find_place(event), message)

    def _alias(self, event: Any, place: Place) -> tuple[Any, Place]:  # noqa: ANN401
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            message = f"more than {MAX_ALIASES} aliases in one document: write the values out"
            raise self._stop(FileRule.LIMIT, place, message)
        if event.anchor not in self.anchors:
            raise self._stop(FileRule.SYNTAX, place, _describe_star(f"*{event.anchor}"))
        value, target, size = self.anchors[event.anchor]
        self.extra += size
        self._check_size(event)
        return value, place._replace(children=target.children)

    def _scalar(self, event: Any, place: Place) -> Any:  # noqa: ANN401
        if not event.implicit[0] or event.tag is not None:
            return event.value
        try:
            return parse_plain(event.value)
        except AmbiguousScalarError as error:
            self._fault(FileRule.AMBIGUOUS_VALUE, place, str(error))
            return event.value

    def _sequence(self, depth: int, *, items: bool = False) -> tuple[list[Any], list[Place]]:
        """`items`: these are the items of a List, each of which is bounded by itself."""
        values: list[Any] = []
        places: list[Place] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                self._finish(event)
                break
            if items:
                self._begin(event)
            value, place = self._value(event, depth + 1)
            values.append(value)
            places.append(place)
        return values, places

    def _mapping(self, depth: int) -> tuple[dict[str, Any], dict[str, Place]]:
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                self._finish(event)
                break
            key, at = self._key(event, depth)
            if key in values:
                self._fault(
                    FileRule.DUPLICATE_KEY,
                    at,
                    f"the key {quote(key)} is already in line {places[key].line}: keep one",
                )
            value, place = self._entry(key, next(self.events), depth)
            values[key] = value
            places[key] = at._replace(children=place.children)
        return values, places

    def _entry(self, key: str, event: Any, depth: int) -> tuple[Any, Place]:  # noqa: ANN401
        if depth == 1 and key == "items" and isinstance(event, yaml.SequenceStartEvent):
            place = _find_place(event)
            values, places = self._sequence(depth + 1, items=True)
            return values, place._replace(children=places)
        return self._value(event, depth + 1)

    def _key(self, event: Any, depth: int) -> tuple[str, Place]:  # noqa: ANN401
        value, place = self._value(event, depth + 1)
        plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        if plain and event.value == "<<":
            message = "the merge key << is not supported: write the fields out"
            self._fault(FileRule.UNSUPPORTED, place, message)
        elif not isinstance(value, str):
            shown = quote(event.value) if isinstance(event, yaml.ScalarEvent) else "this"
            message = f"a key must be text, {shown} is not: put it in quotes"
            self._fault(FileRule.UNSUPPORTED, place, message)
            value = str(getattr(event, "value", f"?{place.line}:{place.column}"))
        return value, place

    def _fault(self, rule: FileRule, place: Place, message: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            found = build_file_finding(rule, self.file, place.line, place.column, message)
            self.faults.append(found)

    def _stop(self, rule: FileRule, place: Place, message: str) -> InputError:
        return _error(rule, self.file, place.line, place.column, message)


def _find_place(event: Any) -> Place:  # noqa: ANN401
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _error(rule: FileRule, file: str, line: int, column: int, message: str) -> InputError:
    return InputError(build_file_finding(rule, file, line, column, message))


def _error_at(file: str, text: str, index: int, message: str) -> InputError:
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return _error(FileRule.SYNTAX, file, line, column, message)


def _describe_star(word: str) -> str:
    word = word if len(word) <= MAX_WORD else f"{word[:MAX_WORD]}…"
    return f'YAML takes {word} for a reference to another place: write "{word}" in quotes'


def _explain(error: yaml.MarkedYAMLError, text: str, file: str) -> InputError:
    """Return the parser's complaint in the user's words, at the place that must be mended."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem, context = error.problem or "", error.context or ""
    source = text.split("\n", line + 1)[line] if text.count("\n") >= line else ""
    character = source[column : column + 1]
    if "alias" in context and (star := _STARRED.search(source, max(column - 1, 0))):
        column, message = star.start(), _describe_star(star[0])
    elif character == "\t":
        message = "a tab cannot indent YAML: use spaces"
    elif "cannot start any token" in problem:
        message = f"a value cannot begin with {character}: put it in quotes"
    elif "mapping values are not allowed" in problem:
        message = 'a second ": " in one value, or a wrong indentation: quote the value or indent it'
    elif "could not find expected ':'" in problem:
        message = 'the line before is no "key: value" and no "- item": add the colon or quote it'
    elif "escape" in problem:
        message = "a backslash in double quotes begins an escape: use single quotes, or write two"
    elif error.context_mark and "unexpected end of stream" in problem:
        line, column = error.context_mark.line, error.context_mark.column
        message = "a quote is opened here and never closed"
    elif error.context_mark and "flow" in context:
        line, column = error.context_mark.line, error.context_mark.column
        message = "a bracket is opened here, and what follows does not close it: check , ] and }"
    elif "did not find expected" in problem or "expected '<" in problem:
        message = "this does not fit the lines above it: check the indentation and the quotes"
    else:
        message = f"not YAML: {', '.join(filter(None, (context, problem)))}"
    return _error(FileRule.SYNTAX, file, line + 1, column + 1, message)
