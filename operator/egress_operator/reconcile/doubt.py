"""Objects of which it is not known how they stand, so that they are read before the next step."""

from collections.abc import Iterable

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.set_key import SetKey


class Doubts:
    """These objects, by set. Each call costs what the set has, however many others there are."""

    def __init__(self) -> None:
        self._sets: dict[ObjectKey, SetKey] = {}
        self._objects: dict[SetKey, dict[ObjectKey, None]] = {}

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._sets)

    def add(self, set_key: SetKey, keys: Iterable[ObjectKey]) -> None:
        """Note objects of a set."""
        for key in keys:
            self.discard(key)
            self._sets[key] = set_key
            self._objects.setdefault(set_key, {})[key] = None

    def discard(self, key: ObjectKey) -> None:
        """Know how an object stands."""
        set_key = self._sets.pop(key, None)
        if set_key is not None:
            objects = self._objects[set_key]
            del objects[key]
            if not objects:
                del self._objects[set_key]

    def find(self, set_key: SetKey, needs: Iterable[ObjectKey]) -> list[ObjectKey]:
        """Name the objects of a set, and those of other sets that it needs."""
        own = self._objects.get(set_key, {})
        return [*own, *sorted(key for key in needs if key in self._sets and key not in own)]

    def forget(self, set_key: SetKey) -> None:
        """Forget a set, and its objects."""
        for key in self._objects.pop(set_key, ()):
            del self._sets[key]
