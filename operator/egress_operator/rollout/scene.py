"""The scene: all that `next_step` looks at, what is wanted beside what is there."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import GATEWAY_KIND, Desired, Observed, Owner
from egress_operator.istio.set_key import SetKey, TenantSet, find_scope
from egress_operator.rollout.write import Create, Delete, Replace


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `next_step` reads beside the group itself."""

    held: frozenset[Owner]
    live: frozenset[Owner]
    """Both of the plan."""
    outside: Collection[Observed] = ()
    """The objects of other groups that `Desired.after` names, as far as they are there and ours."""
    referenced: frozenset[str] = frozenset()
    """For a tenant of a gateway: everything that other groups of its namespace refer to."""
    gone: frozenset[Owner] = frozenset()
    """Owners that surely are not there any more, though objects name them."""
    orphans: frozenset[ObjectKey] = frozenset()
    """Our objects that have had no owner for a while: those that nothing claims are deleted."""


def find_references(observed: Iterable[Observed], key: TenantSet) -> frozenset[str]:
    """Return what our objects of the namespace refer to, but for those of `key`. Pure."""
    return frozenset(
        ref
        for item in observed
        if item.group is not None and item.group != key and find_scope(item.group) == key.namespace
        for ref in item.facts.refs
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
class Slot:
    """A place for one object of the group: what is wanted, what is there, and who will own it."""

    key: ObjectKey
    desired: Desired | None
    observed: Observed | None
    """Ours, else None."""
    owners: tuple[Owner, ...]
    """Those that claim it, and those on hold that own it already."""
    squatted: bool
    """Wanted, and its name is somebody else's."""
    prunable: bool
    """Ours, not wanted, with an owner that is live or surely gone, or with none at all for a while;
    and none on hold."""

    def build_write(self, desired: Desired | None) -> Create | Replace | None:
        """Return the write that makes the object `desired`, None when it is so already."""
        there = self.observed
        if desired is None or self.squatted:
            return None
        if there is None:
            return Create(desired, self.owners)
        if is_as_desired(there, desired, self.owners):
            return None
        return Replace(desired, self.owners, there.uid, there.maps)

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
class Scene:
    """All slots of a group, by their part in it."""

    group: Group
    entry: Slot
    """The ServiceEntry of the host."""
    route: Slot
    """The VirtualService of the host's clients."""
    behind: tuple[Slot, ...]
    """Everything else, by key."""
    around: Surroundings
    clock: Clock

    def select(self, *kinds: Kind) -> tuple[Slot, ...]:
        """Return the slots of these kinds among those behind."""
        return tuple(slot for slot in self.behind if slot.key.kind in kinds)

    def list_squatted(self) -> tuple[ObjectKey, ...]:
        """Name the desired objects whose name somebody else's object has."""
        slots = (self.entry, self.route, *self.behind)
        return tuple(slot.key for slot in slots if slot.squatted)


def build_scene(
    group: Group, observed: Collection[Observed], around: Surroundings, clock: Clock
) -> Scene:
    """Lay out what is wanted and what is there. Pure; the arguments are those of `next_step`.

    Where permission is withdrawn nothing has to settle.
    """
    wanted = {desired.key: desired for desired in group.objects}
    there = {item.key: item for item in observed if item.key in wanted or item.group == group.key}
    ours = {
        key: item for key, item in there.items() if _is_of(item, group.key, wanted=key in wanted)
    }
    frozen = any(not item.owners.isdisjoint(around.held) for item in ours.values())

    def build(key: ObjectKey) -> Slot:
        slot = _build_slot(key, wanted.get(key), ours.get(key), around, frozen=frozen)
        return replace(slot, squatted=key in wanted and key in there and key not in ours)

    behind = sorted((wanted.keys() | there.keys()) - {group.entry_key, group.route_key})
    return Scene(
        group,
        build(group.entry_key),
        build(group.route_key),
        tuple(build(key) for key in behind),
        around,
        replace(clock, settle=0.0) if group.is_closing else clock,
    )


def _is_of(item: Observed, key: SetKey, *, wanted: bool) -> bool:
    """Whether an object under a name of a set is of it, or was and is to be again."""
    return item.group == key or (wanted and item.is_damaged)


def _build_slot(
    key: ObjectKey,
    desired: Desired | None,
    ours: Observed | None,
    around: Surroundings,
    *,
    frozen: bool,
) -> Slot:
    """Join what is wanted and what is there; `frozen` as in `_is_prunable`."""
    kept = frozenset[Owner]() if ours is None else ours.owners & around.held
    return Slot(
        key=key,
        desired=_keep_address(desired, ours),
        observed=ours,
        owners=() if desired is None else tuple(sorted({*desired.owners, *kept})),
        squatted=False,
        prunable=desired is None and ours is not None and _is_prunable(ours, around, frozen=frozen),
    )


def _is_prunable(ours: Observed, around: Surroundings, *, frozen: bool) -> bool:
    """Whether an object of ours that is not wanted may be deleted.

    `frozen`: a policy on hold owns something of the group, so what the gateway owns stays as well.
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

    An address that istiod has taken back it cannot give again: its patch of the status expects
    `null` where it has left an empty list (pilot/pkg/controllers/ipallocate/ipallocate.go,
    statusPatchForAddresses). A TCP port that is added later would then catch every connection on
    that port.
    """
    if desired is None or there is None or not there.allocate or desired.allocate:
        return desired
    return replace(desired, allocate=True)
