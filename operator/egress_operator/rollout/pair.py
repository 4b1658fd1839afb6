"""The rollout: all that `next_step` looks at, what is wanted beside what is there."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import GATEWAY_KIND, Desired, Observed, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import SetKey, TenantSet, find_scope
from egress_operator.rollout.write import Create, Delete, Replace, Write


@dataclass(frozen=True, slots=True)
class RolloutContext:
    """What `next_step` reads beside the set itself."""

    held: frozenset[Owner]
    """`Plan.held`."""
    live: frozenset[Owner]
    """`Plan.live`."""
    outside: Collection[Observed] = ()
    """The objects of other sets that `Desired.after` names, as far as they are there and ours."""
    referenced: frozenset[str] = frozenset()
    """For a tenant of a gateway: everything that other sets of its namespace refer to."""
    gone: frozenset[Owner] = frozenset()
    """Owners that surely are not there any more, though objects name them."""
    orphans: frozenset[ObjectKey] = frozenset()
    """Our objects that have had no owner for a while: those that nothing claims are deleted."""
    expired: frozenset[Owner] = frozenset()
    """Policies whose time is over, of the plan. In a set where something is of one of them nothing
    is held: what it had cannot be told from what others keep."""
    refused: Collection[Write] = ()
    """Of the set of a gateway: writes that the API server refuses, and that are not tried now."""
    heirs: Mapping[ObjectKey, Collection[Owner]] = field(default_factory=dict)
    """`Delete.heirs` of objects that were deleted to be made anew, until the set is as wanted."""


def find_references(observed: Iterable[Observed], key: TenantSet) -> frozenset[str]:
    """Return what our objects of the namespace refer to, but for those of `key`. Pure.

    What stands at a gateway refers to its label: the tenant's own objects tell that it does.
    """
    return frozenset(
        ref
        for item in observed
        if item.set_key is not None
        and item.set_key != key
        and find_scope(item.set_key) == key.namespace
        for ref in (*item.facts.refs, item.place)
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """Times in seconds of one clock, and `settle`, a duration."""

    now: float
    started_at: float
    """The start of the process: an object whose last write is unknown counts as written then."""
    written_at: Mapping[ObjectKey, float]
    """When an object was last written or deleted, by us or as seen."""
    settle: float

    def compute_wait(self, keys: Iterable[ObjectKey]) -> float:
        """Return how long the last write of one of these is still settling; at most 0: no more."""
        last = max((self.written_at.get(key, self.started_at) for key in keys), default=None)
        return 0.0 if last is None else last + self.settle - self.now


@dataclass(frozen=True, slots=True)
class ObjectPair:
    """A place for one object of the set: what is wanted, what is there, and who will own it."""

    key: ObjectKey
    desired: Desired | None
    observed: Observed | None
    """Ours, else None."""
    owners: tuple[Owner, ...]
    """Those that claim it, and those on hold that own it already, or did before it was deleted to
    be made anew."""
    squatted: bool
    """Wanted, and its name is somebody else's."""
    prunable: bool
    """Ours, not wanted, with an owner that is live or surely gone, or with none at all for a while;
    and none on hold."""
    is_spent: bool = False
    """Ours, and only one that is made anew can be as it is wanted: it needs an address, and istiod
    can give it none. Until then its ports would catch every connection on them."""

    def build_write(self, desired: Desired | None) -> Create | Replace | None:
        """Return the write that makes the object `desired`, None when it is so already."""
        there = self.observed
        if desired is None or self.squatted:
            return None
        if there is None:
            return Create(desired, self.owners)
        if is_as_desired(there, desired, self.owners):
            return None
        return Replace(desired, self.owners, there.uid, there.maps, there.strays)

    def build_delete(self) -> Delete | None:
        """Return the deletion of an object that we may delete, None for another one."""
        if self.observed is None or not self.prunable:
            return None
        return Delete(self.key, self.observed.uid)

    def is_done(self) -> bool:
        """Whether it is as desired, or nothing that we may delete when it is not wanted."""
        if self.desired is None:
            return not self.prunable
        return not self.squatted and self.build_write(self.desired) is None


@dataclass(frozen=True, slots=True)
class Rollout:
    """All pairs of a set, by their part in it."""

    object_set: ObjectSet
    service_entry: ObjectPair
    """The ServiceEntry of the host."""
    virtual_service: ObjectPair
    """The VirtualService of the host's clients."""
    others: tuple[ObjectPair, ...]
    """Everything else, by key."""
    around: RolloutContext
    clock: Clock
    has_expired: bool = False
    """Whether something that stands is of a policy whose time is over."""

    def select(self, *kinds: Kind) -> tuple[ObjectPair, ...]:
        """Return the pairs of these kinds among `others`."""
        return tuple(pair for pair in self.others if pair.key.kind in kinds)

    def list_squatted(self) -> tuple[ObjectKey, ...]:
        """Name the desired objects whose name somebody else's object has."""
        pairs = (self.service_entry, self.virtual_service, *self.others)
        return tuple(pair.key for pair in pairs if pair.squatted)


def build_rollout(
    object_set: ObjectSet, observed: Collection[Observed], around: RolloutContext, clock: Clock
) -> Rollout:
    """Lay out what is wanted and what is there. Pure; the arguments are those of `next_step`.

    Where the set is closing nothing has to settle.
    """
    wanted = {desired.key: desired for desired in object_set.objects}
    there = {
        item.key: item for item in observed if item.key in wanted or item.set_key == object_set.key
    }
    ours = {
        key: item
        for key, item in there.items()
        if _is_of(item, object_set.key, wanted=key in wanted)
    }
    has_expired = any(not item.owners.isdisjoint(around.expired) for item in ours.values())
    if has_expired:
        around = replace(around, held=frozenset())
    frozen = any(not item.owners.isdisjoint(around.held) for item in ours.values())

    def build(key: ObjectKey) -> ObjectPair:
        desired = wanted.get(key)
        squatted = desired is not None and key in there and key not in ours
        return _build_pair(key, desired, ours.get(key), around, squatted=squatted, frozen=frozen)

    entry, route = object_set.service_entry_key, object_set.virtual_service_key
    behind = sorted((wanted.keys() | there.keys()) - {entry, route})
    return Rollout(
        object_set,
        build(entry),
        build(route),
        tuple(build(key) for key in behind),
        around,
        replace(clock, settle=0.0) if object_set.is_closing else clock,
        has_expired,
    )


def _is_of(item: Observed, key: SetKey, *, wanted: bool) -> bool:
    """Whether an object under a name of a set is of it, or was and is to be again."""
    return item.set_key == key or (wanted and item.is_damaged)


def _build_pair(
    key: ObjectKey,
    desired: Desired | None,
    ours: Observed | None,
    around: RolloutContext,
    *,
    squatted: bool,
    frozen: bool,
) -> ObjectPair:
    """Join what is wanted and what is there; `frozen` as in `_is_prunable`."""
    before = around.heirs.get(key, ()) if ours is None else ours.owners
    kept = around.held.intersection(before)
    return ObjectPair(
        key=key,
        desired=_keep_address(desired, ours),
        observed=ours,
        owners=() if desired is None else tuple(sorted({*desired.owners, *kept})),
        squatted=squatted,
        prunable=desired is None and ours is not None and _is_prunable(ours, around, frozen=frozen),
        is_spent=desired is not None
        and bool(desired.allocate)
        and ours is not None
        and ours.has_lost_address,
    )


def _is_prunable(ours: Observed, around: RolloutContext, *, frozen: bool) -> bool:
    """Whether an object of ours that is not wanted may be deleted.

    `frozen`: a policy on hold owns something of the set, so what the gateway owns stays as well.
    """
    if frozen and any(owner.kind == GATEWAY_KIND for owner in ours.owners):
        return False
    owners = ours.owners
    released = (
        not owners.isdisjoint(around.live)
        or not owners.isdisjoint(around.gone)
        or ours.key in around.orphans
    )
    return released and owners.isdisjoint(around.held)


def _keep_address(desired: Desired | None, there: Observed | None) -> Desired | None:
    """Return `desired`, with an address if the object there may have one already.

    An address that istiod has taken back it cannot give again (`Observed.has_lost_address`). A TCP
    port that is added later would then catch every connection on that port.
    """
    if desired is None or there is None or not there.allocate or desired.allocate:
        return desired
    return replace(desired, allocate=True)
