"""What the command line says about its input: one finding, one line."""

import re
from enum import StrEnum
from typing import NamedTuple

from egress_operator.diagnostic import Level

MAX_MESSAGE = 600
"""Characters of a message or name; what is longer comes from a value, not from a rule."""

_NOT_PRINTABLE = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


class FileRule(StrEnum):
    """Rules about the files themselves, which the API server never sees.

    Codes are stable and lie beside those of `rules.toml`: `EG9xx`.
    """

    SYNTAX = "EG901"
    """Not readable, not UTF-8, or not YAML or JSON."""
    LIMIT = "EG902"
    """Larger, deeper or longer than any real policy."""
    DUPLICATE_KEY = "EG903"
    AMBIGUOUS_VALUE = "EG904"
    """Bare text that YAML readers turn into different values."""
    UNSUPPORTED = "EG905"
    """Tags, merge keys, keys that are not text."""
    NOT_AN_OBJECT = "EG906"
    """No Kubernetes object, or a kind or version of our group that does not exist."""
    TWICE = "EG907"
    """The same object in two places of the input."""
    NO_GATEWAY = "EG908"
    """A policy names a gateway, and the input holds none: nobody can judge the name."""
    NOTHING = "EG909"
    """Nothing to judge in what was named, as when kubectl is given no objects to apply."""
    TENANT_S_OWN = "EG910"
    """The pods of an EgressGateway are in the namespace of a tenant."""
    PAUSED = "EG912"
    """A policy is paused: nothing is made of it."""


FILE_RULES: dict[FileRule, tuple[str, str]] = {
    FileRule.SYNTAX: (
        "The input cannot be read as YAML or JSON",
        "Fix the text at the position given; quote values that begin with *, @, ` or %.",
    ),
    FileRule.LIMIT: (
        "The input is larger than any real set of policies",
        "Split it into more documents or files, and write out what aliases stand for.",
    ),
    FileRule.DUPLICATE_KEY: (
        "A key is written twice in one mapping",
        "Keep one of the two: readers disagree on which one counts.",
    ),
    FileRule.AMBIGUOUS_VALUE: (
        "A bare value is not read as it is written",
        "Put it in quotes if text is meant; write plain decimal numbers, true or false otherwise.",
    ),
    FileRule.UNSUPPORTED: (
        "The document uses a part of YAML that Kubernetes objects do not need",
        "Write the fields out; put text in quotes.",
    ),
    FileRule.NOT_AN_OBJECT: (
        "The document is not a Kubernetes object that can be read here",
        "Give apiVersion, kind and metadata.name as the message says.",
    ),
    FileRule.TWICE: (
        "The same object is given twice",
        "Keep one of the two documents, or give one of them another name.",
    ),
    FileRule.NO_GATEWAY: (
        "The policy names a gateway, but no EgressGateway is in the input (lint only warns)",
        "Add the gateway's file with -f.",
    ),
    FileRule.NOTHING: (
        "The input holds no EgressPolicy and no EgressGateway, or a file that was named is empty",
        "Name the files or directories that hold policies.",
    ),
    FileRule.TENANT_S_OWN: (
        "The namespace of an EgressGateway's pods is that of a tenant too (a warning)",
        "Run the gateway in a namespace in which only the platform team may write.",
    ),
    FileRule.PAUSED: (
        "The policy is paused, so nothing is rendered for it (a warning)",
        "Remove the annotation egress-operator.io/paused, or leave it as it is.",
    ),
}
"""What is wrong, and how to fix it, by rule."""

UNREADABLE = frozenset({FileRule.SYNTAX, FileRule.LIMIT})
"""Rules after which the rest of the file is unknown: exit code 2 instead of 1."""


class Finding(NamedTuple):
    """One thing that is wrong. Lines and columns count from 1; 0 means not known.

    Sorted by file and position.
    """

    file: str
    line: int
    column: int
    rule: str
    message: str
    level: Level = Level.ERROR
    fix: str = ""
    object: str = ""
    """`namespace/name` of the policy, empty when the finding is about the file."""
    path: str = ""
    """The field, as in `spec.destinations[0].hosts[1]`."""

    @property
    def where(self) -> str:
        """`file:line:column`, as compilers write it and editors read it."""
        return ":".join([one_line(self.file), *(str(n) for n in (self.line, self.column) if n)])


def build_file_finding(
    rule: FileRule, file: str, line: int, column: int, message: str, fix: str = ""
) -> Finding:
    """Return an error of the file itself, with the fix of its rule unless it has a better one."""
    return Finding(file, line, column, rule.value, message, fix=fix or FILE_RULES[rule][1])


class InputError(Exception):
    """The rest of this file cannot be read; `finding` says where and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def one_line(text: str) -> str:
    """Return `text` as one printable line of bounded length.

    Names and values come from files: they must not break a line or steer the terminal.
    """
    if not text.isprintable():
        text = re.sub(_NOT_PRINTABLE, lambda match: ascii(match[0])[1:-1], text)
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 1]}…"


def quote(text: str, limit: int = 60) -> str:
    """Return `text` in quotes for a message, shortened to `limit` characters.

    What cannot be seen is spelled out: the text may differ from the right one in nothing else.
    """
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    shown = (char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return f'"{"".join(shown)}"'
