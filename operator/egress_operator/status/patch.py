"""The one write of a status: a JSON patch of the status subresource."""

from collections.abc import Mapping
from typing import Any


def build_status_patch(
    uid: str, previous: Mapping[str, Any] | None, status: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Build the RFC 6902 patch that makes the whole status `status`, None when it is so. Pure.

    The API server refuses it for a policy that was made anew under the same name: it tests the uid.
    A `metadata.uid` in a merge patch does not do that on a status subresource, where whatever a
    patch says of the metadata is dropped before it is looked at.
    """
    if (previous or {}) == status:
        return None
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]
