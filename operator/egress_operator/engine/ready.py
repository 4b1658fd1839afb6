"""Which key is next: round robin over lanes, foreground before background. Pure memory."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_BACKGROUND_EVERY = 4
"""One pick of so many goes to the background first, so that it never starves."""


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


class ReadySet(Generic[K]):
    """Each key is in it once, in the foreground or in the background."""

    def __init__(self, lane: Callable[[K], Hashable]) -> None:
        self._lane = lane
        self._rows: tuple[_Rotation[K], _Rotation[K]] = (_Rotation(), _Rotation())
        self._is_background: dict[K, bool] = {}
        self._picks = 0

    def add(self, key: K, *, background: bool) -> None:
        """Put it at its lane's end; one that waits in the background may be moved to the front."""
        present = self._is_background.get(key)
        if present is not None:
            if background or not present:
                return
            self.discard(key)
        self._is_background[key] = background
        self._rows[background].add(self._lane(key), key)

    def discard(self, key: K) -> None:
        """Take it out if it is there."""
        present = self._is_background.pop(key, None)
        if present is not None:
            self._rows[present].discard(self._lane(key), key)

    def pop(self, may: Callable[[Hashable], bool] = lambda _: True) -> K:
        """Take the next one out whose lane may. Raises LookupError when there is none."""
        front, back = self._rows
        is_their_turn = (self._picks + 1) % _BACKGROUND_EVERY == 0
        first, second = (back, front) if is_their_turn else (front, back)
        try:
            key = first.pop(may)
        except LookupError:
            key = second.pop(may)
        self._picks += 1
        del self._is_background[key]
        return key

    def __contains__(self, key: K) -> bool:
        """Tell whether the key is in it."""
        return key in self._is_background

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._is_background)
