"""`next_step`: the next safe writes of one group, never more.

The order, and why, is in docs/design/gateways.md. In short: what a route needs is there, and every
proxy had a settle time to take it, before the route leads to it; and it stays until no route needs
it and a settle time has passed. A host that turns from open to closed, or back, is open in between.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from egress_operator.compiler.group import Group
from egress_operator.compiler.manifest import is_as_desired
from egress_operator.compiler.name import build_group_name
from egress_operator.compiler.object import (
    GATEWAY_KIND,
    Desired,
    Kind,
    ObjectKey,
    Observed,
    Owner,
    Port,
    Spec,
    digest_spec,
    is_host,
)
from egress_operator.compiler.plan import Plan
from egress_operator.compiler.service_entry import build_port, build_port_list, needs_address


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


@dataclass(frozen=True, slots=True)
class Clock:
    """Times in seconds of one clock, and `settle`, a duration."""

    now: float
    started_at: float
    """The start of the process: an object whose last write is unknown counts as written then."""
    written_at: Mapping[ObjectKey, float]
    """When an object was last written or deleted, by us or as seen."""
    settle: float

    def find_rest(self, keys: Iterable[ObjectKey]) -> float:
        """Return how long the last write of one of these is still settling; at most 0: no more."""
        last = max((self.written_at.get(key, self.started_at) for key in keys), default=None)
        return 0.0 if last is None else last + self.settle - self.now


def list_keys(group: Group) -> set[ObjectKey]:
    """List where objects of a group stand by their names; others are found by their group."""
    named = {
        ObjectKey(kind, group.namespace, group.name)
        for kind in (Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE, Kind.VIRTUAL_SERVICE)
    }
    return named | {desired.key for desired in group.objects}


def leftover(plan: Plan, observed: Iterable[Observed]) -> dict[str, Group]:
    """Find groups without desired objects: what is ours in the plan's part and not in the plan.

    Keyed like `Plan.groups`, for `next_step` to prune by the same path; objects that may not be
    pruned (owners on hold, gone, or none) are among them and stay as they are. An object whose name
    is not one of its group is a copy or was tampered with: it is left alone.
    """
    groups: dict[str, Group] = {}
    for item in observed:
        if item.ours and item.group not in plan.groups and item.group not in groups:
            group = Group(plan.namespace, item.group, build_group_name(item.group))
            if is_member(item, group):
                groups[item.group] = group
    return groups


def is_member(item: Observed, group: Group) -> bool:
    """Whether an object of ours is of a group: by its annotations, and by its name.

    In the namespace of a gateway names say less, because two tenants meet there.
    """
    if item.group != group.key or item.part != group.namespace:
        return False
    name = item.key.name
    return (
        item.key.namespace != group.namespace
        or item.key.kind is Kind.AUTHORIZATION_POLICY
        or name == group.name
        or name.startswith(f"{group.name}-")
    )


def find_references(observed: Iterable[Observed], part: str, group: str) -> frozenset[str]:
    """Return everything that our objects of a namespace refer to, but for those of one group."""
    return frozenset(
        ref
        for item in observed
        if item.ours and item.part == part and item.group != group
        for ref in item.refs
    )


def next_step(
    group: Group, observed: Collection[Observed], around: Surroundings, clock: Clock
) -> Step:
    """Compute the next writes that are safe, or how long to wait for them. Pure.

    `observed`: the objects that stand under `list_keys`, ours or not, and all others of the group,
    as last acknowledged.

    From every mixture of old and new objects the steps converge, also when the desired objects
    change between two of them, and no state in between has a VirtualService of ours that needs what
    is not there.
    """
    if group.is_closing:
        clock = replace(clock, settle=0.0)
    scene = _build_scene(group, observed, around, clock)
    squatted = tuple(side.key for side in scene.sides if side.squatted)
    for writes, wait in _list_stages(scene):
        if writes:
            return Step(writes, None, squatted)
        if wait is not None:
            return Step((), wait, squatted)
    return Step((), None, squatted)


@dataclass(frozen=True, slots=True)
class _Side:
    """One object of the group: what is wanted, what is there, and who will own it."""

    key: ObjectKey
    desired: Desired | None
    observed: Observed | None
    """Ours, else None."""
    owners: tuple[Owner, ...]
    """Those that claim it, and those on hold that own it already."""
    squatted: bool
    """Wanted, and its name is somebody else's."""
    prunable: bool
    """Ours, not wanted, with a live owner and none on hold."""

    def build_write(self, desired: Desired | None) -> Create | Replace | None:
        """Return the write that makes the object `desired`, None when it is so already."""
        there = self.observed
        if desired is None or self.squatted:
            return None
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

    def is_done(self) -> bool:
        """Whether it is as desired, or gone when it is not."""
        if self.desired is None:
            return not self.prunable
        return self.build_write(self.desired) is None


@dataclass(frozen=True, slots=True)
class _Scene:
    """All sides of a group, by their part in it."""

    group: Group
    entry: _Side
    """The ServiceEntry of the host."""
    route: _Side
    """The VirtualService of the host's clients."""
    behind: tuple[_Side, ...]
    """Everything else."""
    around: Surroundings
    clock: Clock

    @property
    def sides(self) -> tuple[_Side, ...]:
        return (self.entry, self.route, *self.behind)


def _build_scene(
    group: Group, observed: Collection[Observed], around: Surroundings, clock: Clock
) -> _Scene:
    wanted = {desired.key: desired for desired in group.objects}
    there = {
        item.key: item
        for item in observed
        if item.key in wanted or (item.ours and is_member(item, group))
    }
    frozen = any(not item.owners.isdisjoint(around.held) for item in there.values())

    def build(key: ObjectKey) -> _Side:
        return _build_side(key, wanted.get(key), there.get(key), around, frozen=frozen)

    behind = sorted((wanted.keys() | there.keys()) - {group.entry_key, group.route_key})
    return _Scene(
        group,
        build(group.entry_key),
        build(group.route_key),
        tuple(build(key) for key in behind),
        around,
        clock,
    )


def _build_side(
    key: ObjectKey,
    desired: Desired | None,
    there: Observed | None,
    around: Surroundings,
    *,
    frozen: bool,
) -> _Side:
    """Join what is wanted and what is there.

    `frozen`: a policy on hold owns something of the group, so what the gateway owns stays as well.
    """
    ours = there if there is not None and there.ours else None
    kept = frozenset[Owner]() if ours is None else ours.owners & around.held
    serving = ours is not None and any(owner.kind == GATEWAY_KIND for owner in ours.owners)
    return _Side(
        key=key,
        desired=_keep_address(desired, ours),
        observed=ours,
        owners=() if desired is None else tuple(sorted({*desired.owners, *kept})),
        squatted=desired is not None and there is not None and ours is None,
        prunable=desired is None
        and ours is not None
        and not kept
        and not (frozen and serving)
        and not ours.owners.isdisjoint(around.live),
    )


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


_Stage = tuple[tuple[Write, ...], float | None]
"""Writes that may be sent now; or how long to wait before the later stages; or neither: go on."""


def _list_stages(scene: _Scene) -> Iterator[_Stage]:
    """Give the stages of a change in their order; the first that has something to do counts."""
    if scene.group.is_closing:
        yield _delete(filter(_is_access, scene.behind)), None
    yield (*_apply_behind(scene, routes=False), *_delete_rules(scene)), None
    yield _apply_access(scene)
    yield _apply_behind(scene, routes=True), None
    yield _change_host(scene)
    yield _delete_route(scene)
    yield _delete_entry(scene)
    yield _delete_behind(scene)


def _is_access(side: _Side) -> bool:
    return side.key.kind is Kind.AUTHORIZATION_POLICY


def _is_route(side: _Side) -> bool:
    return side.key.kind is Kind.VIRTUAL_SERVICE


def _delete(sides: Iterable[_Side]) -> tuple[Write, ...]:
    return tuple(chain.from_iterable(side.build_delete() for side in sides))


def _apply_behind(scene: _Scene, *, routes: bool) -> tuple[Write, ...]:
    writes = (
        side.build_write(side.desired)
        for side in scene.behind
        if not _is_access(side) and _is_route(side) == routes
    )
    return tuple(write for write in writes if write is not None)


def _delete_rules(scene: _Scene) -> tuple[Write, ...]:
    """Delete the DestinationRules of synthetic names that stay, together with what else changes.

    The name's ServiceEntry may lead to another port now, where nobody speaks TLS.
    """
    stay = {side.key.name for side in scene.behind if _is_entry(side) and side.desired}
    return _delete(side for side in scene.behind if _is_rule(side) and side.key.name in stay)


def _is_entry(side: _Side) -> bool:
    return side.key.kind is Kind.SERVICE_ENTRY


def _is_rule(side: _Side) -> bool:
    return side.key.kind is Kind.DESTINATION_RULE


def _apply_access(scene: _Scene) -> _Stage:
    """Write AuthorizationPolicies: as soon as one allows something, what none allows is denied.

    So while a gateway with tenants begins or ceases to enforce them, its own one allows everything:
    it does so before the first of the tenants changes, and until the last has settled.
    """
    writes: list[Write] = []
    rests: list[float] = []
    for side in filter(_is_access, scene.behind):
        if side.desired is None:
            continue
        desired, rest = _choose_access(scene, side, side.desired)
        write = None if desired is None else side.build_write(desired)
        if write is not None:
            writes.append(write)
        elif rest is not None:
            rests.append(rest)
    return tuple(writes), max(rests, default=None)


def _choose_access(
    scene: _Scene, side: _Side, desired: Desired
) -> tuple[Desired | None, float | None]:
    """Return what an AuthorizationPolicy shall be now, and how long until it may be more."""
    there = side.observed
    settled = there is not None and there.dry_run == desired.dry_run
    if desired.before is not None:
        if settled and there is not None and there.is_closed:
            return desired, None
        others = [item for item in scene.around.outside if item.dry_run == desired.dry_run]
        rest = _find_rest_after(scene, desired, others)
        if rest is None:
            return desired, None
        return replace(_respec(desired, desired.before), dry_run=False), rest
    if settled:
        return desired, None
    baseline = [item for item in scene.around.outside if not item.dry_run]
    if desired.dry_run:
        baseline = [item for item in scene.around.outside if item.dry_run or not item.is_closed]
    rest = _find_rest_after(scene, desired, baseline)
    return (desired if rest is None else None), rest


def _find_rest_after(scene: _Scene, desired: Desired, there: Iterable[Observed]) -> float | None:
    """Return how long to wait for what must be there first; None: it is there and has settled.

    When something is not there at all its own group calls again; the wait is for safety.
    """
    if not desired.after <= {item.key for item in there}:
        return scene.clock.settle
    rest = scene.clock.find_rest(desired.after)
    return rest if rest > 0 else None


def _respec(desired: Desired, spec: Spec) -> Desired:
    return replace(desired, spec=spec, spec_digest=digest_spec(spec))


def _change_host(scene: _Scene) -> _Stage:
    """Write the ServiceEntry and the VirtualService of the host."""
    if scene.entry.desired is not None and scene.entry.desired.is_closed:
        return _close_host(scene)
    return _open_host(scene)


def _find_route_rest(scene: _Scene) -> float | None:
    """Return how long the route has to wait for what it leads to; None: not at all.

    What it leads to already has nothing to wait for.
    """
    route, entry, clock = scene.route, scene.entry, scene.clock
    before = frozenset[str]() if route.observed is None else route.observed.refs
    wanted = frozenset[str]() if route.desired is None else route.desired.refs
    rests = []
    if wanted - before and route.desired is not None:
        rests.append(_find_rest_after(scene, route.desired, scene.around.outside) or 0.0)
        rests.append(clock.find_rest(side.key for side in scene.behind if side.desired))
    if before and not wanted and entry.desired is not None:
        rests.append(clock.find_rest((entry.key,)))
    rest = max(rests, default=0.0)
    return rest if rest > 0 else None


def _close_host(scene: _Scene) -> _Stage:
    """Write the route first, then the ServiceEntry: without endpoints it needs the route.

    One that has endpoints keeps them until the route has settled. Owners are added at once in any
    case, because an object whose owners are all gone is deleted by Kubernetes.
    """
    entry, route = scene.entry, scene.route
    done = scene.group.is_closing or (route.is_done() and not route.squatted)
    write = None if route.is_done() else route.build_write(route.desired)
    rest = _find_route_rest(scene) if write is not None else None
    blocked = any(side.squatted for side in scene.behind)
    if write is not None and rest is None and not blocked:
        return (write,), None
    if done and entry.observed is not None and not entry.observed.is_closed:
        settling = scene.clock.find_rest((route.key,))
        if settling > 0:
            done, rest = False, settling
    final = entry.build_write(entry.desired)
    if done:
        return ((final,) if final else ()), None
    interim = _build_owner_write(entry)
    return ((interim,) if interim else ()), None if blocked else rest


def _build_owner_write(entry: _Side) -> Replace | None:
    """Return the write that adds missing owners to a ServiceEntry, and leaves what it offers."""
    there, desired = entry.observed, entry.desired
    if there is None or desired is None or there.owners >= {*entry.owners}:
        return None
    spec = desired.spec if there.is_closed or desired.before is None else desired.before
    return Replace(_offer(_respec(desired, spec), there.ports), entry.owners, there.uid)


def _offer(desired: Desired, ports: Iterable[Port]) -> Desired:
    """Return a ServiceEntry with other ports."""
    listed = tuple(sorted(ports))
    spec = {**desired.spec, "ports": build_port_list(listed)}
    return replace(
        desired,
        spec=spec,
        spec_digest=digest_spec(spec),
        ports=listed,
        allocate=desired.allocate or needs_address(spec, listed),
    )


def _open_host(scene: _Scene) -> _Stage:
    """Offer what the route needs first, and until no route needs it any more."""
    entry, route = scene.entry, scene.route
    settling = scene.clock.find_rest((route.key,)) > 0
    interim = _build_interim(entry, route, settling=settling)
    entry_write = _build_entry_write(entry, route, interim, settling=settling)
    route_write = _build_route_write(entry, route, entry_write)
    rest = None if route_write is None else _find_route_rest(scene)
    rule = () if entry.desired is None else _delete_own_rule(scene)
    writes = (entry_write, None if rest is not None else route_write, *rule)
    applies = tuple(write for write in writes if write is not None)
    if applies or rest is not None:
        return applies, rest
    waiting = settling and interim is not entry.desired and not entry.squatted
    deletion = route.build_delete()
    return (), scene.clock.find_rest((route.key,)) if waiting and not deletion else None


def _delete_own_rule(scene: _Scene) -> tuple[Write, ...]:
    """Delete the DestinationRule of a host that is open and stays so, as `_delete_rules` does."""
    name = scene.group.name
    return _delete(side for side in scene.behind if _is_rule(side) and side.key.name == name)


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
    return _offer(desired, (*desired.ports, *kept)) if kept else desired


def _build_entry_write(
    entry: _Side, route: _Side, interim: Desired | None, *, settling: bool
) -> Create | Replace | None:
    """Return the write of the ServiceEntry.

    Where ports are kept and will go soon, a last write follows in any case: then a change that only
    takes owners away waits for it. An owner that is missing is added at once, because an object
    whose owners are all gone is deleted by Kubernetes.
    """
    write = entry.build_write(interim)
    there = entry.observed
    if write is None or interim is None or there is None or interim is entry.desired:
        return write
    follows = settling or route.desired is not None or route.prunable
    same = (there.spec_digest, there.allocate) == (interim.spec_digest, interim.allocate)
    if follows and same and there.owners >= {*entry.owners}:
        return None
    return write


def _build_route_write(
    entry: _Side, route: _Side, entry_write: Write | None
) -> Create | Replace | None:
    """Return the write of the VirtualService, once the ServiceEntry has what it needs.

    That includes its owners: a ServiceEntry with fewer of them may be deleted by Kubernetes, with
    the last one it has, while the VirtualService stays.
    """
    if route.desired is None or entry.squatted or entry.desired is None:
        return None
    if entry_write is not None:
        there = entry.observed
        needed = {port for port in entry.desired.ports if port.number in route.desired.needs}
        if there is None or not needed <= {*there.ports} or not there.owners >= {*route.owners}:
            return None
    return route.build_write(route.desired)


def _delete_route(scene: _Scene) -> _Stage:
    deletion = scene.route.build_delete()
    rest = _find_route_rest(scene) if deletion else None
    if deletion and rest is None and scene.entry.desired is None:
        # A host that leads nowhere by itself goes with its route; the other way round requests
        # would be refused in between that nobody refuses before and after.
        there = scene.entry.observed
        if there is not None and there.is_closed:
            deletion = (*scene.entry.build_delete(), *deletion)
    return (() if rest is not None else deletion), rest


def _delete_entry(scene: _Scene) -> _Stage:
    entry, route = scene.entry, scene.route
    deletion = entry.build_delete()
    if not deletion or route.observed is not None:
        return (), None
    rest = scene.clock.find_rest((route.key,))
    return ((), rest) if rest > 0 else (deletion, None)


def _delete_behind(scene: _Scene) -> _Stage:
    """Delete what no route needs any more, the routes on a gateway first.

    A route that may not be deleted needs it: that of a policy on hold, or of one that is gone.
    """
    leaving = [side for side in scene.behind if side.build_delete()]
    stays = scene.route.observed is not None and scene.route.desired is None
    if not leaving or _is_referenced(scene) or (stays and not scene.group.is_closing):
        return (), None
    rest = scene.clock.find_rest(_list_host_keys(scene.group))
    if any(map(_is_access, leaving)):
        rest = max(rest, _find_access_rest(scene))
    if rest > 0:
        return (), rest
    routes = _delete(filter(_is_route, leaving))
    return routes or _delete(leaving), None


def _find_access_rest(scene: _Scene) -> float:
    """Return how long a gateway may still deny those whom nothing lets in; at most 0: not any more.

    A gateway that ceases to enforce allows everything before the first of its tenants changes.
    """
    if is_host(scene.group.key):
        return 0.0
    own = [item for item in scene.around.outside if _is_denial(item)]
    if any(item.is_closed for item in own):
        return scene.clock.settle
    return scene.clock.find_rest(item.key for item in own)


def _is_denial(item: Observed) -> bool:
    """Whether it is an AuthorizationPolicy of a gateway itself that is enforced."""
    return item.key.kind is Kind.AUTHORIZATION_POLICY and not item.part and not item.dry_run


def _list_host_keys(group: Group) -> tuple[ObjectKey, ...]:
    """Return what routes to the rest of the group; a gateway's group has nothing of the kind."""
    return (group.entry_key, group.route_key) if is_host(group.key) else ()


def _is_referenced(scene: _Scene) -> bool:
    """Whether other groups need objects of this one, which is not wanted any more as a whole."""
    if scene.group.objects or scene.group.is_closing:
        return False
    offered = {scene.group.key}
    for side in scene.behind:
        if side.observed is not None:
            offered |= side.observed.refs
    return not offered.isdisjoint(scene.around.referenced)
