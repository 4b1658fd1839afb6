"""What is said when a document does not even have the shape of the models. Only on errors."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from egress_operator.api.character import describe_characters, find_strange
from egress_operator.api.duration import find_duration
from egress_operator.api.model import Model
from egress_operator.api.rule import QUOTE_LIMIT, Finding, quote
from egress_operator.api.word import PROTOCOL_WORDS

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
_SELECTOR_FIELDS = ("matchLabels", "matchExpressions")
"""What selectors elsewhere have; as keys in labels they have no text behind them."""
_SHOWN = 3
"""Ports that a message writes out."""
_DURATION = re.compile(r': "[0-9]+(h|m|s|ms)"$')
_DIGITS = re.compile("[0-9]{1,5}")
_RANGE = re.compile(r"[0-9]+\s*[-:]\s*[0-9]*")
_ALL_PORTS = ("*", "all", "any")
_NO_RANGES = (
    "ranges of ports are not supported; write each port as an entry of its own, 16 at most, and "
    "more in another destination with the same hosts"
)
_MEANINGS = {
    "protocol": "TLS when the application opens TLS itself, as for https://; HTTP, HTTP2 or GRPC "
    "in plain text; TCP for all else that begins in plain text, such as PostgreSQL and SMTP; UDP "
    "needs a NetworkPolicy, because Istio's proxies carry only TCP"
}
"""What to choose, for fields whose values are not known to everybody."""
_USUAL: Mapping[int, str] = {80: "HTTP", 8080: "HTTP", 443: "TLS", 8443: "TLS"}
"""What is usually spoken on a port, where that is clear."""


def explain_unknown_field(model: type[Model], loc: Loc) -> Finding:
    """Name the field that was probably meant: a similar one here, or the same one elsewhere."""
    name = str(loc[-1])
    holder = _find_model(model, loc[:-1])
    own = list(get_fields(holder))
    if strange := find_strange(name):
        what = f"the name of the field {quote(name)} holds {describe_characters(strange)}"
        return Finding(what, fix="remove it, and indent with spaces")
    if word := _find_word(model, loc):
        return Finding(f"there is no field {_show(name)} here", fix=word)
    if close := _find_sibling(model, holder, name):
        return Finding(f"there is no field {_show(name)}", fix=f"did you mean {close}?")
    if path := _find_path(holder, name):
        return Finding(f"there is no field {_show(name)} here", fix=f"did you mean {path}?")
    return _explain_field_elsewhere(model, loc, own)


def _explain_field_elsewhere(model: type[Model], loc: Loc, own: list[str]) -> Finding:
    """Name the fields here, or the place around this one where alone the field is."""
    name, fix = str(loc[-1]), f"the fields here are {', '.join(own)}"
    paths = [path for path in _list_paths(model, "") if path.split(".")[-1] == name]
    if len(paths) != 1:
        return Finding(f"there is no field {_show(name)}", fix=fix)
    if _is_around(paths[0], loc):
        return Finding(f"there is no field {_show(name)} here", fix=f"it belongs to {paths[0]}")
    fix = f"{fix}; {_show(name)} is a field of {paths[0].rpartition('.')[0]}"
    return Finding(f"there is no field {_show(name)} here", fix=fix)


def find_meant(model: type[Model], loc: Loc) -> Loc | None:
    """Return where the field beside it is that an unknown one was meant as, None without one."""
    name, holder = str(loc[-1]), _find_model(model, loc[:-1])
    close = "" if _find_word(model, loc) else _find_sibling(model, holder, name)
    return (*loc[:-1], close) if close else None


def refuse_unknown_field(loc: Loc) -> Finding:
    """Name an unknown field alone, without a look for the one that was meant."""
    return Finding(f"there is no field {_show(loc[-1])}", fix="remove it")


def explain_missing(model: type[Model], loc: Loc, holder: object) -> Finding:
    """Show the missing field with its example; `holder` is the object that lacks it."""
    name = str(loc[-1])
    example = _get_example(model, loc)
    if name == "protocol" and isinstance(holder, Mapping):
        number = holder.get("number")
        usual = _USUAL.get(number) if isinstance(number, int) else None
        if usual is None:
            return Finding(f"{name} is missing", fix=f"add it: {_MEANINGS[name]}")
        example = f"{name}: {usual}"
    return Finding(f"{_show(name)} is missing", fix=f"add it, such as {example}" if example else "")


def explain_null(loc: Loc) -> Finding:
    """Name a key with nothing behind it."""
    return Finding(f"{_show(loc[-1])} has no value")


def _show(key: str | int) -> str:
    """Show a key as it is, or in quotes where it would break the line."""
    text = str(key)
    return text if text.isprintable() else quote(text)


def explain_unknown_value(field: object, value: object, expected: str) -> Finding:
    """Show what is allowed; `expected` is pydantic's list of an enum: `'HTTP', 'TLS' or 'TCP'`."""
    allowed = expected.replace(" or ", ", ").replace("'", "").split(", ")
    text = value if isinstance(value, str) else ""
    if field == "protocol" and (word := PROTOCOL_WORDS.get(text.upper())):
        return Finding(f"{quote(value)} is not allowed here", fix=word.format(text.upper()))
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
    if expected == "a whole number" and (fix := _fix_number(loc[-1], value)):
        return Finding(what, fix=fix)
    if expected == "text" and loc[-1] in _SELECTOR_FIELDS:
        fix = f"write the labels directly into {loc[-2]}, such as {_get_example(model, loc[:-1])}"
        return Finding(what, fix=fix)
    if expected == "text" and _DURATION.search(example) and type(value) is int and value > 0:
        meant = find_duration(f"{value}s")
        example = f'{loc[-1]}: "{meant}"' if meant else example
        return Finding(what, fix=f"write it with its unit, such as {example}")
    if not example and expected == "text" and isinstance(value, bool | int | float):
        return Finding(what, fix=f'write it in quotes: "{json.dumps(value)}"')
    return Finding(what, fix=f"write it such as {example}" if example else "")


def _fix_number(name: str | int, value: object) -> str:
    """Tell how to write what is in the place of a number: it without quotes, or several ports."""
    text = value.strip() if isinstance(value, str) else ""
    if _DIGITS.fullmatch(text):
        key = "" if isinstance(name, int) else f"{name}: "
        return f"write it without quotes: {key}{int(text)}"
    if name != "number":
        return ""
    if _RANGE.fullmatch(text) or text.lower() in _ALL_PORTS:
        return _NO_RANGES
    numbers = value if isinstance(value, list) else re.split(r"[,;\s]+", text)
    if len(numbers) > 1 and all(_DIGITS.fullmatch(str(number)) for number in numbers):
        entries = ", ".join(f"{{number: {number}, protocol: ...}}" for number in numbers[:_SHOWN])
        return f"write each port as an entry of its own: ports: [{entries}]"
    return ""


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
    return _list_models(model, loc)[-1]


def _list_models(model: type[Model], loc: Loc) -> list[type[Model]]:
    """List the models on the way to a place, the outermost first."""
    models = [model]
    for part in loc:
        if isinstance(part, str):
            models.append(get_fields(models[-1]).get(part) or models[-1])
    return models


def _find_word(model: type[Model], loc: Loc) -> str:
    """Find what to write in place of a field that other APIs have, empty without it."""
    name, models = str(loc[-1]), _list_models(model, loc[:-1])
    tables = [models[-1].absent_fields, *(outer.words for outer in models)]
    return next((table[name] for table in tables if name in table), "")


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
    """Find the outermost field of this name anywhere inside the model, empty without one."""
    paths = (path for path in _list_paths(model, "") if path.split(".")[-1] == name)
    return min(paths, key=lambda path: path.count("."), default="")


def _is_around(path: str, loc: Loc) -> bool:
    """Whether the object with this field holds the place: another one may mean something else."""
    holder = path.split(".")[:-1]
    return holder == [part for part in loc if isinstance(part, str)][: len(holder)]


def _get_example(model: type[Model], loc: Loc, item: object = None) -> str:
    """`name: value` in YAML's flow style; for an item of a list, the list's example.

    `item`: what the user wrote where a list belongs; it is put into one if that is then right.
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
                short = len(own) <= QUOTE_LIMIT and own.isprintable()
                example = items if short and _is_right(holder, name, items) else example
            return f"{names[-1]}: {json.dumps(example, ensure_ascii=False)}"
    return ""


def _is_right(holder: type[Model], name: str, value: object) -> bool:
    """Whether a field of the holder may have this value, by the rules of its own type."""
    try:
        _build_reader(holder, name).validate_python(value)
    except ValidationError:
        return False
    return True


@cache
def _build_reader(holder: type[Model], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(holder.model_fields[name].rebuild_annotation())


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
