"""The order in which the AuthorizationPolicies and EnvoyFilters of one EgressGateway change.

A gateway that enforces has a *baseline*, an ALLOW without rules, and one ALLOW for each permission.
As soon as one ALLOW is enforced, Istio denies what none of them allows. All are of one kind, so
istiod takes them over in the order of their writes, and a proxy gets all of them in one listener
(pilot/pkg/security/authz/builder): between two of these writes nothing has to settle. EnvoyFilters
let nobody in: they are there before the listeners that need them, and go after these, or with the
permission.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from egress_operator.istio.authorization_policy import SOCKETS, build_baseline_spec, open_spec
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired, replace_spec
from egress_operator.istio.manifest import is_as_desired
from egress_operator.istio.object import Desired, Observed
from egress_operator.istio.object_set import Access
from egress_operator.istio.set_key import SetKey
from egress_operator.istio.traffic import Labels
from egress_operator.rollout.pair import Clock
from egress_operator.rollout.write import Create, Delete, Replace, Step, Write, build_step

PATIENCE_S = 3.0
"""How long, beyond a settle time, a gateway that begins to enforce waits for ALLOWs that cannot be
written: the permission of one tenant never holds up the protection of all."""


def order_access(
    key: SetKey,
    access: Access,
    observed: Collection[Observed],
    clock: Clock,
    refused: Collection[Write] = (),
) -> Step:
    """Compute the next writes of a gateway's own objects, or the wait for them. Pure.

    `observed`: what stands under the keys of `access`, ours or not, and all others of this
    EgressGateway. From every mixture of old and new the steps converge. A tenant that has its
    permission before and after is not denied in between, and a permission that is withdrawn goes
    before anything else is written. `refused`: writes that are left out, so that nothing waits for
    them; the step names those that are due.
    """
    wanted = {item.key for item in access.desired}
    there = {
        item.key: item
        for item in observed
        if item.set_key == key or (item.is_damaged and item.key in wanted)
    }
    foreign = {item.key for item in observed} - there.keys()
    squatted = tuple(item.key for item in access.desired if item.key in foreign)
    state = _State(key, access, there, frozenset(squatted), clock)
    left_out: dict[Write, None] = {}
    found = Step()
    for step in state.list_steps():
        writes = tuple(write for write in step.writes if write not in refused)
        left_out |= dict.fromkeys(write for write in step.writes if write in refused)
        if writes or step.wait:
            found = replace(step, writes=writes)
            break
    return replace(found, squatted=squatted, refused=tuple(left_out))


@dataclass(frozen=True, slots=True)
class _State:
    """What is wanted beside what is there."""

    key: SetKey
    access: Access
    there: Mapping[ObjectKey, Observed]
    squatted: frozenset[ObjectKey]
    clock: Clock

    def list_steps(self) -> Iterator[Step]:
        """Give the steps in their order; the first that has something to do counts."""
        yield build_step(*self._delete(self.access.withdrawn))
        yield build_step(*self._disarm())
        yield build_step(*self._shut())
        yield build_step(*self._write(*self.access.filters))
        baseline = self.access.baseline
        if baseline is None:
            yield build_step(*self._delete_stale())
        elif self.access.enforces:
            yield from self._enforce(baseline)
        else:
            yield from self._relax(baseline)

    def _disarm(self) -> list[Write]:
        """Let what is withdrawn, and cannot be deleted, allow nothing: as a baseline does."""
        if self.access.baseline is not None and not self.access.enforces:
            return []
        return self._close(self.access.withdrawn)

    def _shut(self) -> list[Write]:
        """Let what denied at a place that was left go on to deny."""
        return self._close(self.access.denials)

    def _close(self, keys: Collection[ObjectKey]) -> list[Write]:
        """Return the writes that let these allow nothing, for the same pods.

        At the present place these are the pods of the gateway, whatever somebody made of the
        object. Elsewhere one without a selector stays: closed, it would deny the whole namespace.
        """
        baseline = self.access.baseline
        found = []
        for key in sorted(filter(_is_policy, keys & self.there.keys())):
            item = self.there[key]
            told = baseline if baseline is not None and item.place == baseline.place else item
            selector = told.facts.selector
            if selector and not item.dry_run:
                found.append(_build_closed(self.key, item, selector))
        return self._write(*found)

    def _enforce(self, baseline: Desired) -> Iterator[Step]:
        """Deny at last: at once where nobody is let in yet, else after the ALLOWs."""
        have = self.there.get(baseline.key)
        closing, allows = self._write(baseline), self._write(*self.access.allows)
        if (have is None or not _is_open(have)) and not self._is_opening():
            yield build_step(*closing, *allows, *self._delete_stale())
            return
        if have is None or not _is_open(have):
            yield build_step(*self._write(_open(baseline)))
        # Written when it was opened.
        if self.clock.compute_wait((baseline.key,)) + PATIENCE_S <= 0:
            yield build_step(*closing, *allows)
        yield build_step(*allows)
        wait = self.clock.compute_wait(item.key for item in self.access.allows)
        yield Step(wait=wait) if wait > 0 else build_step(*closing)

    def _is_opening(self) -> bool:
        """Whether tenants are let in because nothing is enforced yet."""
        keys = {item.key for item in self.access.desired if _is_policy(item.key)} - self.squatted
        enforced = {key for key in keys & self.there.keys() if not self.there[key].dry_run}
        return self.access.in_use and len(keys) > 1 and not enforced

    def _relax(self, baseline: Desired) -> Iterator[Step]:
        """Deny nothing at last: what allows everything comes first, and goes last.

        Also where nobody has a server yet: one may be written between two deletions.
        """
        have = self.there.get(baseline.key)
        denies = any(
            not item.dry_run and item.facts.selector == baseline.facts.selector
            for key, item in self.there.items()
            if key != baseline.key and _is_policy(key)
        )
        if denies and (have is None or not _is_open(have)):
            yield build_step(*self._write(_open(baseline)))
        yield build_step(*self._write(*self.access.allows), *self._delete_stale())
        if denies:
            # What denies cannot be changed now: the open one stays beside it.
            return
        if self.access.is_final:
            yield build_step(*self._write(baseline))
        else:
            yield build_step(*self._delete({baseline.key}))

    def _write(self, *desired: Desired) -> list[Write]:
        """Return the writes that make objects as desired. EgressGateways own none of them."""
        writes: list[Write] = []
        for item in desired:
            have = self.there.get(item.key)
            if item.key in self.squatted:
                continue
            if have is None:
                writes.append(Create(item, item.owners))
            elif not is_as_desired(have, item, item.owners):
                # An annotation that tells another tenant has to go: then all are written anew.
                maps = have.maps - {"annotations"} if have.is_damaged else have.maps
                writes.append(Replace(item, item.owners, have.uid, maps, have.strays))
        return writes

    def _delete(self, keys: Iterable[ObjectKey]) -> list[Delete]:
        return [Delete(key, self.there[key].uid) for key in sorted(keys) if key in self.there]

    def _delete_stale(self) -> list[Delete]:
        """Return the deletions of what is neither wanted nor kept."""
        wanted = {item.key for item in self.access.desired}
        return self._delete(self.there.keys() - wanted - self.access.kept)


def _is_policy(key: ObjectKey) -> bool:
    """Whether an object lets in or denies: an AuthorizationPolicy."""
    return key.kind is Kind.AUTHORIZATION_POLICY


def _open(baseline: Desired) -> Desired:
    """Return the baseline that allows everything, enforced."""
    return replace(replace_spec(baseline, open_spec(dict(baseline.spec))), dry_run=False)


def _is_open(have: Observed) -> bool:
    """Whether a baseline allows everything, enforced."""
    return not have.dry_run and not have.facts.is_closed


def _build_closed(key: SetKey, item: Observed, selector: Labels) -> Desired:
    """Return the same object for these pods, allowing nothing."""
    # What denied goes on to let in what the gateway hands on to itself.
    sockets = not item.tenant and SOCKETS in item.facts.refs
    spec = build_baseline_spec(selector, sockets=sockets)
    return build_desired(
        item.key, key, (), spec, dry_run=False, place=item.place, tenant=item.tenant
    )
