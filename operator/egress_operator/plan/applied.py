"""Keys without a value that `kubectl apply` leaves out, found in the annotation that it writes.

A key with nothing behind it is an error (EG033). But client-side `kubectl apply` sends it as
"remove this field" when the object exists, and since 1.31 leaves it out of a new object. It writes
the file into an annotation all the same, as tools that are built on it do.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from egress_operator.plan.source import Place, read_annotation

APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MOST_NULLS = 16
"""At most so many are reported."""
MOST_CHARACTERS = 317
"""Of a key: a label has no more. A longer one is no field, and the API server drops it."""
_NULL = ":null"


def find_nulls(metadata: Mapping[str, Any], spec: object) -> tuple[Place, ...]:
    """Return the places in `spec` of keys that were applied without a value. Pure; linear.

    Those that the object has now, by another client, are left out.
    """
    text = read_annotation(metadata, APPLIED_ANNOTATION)
    if _NULL not in text:
        return ()
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ()
    found = _list_nulls(applied.get("spec"), spec) if isinstance(applied, dict) else ()
    return tuple(islice(found, MOST_NULLS))


def _list_nulls(applied: object, there: object) -> Iterator[Place]:
    """Give the places of nulls in `applied` for which nothing is in `there`."""
    pairs: list[tuple[Place, object, object]] = [((), applied, there)]
    while pairs:
        place, one, other = pairs.pop()
        if isinstance(one, dict):
            held = other if isinstance(other, dict) else {}
            for key, value in one.items():
                if key in held:
                    pairs.append(((*place, key), value, held[key]))
                elif value is None and len(key) <= MOST_CHARACTERS:
                    yield (*place, key)
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            both = enumerate(zip(one, other, strict=True))
            pairs += (((*place, index), *pair) for index, pair in both)
