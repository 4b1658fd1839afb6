"""What a user wrote and no API server saw: keys without a value, in the notes of `kubectl apply`.

A key with nothing behind it is an error (EG033). But client-side `kubectl apply` sends it as
"remove this field" when the object exists, and since 1.31 leaves it out of a new object. It writes
the file into an annotation all the same, as tools that are built on it do.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MOST_NULLS = 16
"""So many are told of."""
_NULL = ":null"


def find_nulls(metadata: Mapping[str, Any], spec: object) -> tuple[str, ...]:
    """Return the paths in `spec` of keys that were applied without a value. Pure; linear.

    Those that the object has now, by another client, are left out.
    """
    annotations = metadata.get("annotations")
    text = annotations.get(APPLIED_ANNOTATION) if isinstance(annotations, Mapping) else None
    if not isinstance(text, str) or _NULL not in text:
        return ()
    try:
        applied = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ()
    found = _list_nulls(applied.get("spec"), spec) if isinstance(applied, dict) else ()
    return tuple(sorted(found)[:MOST_NULLS])


def _list_nulls(applied: object, there: object) -> Iterator[str]:
    """Give the paths of nulls in `applied` for which nothing is in `there`, in any order."""
    pairs: list[tuple[str, object, object]] = [("spec", applied, there)]
    while pairs:
        path, one, other = pairs.pop()
        if isinstance(one, dict):
            held = other if isinstance(other, dict) else {}
            for key, value in one.items():
                if value is None and key not in held:
                    yield f"{path}.{key}"
                elif key in held:
                    pairs.append((f"{path}.{key}", value, held[key]))
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            pairs += (
                (f"{path}[{index}]", *pair)
                for index, pair in enumerate(zip(one, other, strict=True))
            )
