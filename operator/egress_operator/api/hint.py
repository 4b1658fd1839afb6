"""What is said when a document does not even have the shape of the models. Only on errors."""

import json
import re
from collections.abc import Iterator
from typing import get_args

from egress_operator.api.character import describe_characters, find_strange
from egress_operator.api.model import Model
from egress_operator.api.rule import QUOTE_LIMIT, Finding, quote

Loc = tuple[int | str, ...]

_SIMILAR = 0.65
"""From here on two names are similar: retry and retries are, exportTo and ports are not."""
_VERY_SIMILAR = 0.85
"""From here on one is taken for a misspelling of the other, even where both exist."""

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "tuple_type": "a list",
    "model_type": "an object",
    "dict_type": "an object",
}
_MEANINGS = {
    "protocol": "TLS when the application opens TLS itself, as for https://; HTTP, HTTP2 or GRPC "
    "in plain text; TCP for all else that begins in plain text, such as PostgreSQL and SMTP; UDP "
    "needs a NetworkPolicy, because Istio's proxies carry only TCP"
}
"""What to choose, for fields whose values are not known to everybody."""


def explain_unknown_field(model: type[Model], loc: Loc) -> Finding:
    """Name the field that was probably meant: a similar one here, or the same one elsewhere."""
    name = str(loc[-1])
    holder = _find_model(model, loc[:-1])
    own = list(get_fields(holder))
    if strange := find_strange(name):
        what = f"the name of the field {quote(name)} holds {describe_characters(strange)}"
        return Finding(what, fix="remove it, and indent with spaces")
    if name in holder.absent_fields:
        return Finding(f"there is no field {name} here", fix=holder.absent_fields[name])
    if close := _find_sibling(model, holder, name):
        return Finding(f"there is no field {name}", fix=f"did you mean {close}?")
    if path := _find_path(holder, name):
        return Finding(f"there is no field {name} here", fix=f"did you mean {path}?")
    if path := _find_path(model, name):
        return Finding(f"there is no field {name} here", fix=f"it belongs to {path}")
    return Finding(f"there is no field {name}", fix=f"the fields here are {', '.join(own)}")


def find_meant(model: type[Model], loc: Loc) -> Loc | None:
    """Return where the field beside it is that an unknown one was meant as, None without one."""
    name, holder = str(loc[-1]), _find_model(model, loc[:-1])
    close = "" if name in holder.absent_fields else _find_sibling(model, holder, name)
    return (*loc[:-1], close) if close else None


def refuse_unknown_field(loc: Loc) -> Finding:
    """Name an unknown field alone, without a look for the one that was meant."""
    return Finding(f"there is no field {loc[-1]}", fix="remove it")


def explain_missing(model: type[Model], loc: Loc) -> Finding:
    """Show the missing field with its example."""
    name = str(loc[-1])
    example = _get_example(model, loc)
    return Finding(f"{name} is missing", fix=f"add it, such as {example}" if example else "")


def explain_unknown_value(field: object, value: object, expected: str) -> Finding:
    """Show what is allowed; `expected` is pydantic's list of an enum: `'HTTP', 'TLS' or 'TCP'`."""
    allowed = expected.replace(" or ", ", ").replace("'", "").split(", ")
    text = value if isinstance(value, str) else ""
    close = _find_close(text, allowed)
    fix = f"did you mean {close}? Allowed are" if close else "write one of"
    fix = f"{fix} {', '.join(allowed)}"
    if field in _MEANINGS and text.upper() not in allowed:
        fix = f"{fix}: {_MEANINGS[str(field)]}"
    return Finding(f"{quote(value)} is not allowed here", fix=fix)


def explain_type(model: type[Model], loc: Loc, kind: str, value: object) -> Finding:
    """Say what was expected and what is there, with the example of the field."""
    expected = _EXPECTED.get(kind, "another type")
    what = f"expected {expected}, got {_name_type(value)}"
    example = _get_example(model, loc, value if kind == "tuple_type" else None)
    if value is None:
        return Finding(what, fix="remove the entry, or give it a value")
    if not example and expected == "text" and isinstance(value, bool | int | float):
        return Finding(what, fix=f'write it in quotes: "{json.dumps(value)}"')
    return Finding(what, fix=f"write it such as {example}" if example else "")


def get_fields(model: type[Model]) -> dict[str, type[Model] | None]:
    """Return the fields of a model by their API names, with the model that each one holds."""
    return {
        info.alias or name: _find_held(info.annotation) for name, info in model.model_fields.items()
    }


def _find_held(annotation: object) -> type[Model] | None:
    """Find the model inside `Model | None`, `tuple[Model, ...]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((held for arg in get_args(annotation) if (held := _find_held(arg))), None)


def _find_model(model: type[Model], loc: Loc) -> type[Model]:
    for part in loc:
        if isinstance(part, str):
            model = get_fields(model).get(part) or model
    return model


def _list_paths(model: type[Model], prefix: str) -> Iterator[str]:
    for name, held in get_fields(model).items():
        yield f"{prefix}{name}"
        if held is not None:
            yield from _list_paths(held, f"{prefix}{name}.")


def _find_sibling(model: type[Model], holder: type[Model], name: str) -> str:
    """Find the field of the holder that was meant: very similar, or similar to it alone."""
    own = list(get_fields(holder))
    if close := _find_close(name, own, _VERY_SIMILAR):
        return close
    return "" if _find_path(model, name) else _find_close(name, own)


def _find_path(model: type[Model], name: str) -> str:
    """Find the first field of this name anywhere inside the model, empty without one."""
    return next((path for path in _list_paths(model, "") if path.split(".")[-1] == name), "")


def _get_example(model: type[Model], loc: Loc, item: object = None) -> str:
    """`name: value` in YAML's flow style; for an item of a list, the list's example.

    `item`: what the user wrote where a list belongs; it is put into one if it can be an item.
    """
    names = [part for part in loc if isinstance(part, str)]
    if not names:
        return ""
    holder = _find_model(model, tuple(names[:-1]))
    for name, info in holder.model_fields.items():
        if (info.alias or name) == names[-1] and info.examples:
            example = info.examples[0]
            if isinstance(example, list) and type(item) is type(example[0]):
                items = re.split(r"[,\s]+", item.strip(" ,")) if isinstance(item, str) else [item]
                own = json.dumps(items, ensure_ascii=False)
                example = items if len(own) <= QUOTE_LIMIT and own.isprintable() else example
            return f"{names[-1]}: {json.dumps(example, ensure_ascii=False)}"
    return ""


def _find_close(name: str, candidates: list[str], cutoff: float = _SIMILAR) -> str:
    """Find the candidate that is most similar when letter case is left aside, else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only when there is an error

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else ""


def _name_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {quote(value)}"
    return "a list" if isinstance(value, list | tuple) else "an object"
