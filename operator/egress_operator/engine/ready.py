"""Which key is next: urgent before foreground before background, lanes in turn. Pure memory."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

_BACKGROUND_EVERY = 4
"""One pick of so many goes to the background first, so that it never starves."""


class Share(NamedTuple):
    """The keys of one lane that are urgent, or those that are not: what is counted and bounded."""

    lane: Hashable
    urgent: bool


class _Rotation(Generic[K]):
    """Lanes in turn, keys of a lane in the order of their coming."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, dict[K, None]] = {}

    def add(self, lane: Hashable, key: K) -> None:
        self._lanes.setdefault(lane, {})[key] = None

    def discard(self, lane: Hashable, key: K) -> None:
        keys = self._lanes[lane]
        del keys[key]
        if not keys:
            del self._lanes[lane]

    def pop(self, may: Callable[[Hashable], bool]) -> K:
        """Take the next key of the first lane that may. Raises LookupError when none may."""
        for lane, keys in self._lanes.items():
            if may(lane):
                key = next(iter(keys))
                del keys[key]
                del self._lanes[lane]
                if keys:
                    self._lanes[lane] = keys
                return key
        raise LookupError

    def __bool__(self) -> bool:
        return bool(self._lanes)


class _Row(IntEnum):
    URGENT = 0
    FRONT = 1
    BACK = 2


class ReadySet(Generic[K]):
    """Each key is in it once: among the urgent ones, in the foreground or in the background."""

    def __init__(
        self, lane: Callable[[K], Hashable], is_urgent: Callable[[K], bool] = lambda _: False
    ) -> None:
        self._lane = lane
        self._is_urgent = is_urgent
        self._rotations: dict[_Row, _Rotation[K]] = {row: _Rotation() for row in _Row}
        self._places: dict[K, tuple[_Row, Hashable]] = {}
        """The row and the lane in which each waits; by now another one may be right for it."""
        self._picks = 0

    def add(self, key: K, *, background: bool) -> None:
        """Put it at its lane's end; one that waits in the background may be moved to the front."""
        row = _Row.URGENT if self._is_urgent(key) else _Row.BACK if background else _Row.FRONT
        present = self._places.get(key)
        if present is not None and present[0] <= row:
            return
        self.discard(key)
        lane = self._lane(key)
        self._places[key] = row, lane
        self._rotations[row].add(lane, key)

    def discard(self, key: K) -> None:
        """Take it out if it is there."""
        place = self._places.pop(key, None)
        if place is not None:
            row, lane = place
            self._rotations[row].discard(lane, key)

    def pop(self, may: Callable[[Share], bool] = lambda _: True, *, urgent_only: bool = False) -> K:
        """Take out the next one whose share may. Raises LookupError when none may.

        It takes as long as there are lanes that may not: `urgent_only` leaves all others out.
        """
        key = self._choose(may, urgent_only=urgent_only)
        del self._places[key]
        return key

    def _choose(self, may: Callable[[Share], bool], *, urgent_only: bool) -> K:
        with suppress(LookupError):
            return self._rotations[_Row.URGENT].pop(lambda lane: may(Share(lane, urgent=True)))
        if urgent_only:
            raise LookupError
        first, second = self._rotations[_Row.FRONT], self._rotations[_Row.BACK]
        if (self._picks + 1) % _BACKGROUND_EVERY == 0:
            first, second = second, first
        try:
            key = first.pop(lambda lane: may(Share(lane, urgent=False)))
        except LookupError:
            key = second.pop(lambda lane: may(Share(lane, urgent=False)))
        self._picks += 1
        return key

    def __contains__(self, key: K) -> bool:
        """Tell whether the key is in it."""
        return key in self._places

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._places)
