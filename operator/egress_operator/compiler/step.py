"""`next_step`: the next safe writes of one group, never more.

The order, for a host that is reached directly: what a VirtualService needs is in its ServiceEntry
before the VirtualService is written, and stays there until no VirtualService needs it and a settle
time has passed, in which every proxy has taken the new routes. So a new host goes at once, a port
is added ServiceEntry first, removed VirtualService first, and when both happen together the
ServiceEntry has the union in between. Deletions come after every other write.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from egress_operator.compiler.name import build_group_name
from egress_operator.compiler.object import (
    Desired,
    Kind,
    ObjectKey,
    Observed,
    Owner,
    digest_spec,
    is_as_desired,
)
from egress_operator.compiler.plan import Group, Plan
from egress_operator.compiler.service_entry import build_port, build_port_list


@dataclass(frozen=True, slots=True)
class Create:
    """POST. `owners` are the final ownerReferences."""

    desired: Desired
    owners: tuple[Owner, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """Set everything that we own of the object `uid` to `desired` with these owners."""

    desired: Desired
    owners: tuple[Owner, ...]
    uid: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object `key` if it still has this uid."""

    key: ObjectKey
    uid: str


Write = Create | Replace | Delete


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next: send, wait, or nothing.

    `writes` may be sent together. When all are acknowledged, ask again; with no writes, ask again
    after `wait` seconds, or not at all when it is None: then all is as desired but for `squatted`.
    """

    writes: tuple[Write, ...] = ()
    wait: float | None = None
    squatted: tuple[ObjectKey, ...] = ()
    """Desired objects whose name somebody else's object has."""


def group_keys(namespace: str, name: str) -> tuple[ObjectKey, ...]:
    """All keys under which objects of the group called `name` can stand: what `next_step` reads."""
    return tuple(ObjectKey(kind, namespace, name) for kind in Kind)


def leftover(plan: Plan, observed: Iterable[Observed]) -> dict[str, Group]:
    """Find groups without desired objects: what is ours in the namespace and not in the plan.

    Keyed like `Plan.groups`, for `next_step` to prune by the same path; objects that may not be
    pruned (owners on hold, gone, or none) are among them and stay as they are. An object whose name
    is not the one of its host annotation is a copy or was tampered with: it is left alone.
    """
    planned = {group.name for group in plan.groups.values()}
    groups: dict[str, Group] = {}
    for item in observed:
        name = item.key.name
        if not item.ours or name in planned or item.host in groups:
            continue
        if build_group_name(item.host) == name:
            groups[item.host] = Group(item.host, name, ())
    return groups


def next_step(
    *,
    group: Group,
    observed: Collection[Observed],
    held: frozenset[Owner],
    live: frozenset[Owner],
    written_at: Mapping[ObjectKey, float],
    started_at: float,
    now: float,
    settle: float,
) -> Step:
    """Compute the next writes that are safe, or how long to wait for them. Pure.

    `observed`: the objects that stand under `group_keys`, ours or not, as last acknowledged.
    `held`, `live`: of the plan. `written_at`: when an object was last written or deleted, by us or
    as seen; an unknown one counts as written at `started_at`, the start of the process. `now`,
    `started_at` and `written_at` are seconds of one clock, `settle` is a duration in seconds.

    From every mixture of old and new objects the steps converge, also when the desired objects
    change between two of them, and no state in between has a VirtualService of ours that needs a
    port that its ServiceEntry lacks.
    """
    entry = _build_side(Kind.SERVICE_ENTRY, group, observed, held, live)
    route = _build_side(Kind.VIRTUAL_SERVICE, group, observed, held, live)
    squatted = tuple(
        side.desired.key for side in (entry, route) if side.squatted and side.desired is not None
    )
    changed_at = max(
        (
            written_at.get(
                ObjectKey(Kind.VIRTUAL_SERVICE, item.key.namespace, group.name), started_at
            )
            for item in observed
        ),
        default=started_at,
    )
    rest = changed_at + settle - now
    writes, waiting = _compute_writes(entry, route, settling=rest > 0)
    return Step(writes, rest if waiting else None, squatted)


@dataclass(frozen=True, slots=True)
class _Side:
    """One object of the group: what is wanted, what is there, and who will own it."""

    desired: Desired | None
    observed: Observed | None
    """Ours, else None."""
    owners: tuple[Owner, ...]
    """Those that claim it, and those on hold that own it already."""
    squatted: bool
    """Wanted, and its name is somebody else's."""
    prunable: bool
    """Ours, not wanted, with a live owner and none on hold."""

    def build_write(self, desired: Desired) -> Create | Replace | None:
        """Return the write that makes the object `desired`, None when it is so already."""
        there = self.observed
        if there is None:
            return Create(desired, self.owners)
        if is_as_desired(there, desired, self.owners):
            return None
        return Replace(desired, self.owners, there.uid)

    def build_delete(self) -> tuple[Write, ...]:
        """Return the deletion of an object that we may delete; nothing for another one."""
        if self.observed is None or not self.prunable:
            return ()
        return (Delete(self.observed.key, self.observed.uid),)


def _build_side(
    kind: Kind,
    group: Group,
    observed: Collection[Observed],
    held: frozenset[Owner],
    live: frozenset[Owner],
) -> _Side:
    desired = next((item for item in group.objects if item.key.kind is kind), None)
    there = next(
        (item for item in observed if item.key.kind is kind and item.key.name == group.name), None
    )
    ours = there if there is not None and there.ours else None
    kept = frozenset[Owner]() if ours is None else ours.owners & held
    return _Side(
        desired=desired,
        observed=ours,
        owners=() if desired is None else tuple(sorted({*desired.owners, *kept})),
        squatted=desired is not None and there is not None and ours is None,
        prunable=desired is None
        and ours is not None
        and not kept
        and not ours.owners.isdisjoint(live),
    )


def _compute_writes(
    entry: _Side, route: _Side, *, settling: bool
) -> tuple[tuple[Write, ...], bool]:
    """Return the writes, and whether something waits for the settle time."""
    interim = _build_interim(entry, route, settling=settling)
    entry_write = _build_entry_write(entry, route, interim, settling=settling)
    route_write = _build_route_write(entry, route, entry_write)
    applies = tuple(write for write in (entry_write, route_write) if write is not None)
    if applies:
        return applies, False
    if deletion := route.build_delete():
        return deletion, False
    if entry.desired is not None:
        return (), settling and interim is not entry.desired and not entry.squatted
    if route.observed is not None or not (deletion := entry.build_delete()):
        return (), False
    return ((), True) if settling else (deletion, False)


def _build_interim(entry: _Side, route: _Side, *, settling: bool) -> Desired | None:
    """Return the ServiceEntry that is safe now: as desired, with ports that may still be needed."""
    desired = entry.desired
    if desired is None or entry.observed is None:
        return desired
    offered = {port.number for port in desired.ports}
    needs = frozenset[int]() if route.observed is None else route.observed.needs
    kept = [
        build_port(port.number, port.protocol, port.target)
        for port in entry.observed.ports
        if port.number not in offered and (settling or port.number in needs)
    ]
    if not kept:
        return desired
    ports = tuple(sorted((*desired.ports, *kept)))
    spec: dict[str, Any] = {**desired.spec, "ports": build_port_list(ports)}
    return replace(desired, spec=spec, spec_digest=digest_spec(spec), ports=ports)


def _build_entry_write(
    entry: _Side, route: _Side, interim: Desired | None, *, settling: bool
) -> Create | Replace | None:
    """Return the write of the ServiceEntry.

    Where ports are kept and will go soon, a last write follows in any case: then a change that only
    takes owners away waits for it. An owner that is missing is added at once, because an object
    whose owners are all gone is deleted by Kubernetes.
    """
    if interim is None or entry.squatted:
        return None
    write = entry.build_write(interim)
    there = entry.observed
    if write is None or there is None or interim is entry.desired:
        return write
    follows = settling or route.desired is not None or route.prunable
    if follows and there.spec_digest == interim.spec_digest and there.owners >= {*entry.owners}:
        return None
    return write


def _build_route_write(
    entry: _Side, route: _Side, entry_write: Write | None
) -> Create | Replace | None:
    """Return the write of the VirtualService, once the ServiceEntry has what it needs.

    That includes its owners: a ServiceEntry with fewer of them may be deleted by Kubernetes, with
    the last one it has, while the VirtualService stays.
    """
    if route.desired is None or route.squatted or entry.squatted or entry.desired is None:
        return None
    if entry_write is not None:
        there = entry.observed
        needed = {port for port in entry.desired.ports if port.number in route.desired.needs}
        if there is None or not needed <= {*there.ports} or not there.owners >= {*route.owners}:
            return None
    return route.build_write(route.desired)
