"""Which fields the API allows together, found by trying. Pure."""

import copy
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import combinations, product
from typing import Any

from egress_operator.api.check import check_spec
from field.example import FIELDS, POLICIES, read_policies
from field.path import Object, Place, find_places

SPEC = "spec"
MOST_EXAMPLES, MOST_FORMS = 16, 4
"""Of a field."""
MOST_DELETED = 2
"""Fields that are taken out of what two forms make together, until the API takes it."""

Pair = tuple[str, str]


def list_pairs() -> list[Pair]:
    """List all pairs of fields of policies but those of a field and one inside it."""
    return [
        (one, other)
        for one, other in combinations(FIELDS[POLICIES], 2)
        if other not in list_parents(one) and one not in list_parents(other)
    ]


def list_parents(path: str) -> list[str]:
    """List the fields that a field is in, the innermost first."""
    parts = path.split(".")
    ends = range(len(parts) - 1, 1, -1)
    return [".".join(parts[:end]).removesuffix("[]") for end in ends]


def list_scopes(spec: Object) -> Iterator[frozenset[str]]:
    """Name, for each destination of a policy, the fields that it and the policy have."""
    own = {key: value for key, value in spec.items() if key != "destinations"}
    for destination in spec["destinations"]:
        yield frozenset(_list_paths({**own, "destinations": [destination]}, SPEC))


def _list_paths(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if (field := f"{path}.{name}") in FIELDS[POLICIES]:
                yield field
                yield from _list_paths(inner, field)
    for item in value if isinstance(value, list) else ():
        yield from _list_paths(item, f"{path}[]")


@cache
def is_allowed(one: str, other: str) -> bool:
    """Whether some valid policy has both fields, in one destination where both are of it.

    What the fields are in must be allowed together before they can be.
    """
    above = [*product(list_parents(one)[:1], [other]), *product([one], list_parents(other)[:1])]
    for pair in above:
        if pair[0] != pair[1] and not _is_inside(*pair) and not is_allowed(*pair):
            return False
    return any(_try_together(one, other))


def _is_inside(one: str, other: str) -> bool:
    return one in list_parents(other) or other in list_parents(one)


def _try_together(one: str, other: str) -> Iterator[bool]:
    """Try what valid policies with one of the fields make together, then with less of it."""
    merged: list[Object] = []
    for left, right in product(_list_forms(one), _list_forms(other)):
        for spec in (_merge(left, right), _merge(right, left)):
            if spec not in merged:
                merged.append(spec)
    yield from map(_is_valid, merged)
    for spec in merged:
        yield from map(_is_valid, _list_smaller(spec, (one, other), MOST_DELETED))


def _is_valid(spec: Object) -> bool:
    return check_spec(spec)[0] is not None


@cache
def _list_forms(path: str) -> list[Object]:
    """List small valid specs that have a field, made from the shortest golden cases."""
    forms: list[Object] = []
    for spec in sorted(_list_examples(path), key=_measure)[:MOST_EXAMPLES]:
        form = _shrink(spec, path)
        if form not in forms:
            forms.append(form)
    return sorted(forms, key=_measure)[:MOST_FORMS]


def _measure(spec: Object) -> int:
    return len(str(spec))


def _list_examples(path: str) -> Iterator[Object]:
    """List the specs with a field, each with one destination, which has it if it is of one."""
    for policy in read_policies():
        for destination in policy["spec"]["destinations"]:
            spec = {**policy["spec"], "destinations": [destination]}
            if find_places({SPEC: spec}, path) and _is_valid(spec):
                yield spec


def _shrink(spec: Object, path: str) -> Object:
    """Take out of a spec what neither a field nor the API needs."""
    index = 0
    while index < len(places := list(_list_places(spec, ()))):
        smaller = _delete(spec, places[index])
        if find_places({SPEC: smaller}, path) and _is_valid(smaller):
            spec = smaller
        else:
            index += 1
    return spec


def _list_smaller(spec: Object, kept: Collection[str], most: int) -> Iterator[Object]:
    """Take one field out, and `most` at last, but none of those that shall stay."""
    for place in _list_places(spec, ()):
        smaller = _delete(spec, place)
        if all(find_places({SPEC: smaller}, path) for path in kept):
            yield smaller
            if most > 1:
                yield from _list_smaller(smaller, kept, most - 1)


def _list_places(value: object, place: Place) -> Iterator[Place]:
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*place, key)
        yield from _list_places(inner, (*place, key))


def _delete(value: Any, place: Place) -> Any:  # noqa: ANN401 - any value of YAML
    """Copy a value without what is at a place."""
    smaller = copy.copy(value)
    step, *rest = place
    if rest:
        smaller[step] = _delete(value[step], tuple(rest))
    else:
        del smaller[step]
    return smaller


def _merge(first: Any, second: Any) -> Any:  # noqa: ANN401 - any value of YAML
    """Put two specs into one; the first one has its way, and lists go item by item."""
    if isinstance(first, dict) and isinstance(second, dict):
        both = {key: _merge(first[key], second[key]) for key in first if key in second}
        return {**second, **first, **both}
    if isinstance(first, list) and isinstance(second, list):
        merged = [_merge(*items) for items in zip(first, second, strict=False)]
        return merged + first[len(merged) :] + second[len(merged) :]
    return first
