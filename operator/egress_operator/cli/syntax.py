"""How to fix text that is not YAML: the commonest mistakes, recognized by their line."""

import re

TEMPLATE_FIX = (
    "if this is a Helm template, render the chart first: helm template CHART | egressctl lint -f -"
)
_ALIGN = "indent the line like the fields that it belongs to"
_CLOSE = "close it with {}, and put values that hold : or , in quotes"
_FIXES = (
    ("escape character", "write the text in single quotes", ""),
    ("quoted scalar", "close the quotes", ""),
    ("flow sequence", _CLOSE.format("]"), ""),
    ("flow mapping", _CLOSE.format("}"), ""),
    (
        "mapping values",
        f"{_ALIGN}, and check that the line above reads name: value, with a space after the colon",
        "put the value in quotes, because YAML reads a colon and a space in it as another field",
    ),
    ("sequence entries", _ALIGN, "begin the list in the next line, or put the value in quotes"),
    (
        "block end|expected key|'-' indicator|document start",
        _ALIGN,
        "put the whole value in quotes; a single quote inside single quotes is written twice",
    ),
    ("expected ':'", "write it as name: value, or indent it as a part of the value above", ""),
)
"""A pattern of the parser's words; how to fix it; and how, when it is inside a value."""


def find_syntax_fix(words: str, line: str, column: int, begin: str = "") -> str:
    """Return how to fix it, empty if the line does not tell. Pure.

    `words`: what the parser says, libyaml or PyYAML. It stopped at `column` of `line`, counted from
    0; `begin` is the line where the value begins that it was reading.
    """
    before, at = line[:column], line[column : column + 1]
    if "{{" in line or "{{" in begin:
        return TEMPLATE_FIX
    if re.match(r" *\t", line):
        return "indent with spaces: YAML does not allow tabs there"
    if "start any token" in words and at:
        return f"put text that begins with {at} in quotes"
    for pattern, fix, inside in _FIXES:
        if re.search(pattern, words):
            return inside if inside and re.search(r"[:-]\s", before) else fix
    return ""
