"""Applies what a message suggests, where that is mechanical."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from egress_operator.diagnostic import Diagnostic

Document = Any
Edit = Callable[[Any, Any], None]
"""Takes what holds the field (an object or a list), and the key or the index of the field."""

_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[([0-9]+)\]|\.?([-_A-Za-z0-9]+)')
_OR = re.compile(r"; or\b")
_END = r"(?=$|[,;:] |: )"
_WRITE = re.compile(rf"(?:^|; |, or |; or )write (?:only the host |only the address )?(\S+?){_END}")
_MEANT = re.compile(r"did you mean ([-.\w]+)\?")
_ADD = re.compile(
    r"(?:add it|write it(?: without quotes| with its unit)?):?(?:, such as| such as)? (\w+: .+)$"
)
_REMOVE = re.compile(r"(?:^|; |or )remove (?:it|the key|the entry|one of them)(?=$|[,;:] |: )")
_MOST = re.compile(r"give at most ([0-9]+)")
_WITH_ALL = "with all around it that is empty then"
_BOUND = re.compile(r"write ([0-9]+) or (?:more|less)$")
_FLOW = re.compile(r"write ({[^}]*})")
_ENTRIES = re.compile(r"write each as an entry of its own: (.+)$")


def list_cures(document: Document, diagnostic: Diagnostic) -> list[Document]:
    """Return the document as each suggestion that is mechanical would have it."""
    cures = []
    for edit in _list_edits(diagnostic):
        cure = copy.deepcopy(document)
        holder, key = _find_holder(cure, diagnostic.path)
        edit(holder, key)
        cures.append(_drop_empty(cure) if _WITH_ALL in diagnostic.message else cure)
    return cures


def count_ways_out(fix: str) -> int:
    """Count the alternatives of a fix that stand beside each other, each after a semicolon."""
    return 1 + len(_OR.findall(fix))


def _drop_empty(value: Any) -> Any:  # noqa: ANN401
    """Return a document without the objects and lists that are empty."""
    if isinstance(value, dict):
        kept = {key: _drop_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for entry in value if (item := _drop_empty(entry)) not in ({}, [])]
    return value


def _find_holder(document: Document, path: str) -> tuple[Any, Any]:
    steps: list[str | int] = [
        int(step[2]) if step[2] else step[1] or step[3] for step in _STEP.finditer(path)
    ]
    holder = document
    for step in steps[:-1]:
        holder = holder[step]
    return holder, steps[-1]


def _list_edits(diagnostic: Diagnostic) -> Iterator[Edit]:
    fix = diagnostic.message.partition("; ")[2]
    if found := _ENTRIES.search(fix):
        yield _replace(found[1].split(", "))
    elif diagnostic.code == "EG001" and (found := _MEANT.search(fix)):
        yield _rename(found[1])
    elif diagnostic.code == "EG005" and (found := _MEANT.search(fix)):
        yield _set(found[1])
    elif found := _ADD.search(fix):
        yield _write(yaml.safe_load(found[1]))
    elif (found := _MOST.search(fix)) and "entries" in diagnostic.message:
        yield _shorten(int(found[1]))
    elif found := _FLOW.search(fix):
        yield _set(yaml.safe_load(found[1]))
    elif found := _BOUND.search(fix):
        yield _set(int(found[1]))
    elif diagnostic.code != "EG001" and (found := _WRITE.search(fix)):
        yield _set(_read(found[1]))
    if _REMOVE.search(fix):
        yield lambda holder, key: holder.__delitem__(key)


def _set(value: Document) -> Edit:
    return lambda holder, key: holder.__setitem__(key, value)


def _replace(items: list[str]) -> Edit:
    """Return the edit that puts several items in the place of one."""
    return lambda holder, key: holder.__setitem__(slice(key, key + 1), items)


def _rename(path: str) -> Edit:
    *outer, last = path.split(".")

    def edit(holder: Any, key: Any) -> None:  # noqa: ANN401 - a document
        value = holder.pop(key)
        for step in outer:
            holder = holder.setdefault(step, {})
        holder[last] = value

    return edit


def _write(entry: dict[str, Any]) -> Edit:
    """Return the edit that writes `name: value`; at an item of a list, an item of the value."""
    ((_, value),) = entry.items()

    def edit(holder: Any, key: Any) -> None:  # noqa: ANN401
        holder[key] = value[0] if isinstance(key, int) and isinstance(value, list) else value

    return edit


def _shorten(most: int) -> Edit:
    def edit(holder: Any, key: Any) -> None:  # noqa: ANN401
        value = holder[key]
        holder[key] = dict(list(value.items())[:most]) if isinstance(value, dict) else value[:most]

    return edit


def _read(text: str) -> str | int:
    return int(text) if text.isdecimal() else text
