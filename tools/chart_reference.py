"""docs/reference/chart.md: the chart's values with type, default and comment, and its rights."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):")
_INTRODUCTION = """\
# Values of the chart

Made from `charts/egress-operator/values.yaml` by `make gen`. Do not edit.
A key that is not listed is refused. `null` takes a default away.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One key of values.yaml."""

    path: tuple[str, ...]
    comment: str
    type: str
    default: Any
    group: bool
    """Whether the rows below it list its keys."""


def parse_values(text: str, values: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Row]:
    """Return the rows of values.yaml, down to where the schema leaves the keys to the user.

    `text` and `values` are the same file, raw and loaded. Raises KeyError for a key without schema.
    """
    rows = []
    for path, comment in _comments(text):
        parent = _find(schema, path[:-1])
        if parent is None or "properties" not in parent:
            continue
        node = parent["properties"][path[-1]]
        default: Any = values
        for key in path:
            default = default[key]
        rows.append(Row(path, comment, _type(node), default, "properties" in node))
    return rows


def build_reference(rows: list[Row], roles: list[dict[str, Any]]) -> str:
    """Build the whole page as Markdown."""
    parts = [_INTRODUCTION, _table([row for row in rows if len(row.path) == 1 and not row.group])]
    for group in (row for row in rows if row.group):
        inner = [row for row in rows if row.path[: len(group.path)] == group.path and row != group]
        comment = f"{group.comment}\n\n" if group.comment else ""
        parts.append(f"## {'.'.join(group.path)}\n\n{comment}{_table(inner)}")
    parts.append(_grants(roles))
    return "\n".join(parts)


def _comments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each key that stands on a line of its own, with the comment lines right above it."""
    stack: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("# "):
            comment.append(line.strip()[2:])
            continue
        if match := _KEY.match(line):
            stack[len(match["indent"]) // 2 :] = [match["key"]]
            yield tuple(stack), " ".join(comment)
        comment = []


def _find(schema: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any] | None:
    node: Mapping[str, Any] | None = schema
    for key in path:
        node = (node or {}).get("properties", {}).get(key)
    return node


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        words = [item for item in node["enum"] if isinstance(item, str)]
        return " \\| ".join(f"`{word}`" for word in words)
    kind = node["type"]
    kinds = [kind] if isinstance(kind, str) else kind
    return next(name for name in kinds if name != "null")


def _table(rows: list[Row]) -> str:
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for row in rows:
        default = json.dumps(row.default, ensure_ascii=False)
        comment = row.comment.replace("|", "\\|")
        lines.append(f"| `{'.'.join(row.path)}` | {row.type} | `{default}` | {comment} |")
    return "\n".join(lines) + "\n"


def _grants(roles: list[dict[str, Any]]) -> str:
    lines = [
        "## What the operator may do",
        "",
        "With the default values. Nothing else: no Secrets, no pods, no wildcard.",
        "",
        "| where | API group | resource | only | verbs |",
        "|---|---|---|---|---|",
    ]
    for role in roles:
        where = role["metadata"].get("namespace")
        for rule in role["rules"]:
            group = rule["apiGroups"][0] or "core"
            only = ", ".join(rule.get("resourceNames", ()))
            lines.extend(
                f"| {f'`{where}`' if where else 'everywhere'} | {group} | {resource} | {only} | "
                f"{', '.join(rule['verbs'])} |"
                for resource in rule["resources"]
            )
    return "\n".join(lines) + "\n"
