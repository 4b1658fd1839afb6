"""Fields of the API as paths, and objects with one field changed. Pure."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from egress_operator.api.model import Model
from tools.schema import Schema, build_plain_schema

Object = dict[str, Any]
Place = tuple[str | int, ...]
"""Where a value is in an object: keys and positions."""


def list_fields(model: type[Model]) -> dict[str, Schema]:
    """Map every field below a spec to its schema; a list's items are `field[]`."""
    return dict(_list_below(build_plain_schema(model), "spec"))


def _list_below(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        yield inner, field
        if field.get("type") == "array":
            yield from _list_below(field["items"], f"{inner}[]")
        else:
            yield from _list_below(field, inner)


def find_places(document: Object, path: str) -> list[Place]:
    """Find where an object has a field."""
    return list(_find_below(document, tuple(path.split(".")), ()))


def _find_below(value: object, names: tuple[str, ...], place: Place) -> Iterator[Place]:
    if not names:
        yield place
        return
    name, is_list = names[0].removesuffix("[]"), names[0].endswith("[]")
    if not isinstance(value, dict) or name not in value:
        return
    inner = value[name]
    if not is_list:
        yield from _find_below(inner, names[1:], (*place, name))
        return
    for index, item in enumerate(inner):
        yield from _find_below(item, names[1:], (*place, name, index))


def build_variants(
    document: Object, place: Place, schema: Schema, names: Iterable[str] = ()
) -> Iterator[Object]:
    """Make objects that differ in one field: without it, and with other values of its type.

    `names`: texts that mean something where the object is, such as those of gateways. Names in the
    object itself do, too.

    A field whose presence is all that it says, as `sourceIP: {}`, may be the only one that its
    parents have: then they go with it.
    """
    yield _change(document, place, None)
    if schema.get("type") == "object" and not _read(document, place):
        for end in range(len(place) - 1, 0, -1):
            yield _change(document, place[:end], None)
    value = _read(document, place)
    known = (*names, *_list_names(document)) if isinstance(value, str) else ()
    for other in (*_list_others(value, schema), *known):
        if other != value:
            yield _change(document, place, other)


def _list_names(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        if "name" in value:
            yield value["name"]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _list_names(item)


def _read(document: Object, place: Place) -> Any:  # noqa: ANN401 - any value of YAML
    value: Any = document
    for step in place:
        value = value[step]
    return value


def _change(document: Object, place: Place, value: object) -> Object:
    """Copy an object with another value at a place; None takes it away."""
    changed = copy.deepcopy(document)
    inside = _read(changed, place[:-1])
    if value is None:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return changed


def _list_others(value: object, schema: Schema) -> Iterator[object]:
    """List other values that may be valid in place of this one."""
    yield from (other for other in schema.get("enum", ()) if other != value)
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, value * 2)
        case str():
            yield from (f"{value}-b", f"b{value}", f"1{value}", f"{value}/b")
        case [first, *rest]:
            yield rest
            yield from ([other, *rest] for other in _list_others(first, schema.get("items", {})))
        case {}:
            for key, inner in value.items():
                yield {f"{key}-b" if name == key else name: item for name, item in value.items()}
                for other in _list_others(inner, {}):
                    yield {**value, key: other}
        case _:
            return
