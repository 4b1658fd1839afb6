"""What somebody else has seen of a resource, and our own watch is yet to bring. Pure memory."""


class Hearsay:
    """At most two versions: the one that is waited for, and the newest one told since."""

    def __init__(self) -> None:
        self._awaited = (0, 0.0)
        self._newest = (0, 0.0)

    def note(self, version: int, now: float) -> None:
        """Know that an event of this version was seen, now."""
        if version > self._newest[0]:
            self._newest = (version, now)

    def find_oldest(self, highest: int) -> tuple[int, float] | None:
        """Return what is waited for and since when; None when nothing is.

        `highest` is the newest version that our watch has brought.
        """
        if self._awaited[0] <= highest:
            self._awaited = self._newest
        return self._awaited if self._awaited[0] > highest else None

    def clear(self) -> None:
        """Forget everything: a list has come in."""
        self._awaited = self._newest = (0, 0.0)
