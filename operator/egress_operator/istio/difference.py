"""The field of the API in which two settings differ."""

from dataclasses import MISSING, Field, fields, is_dataclass, replace
from typing import Any

API = "api"
"""In the metadata of a dataclass's field: its path below the parent's in the API, as text. Left
out: the name itself, in the API's spelling. Empty: the parent's path names it."""
FORM = "form"
"""In the metadata of a dataclass's field: a function that returns one form for all of its values
that mean the same, such as a list in another order. Left out: no two values do. What is written
stays as the policy has it."""


def find_difference(one: Any, other: Any, path: str = "") -> str:  # noqa: ANN401 - any settings
    """Name the first field in which two settings differ, as its path in the API. Pure.

    `one` and `other` are values of a field, or dataclasses of one type; one of them may be None,
    which is like a dataclass of defaults if there is such a thing. Returns an empty text for
    settings that mean the same. Every field that counts in the comparison of its dataclass is found
    here, so that a new field needs no change.
    """
    if one is other or one == other:
        return ""
    is_left_out = one is None or other is None
    one, other = _default(one, other), _default(other, one)
    if type(one) is not type(other) or not is_dataclass(one):
        return path
    for field in fields(one):
        if field.compare:
            name = field.metadata.get(API, _spell(field.name))
            below = ".".join(part for part in (path, name) if part)
            values = _form(field, one), _form(field, other)
            if found := find_difference(*values, below):
                return found
    return path if is_left_out else ""


def mean_default(value: object) -> dict[str, Any]:
    """Return metadata for a field of which this value means what leaving it out does."""
    return {FORM: lambda given: None if given in (value, None, "") else given}


def _form(field: Field[Any], settings: Any) -> Any:  # noqa: ANN401 - any settings
    value = getattr(settings, field.name)
    return field.metadata[FORM](value) if FORM in field.metadata else value


def _default(value: Any, like: Any) -> Any:  # noqa: ANN401 - any settings
    """Return `value`; for None the defaults of the type of `like`, if all its fields have one."""
    if value is not None or not is_dataclass(like) or isinstance(like, type):
        return value
    if any(field.default is MISSING for field in fields(like)):
        return None
    return replace(like, **{field.name: field.default for field in fields(like)})


def _spell(name: str) -> str:
    """Spell the name of an attribute as the API does: `per_try_timeout` is `perTryTimeout`."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
