"""Which writes of a set put right what somebody else has changed, and how often that is done."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Desired
from egress_operator.istio.object_set import ObjectSet
from egress_operator.reconcile.budget import Budget
from egress_operator.rollout.write import Delete, Write

DRIFT_BURST = 20.0
"""Steps of one set that may put drift right at once."""


@dataclass(slots=True)
class Drift:
    """Tells repairs from changes in one set: a repair was written before, and is due again.

    So it is while the plan changes too: somebody may fight for one object while a tenant edits
    others all the time.
    """

    _done: ObjectSet | None = None
    """The set as it was when it was last settled."""
    _is_changed: bool = True
    """Whether the plan has changed since then."""
    _lacking: frozenset[ObjectKey] = frozenset()
    """Objects of it that could not be written then."""
    _written: dict[ObjectKey, Write] | None = None
    """The last write of each object since then, if the API server took it."""
    _budget: Budget | None = None
    """None while there was no drift."""

    def note_change(self) -> None:
        """Record that the plan has changed."""
        self._is_changed = True

    def note_written(self, write: Write) -> None:
        """Record that the API server has taken a write."""
        if self._written is None:
            self._written = {}
        self._written[write.key] = write

    def note_settled(self, object_set: ObjectSet, lacking: frozenset[ObjectKey]) -> None:
        """Record that everything stands as desired, but for `lacking`, which cannot be written."""
        self._done, self._lacking = object_set, lacking
        self._is_changed, self._written = False, None

    def find_repairs(self, object_set: ObjectSet, writes: Iterable[Write]) -> frozenset[Write]:
        """Return those of the next writes of a set that put right what somebody else changed.

        In a set that the plan has not changed these are all writes, whatever the rollout makes on
        its way; in another, those that were made before, or that make what stood there.
        """
        if not self._is_changed and self._done == object_set:
            return frozenset(write for write in writes if write.key not in self._lacking)
        done = () if self._done is None else _list_desired(self._done)
        wanted = {item.key: item for item in done if item.key not in self._lacking}
        written = self._written or {}
        return frozenset(
            write
            for write in writes
            if (
                _is_same(written[write.key], write)
                if write.key in written
                else _makes(write, wanted.get(write.key))
            )
        )

    def take(self, now: float) -> float:
        """Return the seconds until drift may be put right; 0: now. `now`: monotonic seconds."""
        if self._budget is None:
            self._budget = Budget(DRIFT_BURST)
        return self._budget.take(now)

    def find_wait(self, now: float) -> float:
        """Return the seconds until the set counts as left alone; 0: nobody fights for it."""
        return 0.0 if self._budget is None else self._budget.find_wait(now)


def _list_desired(object_set: ObjectSet) -> tuple[Desired, ...]:
    return object_set.objects if object_set.access is None else object_set.access.desired


def _makes(write: Write, desired: Desired | None) -> bool:
    """Whether a write makes an object as desired; it may keep an address, and owners on hold."""
    if isinstance(write, Delete) or desired is None:
        return False
    is_same = replace(write.desired, allocate=desired.allocate) == desired
    return is_same and set(write.owners).issuperset(desired.owners)


def _is_same(one: Write, other: Write) -> bool:
    """Whether two writes of one object leave the same there."""
    if isinstance(one, Delete):
        return isinstance(other, Delete)
    return not isinstance(other, Delete) and (
        (one.desired, one.owners) == (other.desired, other.owners)
    )
