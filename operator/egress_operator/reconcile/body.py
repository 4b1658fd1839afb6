"""Parts of an object of a kind of ours, as the API server sent it. Nothing here raises.

The API server stores anything while a CRD has no schema, and shows it as it is when there is one.
The metadata are sound all the same: it repairs them when it reads an object.
"""

from collections.abc import Mapping
from typing import Any

_CONDITION_FIELDS = ("type", "status", "reason", "message", "lastTransitionTime")


def read_mapping(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return the mapping in a field, empty when anything else stands there. Pure."""
    value = body.get(field)
    return value if isinstance(value, dict) else {}


def read_status(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the status, empty when it, or a condition, is not as the schema has it. Pure.

    An empty one differs from what the operator says, so that it is written anew as a whole.
    """
    status = read_mapping(body, "status")
    conditions = status.get("conditions", [])
    is_sound = isinstance(conditions, list) and all(map(_is_condition, conditions))
    return status if is_sound else {}


def _is_condition(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(field), str) for field in _CONDITION_FIELDS
    )
