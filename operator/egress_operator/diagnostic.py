"""The rules that policies and gateways may break, and the value that reports a broken one.

`rules.toml` has the rules: what each is called, what it says, and what the codes mean. Every layer
may read them; this module imports none of the layers.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files

MOST_NAMED = 5
"""Things that a message names; the rest is counted."""


class Scope(StrEnum):
    """Who can judge a rule."""

    SHAPE = "Shape"
    """The CRD (schema and CEL) and Python, with the same verdict."""
    EDIT = "Edit"
    """The CRD alone, when an object is edited: it takes the object as it was before."""
    SETTINGS = "Settings"
    """Python alone: it needs the operator's settings, or only warns. Errors: `Accepted=False`."""
    CLUSTER = "Cluster"
    """The controller: it needs other objects of the cluster."""


class Level(StrEnum):
    """What a diagnostic does to the policy."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `title` says what is wrong in general, `fix` how to fix it.

    A title may begin with "this": a message puts the value there. CEL holds no value, and says both
    as they stand, so they are short and read well together.
    """

    code: str
    scope: Scope
    level: Level
    reason: str
    """The CamelCase reason that conditions and events carry."""
    title: str
    fix: str


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding: `path` is the field, such as `spec.destinations[0].hosts[1]`, or empty."""

    code: str
    path: str
    message: str
    """What is wrong with this value and how to fix it, in one line."""
    fix: str = field(default="", compare=False)
    """The end of the message, if it knows more than the fix of the rule."""


RETIRED = frozenset({"EG052", "EG201", "EG241"})
"""Codes of rules that are gone. No other rule gets them: people's alerts and scripts hold codes."""


@cache
def read_rules() -> Mapping[str, Rule]:
    """Return every rule by its code. The file is read at the first call."""
    table = tomllib.loads((files(__package__) / "rules.toml").read_text("utf-8"))
    return {
        code: Rule(
            code,
            scope,
            Level.WARNING if row.get("warning") else Level.ERROR,
            row["reason"],
            row["title"],
            row["fix"],
        )
        for scope in Scope
        for code, row in table[scope].items()
    }


def find_rule(code: str) -> Rule:
    """Return the rule of this code. Raises KeyError for a code that the table does not have."""
    return read_rules()[code]


def build_message(code: str, what: str = "", fix: str = "", subject: str = "this") -> str:
    """Say what is wrong and how to fix it, in one line: in the words of the rule, or better ones.

    `what` and `fix` know more than the rule; `subject` is what its title calls "this". Pure.
    """
    rule = find_rule(code)
    return f"{what or rule.title.replace('this', subject, 1)}; {fix or rule.fix}"


def build_diagnostic(
    code: str, path: str, what: str = "", fix: str = "", subject: str = "this"
) -> Diagnostic:
    """Build the finding whose message is that of `build_message`. Pure."""
    return Diagnostic(code, path, build_message(code, what, fix, subject), fix)


def name_some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Name the first of these, and count the rest: a message does not grow with them. Pure."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
