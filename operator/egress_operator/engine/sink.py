"""Where a reflector puts what it sees."""

from typing import Protocol

from egress_operator.engine.transport import JsonObject


class Sink(Protocol):
    """Plain calls in the loop; they must be quick and should not raise.

    A list is `begin`, `upsert` per object, `finish`: what was not upserted is gone. A list that
    fails half-way is not finished; the next one starts with `begin`. Nothing else comes in between.
    """

    def begin(self) -> None:
        """Start a list: it will show the state of this moment or later."""

    def upsert(self, obj: JsonObject) -> None:
        """Take an object as listed, added or modified."""

    def delete(self, obj: JsonObject) -> None:
        """Take a deleted object as it was last; its resourceVersion is that of the deletion."""

    def advance(self, resource_version: str) -> None:
        """Know that everything up to this version was delivered (a bookmark)."""

    def finish(self, resource_version: str) -> None:
        """End the list, complete as of this version; empty when the resource is missing."""
