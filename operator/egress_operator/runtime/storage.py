"""kopf's storages, refused: nothing is ever kept in users' objects, nor in memory of each.

They also save work. kopf computes the essence of an object for each event, to compare it with
a stored one; here there is none, so the copy of the whole object that it takes is left out. Nor is
an annotation read that anybody may write.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from egress_operator.runtime.slim import ResourceMemories, ResourceMemory, kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """No last handled state, and no essence to compare with it."""

    def build(
        self,
        *,
        body: kopf.Body,
        extra_fields: Iterable[Any] | None = None,
    ) -> kopf.BodyEssence:
        """Return nothing: no handler asks for what differs."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        """Return nothing: none is stored."""
        del body

    def store(self, **_: object) -> NoReturn:
        """Refuse to write into an object."""
        _refuse()


class NoProgress(kopf.ProgressStorage):
    """No progress of handlers."""

    def fetch(self, **_: object) -> None:
        """Return nothing: none is stored."""

    def store(self, **_: object) -> NoReturn:
        """Refuse to write into an object."""
        _refuse()

    def purge(self, **_: object) -> None:
        """Do nothing: there is nothing to remove."""

    def touch(self, **_: object) -> NoReturn:
        """Refuse to write into an object."""
        _refuse()

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Return the essence as it is: no progress is in it."""
        return essence


class NoMemories(ResourceMemories):
    """No memory of each object: it serves handlers that are not used, and costs over 1 KiB."""

    async def recall(
        self,
        raw_body: kopf.RawBody,
        *,
        memobase: Any | None = None,  # noqa: ANN401 - kopf's
        noticed_by_listing: bool = False,
        ephemeral: bool = True,
    ) -> ResourceMemory:
        """Make a memory for the one event."""
        del ephemeral
        return await super().recall(
            raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True
        )


def _refuse() -> NoReturn:
    raise RuntimeError("a handler of kopf that stores something in users' objects is registered")
