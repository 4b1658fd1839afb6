"""What the rest of the operator asks of the API server, whoever carries it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol

from egress_operator.engine.resource import Resource

JsonObject = dict[str, Any]


class PatchType(StrEnum):
    """The content type of a PATCH: what its body means."""

    MERGE = "application/merge-patch+json"
    """RFC 7386. With `metadata.uid` in it, it changes that incarnation only; but not on a status
    subresource, where the API server drops what a patch says of the metadata."""
    JSON = "application/json-patch+json"
    """RFC 6902, a list of operations. It replaces whole subtrees, what others added included. With
    a `test` of `/metadata/uid` it changes that incarnation only, on subresources too."""
    APPLY = "application/apply-patch+yaml"
    """Server-side apply, forced. It removes only what an earlier *apply* of our field manager set:
    what our POST set, or others added, stays (a port of a ServiceEntry, say). So what was made by
    POST is replaced by a JSON patch."""


class Transport(Protocol):
    """The calls of reflectors and reconcilers. All of them raise ApiError and nothing else.

    A DELETE that names a uid and meets another incarnation raises ApiError 409; a JSON patch that
    tests the uid raises one whose `is_failed_test` holds.
    """

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """Read one object; ApiError 404 when it is absent."""
        ...

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """POST; the object as stored. ApiError 409 `AlreadyExists` when the name is taken."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: object,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> JsonObject:
        """PATCH; the object as stored. An apply creates an absent object, the others raise 404."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = ""
    ) -> JsonObject | None:
        """DELETE in the background. None: it is gone. An object: it waits for its finalizers.

        An object that was gone before raises ApiError 404.
        """
        ...

    async def list_page(
        self, resource: Resource, *, namespace: str = "", limit: int = 500, token: str = ""
    ) -> JsonObject:
        """One page of a consistent LIST, `items` always a list; `metadata.continue`: next token."""
        ...

    async def serves(self, resource: Resource) -> bool:
        """Ask discovery whether the resource exists; False only when it surely does not."""
        ...

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        resource_version: str,
        timeout_seconds: int,
    ) -> AbstractAsyncContextManager[AsyncIterator[JsonObject]]:
        """Open a watch with bookmarks; the iterator gives events `{type, object}`.

        Entering waits for the answer's head. The iterator ends when the server ends the watch in
        order; a line that is not an event, or a stream that breaks off, raises ApiError 0.
        """
        ...


RequestHook = Callable[[str, Resource, int], None]
"""Called once per request with (verb, resource, code). Verbs are those of RBAC: get, create, patch,
delete, list, watch. Code 0: no answer. Discovery is not counted."""
