"""The Istio objects of the cluster: facts and hashes, filled by watches and by our own writes."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from egress_operator.engine.cache import Cache
from egress_operator.engine.sink import CacheSink, UnreadableHook
from egress_operator.engine.transport import JsonObject
from egress_operator.istio.facts import Facts
from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import GATEWAY_KIND, Desired, Observed
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import (
    HostSet,
    Scope,
    SetKey,
    TenantSet,
    find_scope,
)
from egress_operator.plan.foreign import may_take_calls, note_reserved_name
from egress_operator.reconcile.resource import RESOURCES

ObjectChangeHook = Callable[[ObjectKey, Observed | None, Observed | None], None]
"""(key, old, new): a change that no own write made, or one that changed an object's role. None:
absent."""

T = TypeVar("T", bound=Hashable)

POOL_LIMIT = 20_000

EVERYWHERE = ""
"""The scope of a watch over all namespaces."""


def list_kinds(scopes: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds that are watched in these scopes.

    Where the operator serves single namespaces there are no gateways.
    """
    everywhere = tuple(scopes) == (EVERYWHERE,)
    return tuple(kind for kind in Kind if everywhere or not KINDS[kind].for_gateways)


class _Pool:
    """One value in place of many equal ones: the objects of a policy share most of what they say.

    It halves what an observed object takes. Emptied when it is full, which costs nothing but that.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}

    def share(self, value: T) -> T:
        """Return the first value that was equal."""
        if len(self._values) > POOL_LIMIT:
            self._values.clear()
        shared: T = self._values.setdefault(value, value)
        return shared

    def share_values(self, observed: Observed) -> Observed:
        """Return an object with all that can be shared."""
        key = observed.key
        return replace(
            observed,
            key=ObjectKey(key.kind, sys.intern(key.namespace), sys.intern(key.name)),
            created=sys.intern(observed.created),
            policies=sys.intern(observed.policies),
            owners=self.share(observed.owners),
            facts=self._share_facts(observed.facts),
            place=sys.intern(observed.place),
            tenant=sys.intern(observed.tenant),
            label=sys.intern(observed.label),
            reserved=sys.intern(observed.reserved),
            maps=self.share(observed.maps),
            strays=self.share(observed.strays),
        )

    def _share_facts(self, facts: Facts) -> Facts:
        return replace(
            facts,
            hosts=tuple(sys.intern(host) for host in facts.hosts),
            ports=self.share(facts.ports),
            needs=self.share(facts.needs),
            refs=self.share(facts.refs),
            export_to=self.share(facts.export_to),
            selector=self.share(facts.selector),
            hazards=self.share(facts.hazards),
        )


class _Index:
    """Keys of our objects that are not found by the name of their set and in its namespace."""

    def __init__(self) -> None:
        self._of_hosts: dict[SetKey, set[ObjectKey]] = {}
        """But for those that have the name of their host."""
        self._of_gateways: dict[Scope, dict[SetKey, set[ObjectKey]]] = {}
        """What serves gateways and their tenants, and no host alone."""
        self._guests: dict[Scope, set[ObjectKey]] = {}
        """What a plan decides on and stands in another namespace."""
        self._servers: dict[str, set[ObjectKey]] = {}
        """By the label of a gateway: the objects of kind Gateway that serve its names."""
        self._owned: dict[str, Counter[str]] = {}
        """By the name of an EgressGateway: the labels of what it owns of kind Gateway and serves a
        tenant, each with how many there are."""
        self._served: dict[str, Counter[SetKey]] = {}
        """By the label of a gateway: hosts, each with how many names it has there."""
        self.foreign: set[ObjectKey] = set()
        """Objects of others that may take the calls of tenants, and what only says to be ours."""

    def note(self, old: Observed | None, new: Observed | None) -> None:
        """Take over a change of one object."""
        self._note_foreign(old, new)
        if old is not None and old.label:
            _discard(self._servers, old.label, old.key)
        if new is not None and new.label:
            self._servers.setdefault(new.label, set()).add(new.key)
        if old is not None and old.set_key is not None:
            self._remove(old.key, old.set_key)
            self._count(old, old.set_key, -1)
        if new is not None and new.set_key is not None:
            self._add(new.key, new.set_key)
            self._count(new, new.set_key, 1)

    def _note_foreign(self, old: Observed | None, new: Observed | None) -> None:
        if old is not None:
            self.foreign.discard(old.key)
        if new is not None and may_take_calls(new.disown() if new.place else new):
            self.foreign.add(new.key)

    def _count(self, item: Observed, set_key: SetKey, change: int) -> None:
        for label in item.facts.refs if item.key.kind is Kind.SERVICE_ENTRY else ():
            _add_to(self._served, label, set_key, change)
        for owner in item.owners if item.label and isinstance(set_key, TenantSet) else ():
            if owner.kind == GATEWAY_KIND:
                _add_to(self._owned, owner.name, item.label, change)

    def find_owned_labels(self, name: str) -> list[str]:
        """Return the labels at which an EgressGateway of this name owns servers of tenants."""
        return list(self._owned.get(name, ()))

    def find_servers(self, label: str) -> Iterable[ObjectKey]:
        """Return the objects of kind Gateway at the gateway with this label."""
        return self._servers.get(label, ())

    def find_served(self, label: str) -> Iterable[SetKey]:
        """Return the hosts that have something at the gateway with this label."""
        return self._served.get(label, ())

    def find_members(self, set_key: SetKey) -> Iterable[ObjectKey]:
        """Return the objects of a set that do not have its name."""
        return self._choose(set_key).get(set_key, ())

    def find_gateway_sets(self, scope: Scope) -> list[SetKey]:
        """Return the sets of gateways and tenants in a scope that hold something."""
        return list(self._of_gateways.get(scope, ()))

    def find_scopes(self) -> set[Scope]:
        """Return the scopes of gateways and tenants, and of what stands in other namespaces."""
        return {*self._of_gateways, *self._guests}

    def find_policy_namespaces(self) -> set[str]:
        """Return the namespaces with something that says to be of a gateway."""
        return {key.namespace for key in self._of_gateways.get(None, {})}

    def find_guests(self, scope: Scope) -> Iterable[ObjectKey]:
        """Return what is of a scope and stands in another namespace."""
        return self._guests.get(scope, ())

    def _add(self, key: ObjectKey, set_key: SetKey) -> None:
        scope = find_scope(set_key)
        if not isinstance(set_key, HostSet):
            self._of_gateways.setdefault(scope, {}).setdefault(set_key, set()).add(key)
        elif key.name != build_host_name(set_key.host):
            self._of_hosts.setdefault(set_key, set()).add(key)
        if scope != key.namespace:
            self._guests.setdefault(scope, set()).add(key)

    def _remove(self, key: ObjectKey, set_key: SetKey) -> None:
        scope = find_scope(set_key)
        _discard(self._choose(set_key), set_key, key)
        if not self._of_gateways.get(scope, True):
            del self._of_gateways[scope]
        _discard(self._guests, scope, key)

    def _choose(self, set_key: SetKey) -> dict[SetKey, set[ObjectKey]]:
        if isinstance(set_key, HostSet):
            return self._of_hosts
        return self._of_gateways.get(find_scope(set_key), {})


def _add_to(counters: dict[str, Counter[T]], name: str, item: T, change: int) -> None:
    counts = counters.setdefault(name, Counter())
    counts[item] += change
    if not counts[item]:
        del counts[item]
    if not counts:
        del counters[name]


def _discard(sets: dict[T, set[ObjectKey]], name: T, key: ObjectKey) -> None:
    found = sets.get(name)
    if found is not None:
        found.discard(key)
        if not found:
            del sets[name]


class ObjectCache:
    """The Istio objects of all kinds and scopes: one engine cache per list that fills it.

    `recognize` returns an object as it is to be taken: ours, or somebody else's. `domains` are
    those whose names are reserved.
    """

    def __init__(
        self,
        scopes: Sequence[str],
        on_change: ObjectChangeHook,
        recognize: Callable[[Observed], Observed],
        domains: tuple[str, ...] = (),
    ) -> None:
        self._recognize = recognize
        self._domains = domains
        self._pool = _Pool()
        self._index = _Index()
        self._on_change = on_change
        self._creating: dict[ObjectKey, Desired] = {}
        """What is being created: it may be there already."""
        self._everywhere = tuple(scopes) == (EVERYWHERE,)
        self._caches = {
            (kind, scope): Cache[ObjectKey, Observed](lambda key: key.namespace, self._note)
            for kind in list_kinds(scopes)
            for scope in scopes
        }

    def get(self, key: ObjectKey) -> Observed | None:
        """Return what is known of one object; None also for what is not watched."""
        return self._judge(self._find(key))

    def select(self, scope: Scope) -> Iterator[Observed]:
        """Everything that the plan of a scope decides on, and what is not ours in a namespace."""
        for kind in Kind if scope is not None else ():
            for observed in self.select_kind(kind, scope or ""):
                if observed.set_key is None or find_scope(observed.set_key) == scope:
                    yield observed
        for observed in self._get_all(self._index.find_guests(scope)):
            if observed.ours:
                yield observed

    def find_coming(self, wanted: Iterable[Desired]) -> list[Desired]:
        """Return what is being created, and what is wanted and is not there yet."""
        found = {item.key: item for item in wanted if self._find(item.key) is None}
        return list((self._creating | found).values())

    @contextmanager
    def note_creation(self, desired: Desired) -> Iterator[None]:
        """Count something as there while it is being created: it may be there already."""
        self._creating[desired.key] = desired
        try:
            yield
        finally:
            self._creating.pop(desired.key, None)

    def select_kind(self, kind: Kind, namespace: str) -> Iterator[Observed]:
        """Everything of one kind in a namespace, whoever plans it."""
        cache = self._caches.get((kind, EVERYWHERE if self._everywhere else namespace))
        if cache is not None:
            for _, found in cache.select(namespace):
                yield self._recognize(found)

    def select_set(self, set_key: SetKey) -> Iterator[Observed]:
        """Give the objects whose annotations name a set; of a host, those with other names."""
        found = self._get_all(self._index.find_members(set_key))
        return (item for item in found if item.set_key == set_key)

    def find_gateway_sets(self, scope: Scope) -> list[SetKey]:
        """Return the sets of gateways and tenants in a scope that hold something."""
        return self._index.find_gateway_sets(scope)

    def select_policies(self, namespaces: Iterable[str]) -> Iterator[Observed]:
        """Give our AuthorizationPolicies and EnvoyFilters at gateways, in `namespaces`.

        And wherever there are some that say to be.
        """
        for namespace in sorted({*namespaces, *self._index.find_policy_namespaces()}):
            for kind in sorted(UNOWNED):
                for item in self.select_kind(kind, namespace):
                    if item.ours:
                        yield item

    def select_servers(self, label: str) -> Iterator[Observed]:
        """Give the objects of kind Gateway at the gateway with this label, ours or not."""
        return self._get_all(self._index.find_servers(label))

    def find_owned_labels(self, name: str) -> list[str]:
        """Return the labels at which an EgressGateway of this name owns servers of tenants.

        As these say it themselves: whether they are believed is not looked at.
        """
        return self._index.find_owned_labels(name)

    def find_served(self, label: str) -> Iterable[SetKey]:
        """Return the hosts that have something at the gateway with this label."""
        return self._index.find_served(label)

    def find_namespaces(self) -> set[str]:
        """Return the namespaces that hold something, ours or not."""
        return {str(part) for cache in self._caches.values() for part in cache.parts()}

    def select_ours(self, namespace: str) -> Iterator[tuple[SetKey, Observed]]:
        """Everything of ours that stands in a namespace, each with its set."""
        for kind in Kind:
            for observed in self.select_kind(kind, namespace):
                if observed.set_key is not None:
                    yield observed.set_key, observed

    def list_foreign(self, trusted: Collection[str]) -> Iterator[Observed]:
        """List the objects of others that may take the calls of tenants.

        Not those in namespaces that are trusted. Each is the same value until it changes.
        """
        for key in tuple(self._index.foreign):
            item = None if key.namespace in trusted else self._find(key)
            if item is not None and not self._recognize(item).ours:
                yield item

    def find_scopes(self) -> set[Scope]:
        """Return the scopes that hold something of ours; it looks at one object of most of them."""
        candidates = {*self.find_namespaces(), *self._index.find_scopes()}
        return {scope for scope in candidates if self._holds(scope)}

    def _holds(self, scope: Scope) -> bool:
        """Whether something of ours is of a scope, wherever it stands."""
        standing = () if scope is None else (item for _, item in self.select_ours(scope))
        members = chain.from_iterable(
            map(self._index.find_members, self._index.find_gateway_sets(scope))
        )
        others = self._get_all([*self._index.find_guests(scope), *members])
        return any(
            item.set_key is not None and find_scope(item.set_key) == scope
            for item in chain(standing, others)
        )

    def store(self, body: JsonObject) -> Observed:
        """Take over the answer to an own write."""
        before, observed, is_news = self._store(body)
        if is_news:
            self._note_own(observed.key, before, observed)
        return observed

    def _store(self, body: JsonObject) -> tuple[Observed | None, Observed, bool]:
        """Hold an object that was not seen by a watch; return what was held, it, and if it is news.

        The index still has to be told.
        """
        observed = self._read(body)
        cache = self._caches[self._place(observed.key)]
        before = cache.get(observed.key)
        version = body["metadata"]["resourceVersion"]
        return before, observed, cache.store_write(observed.key, observed.uid, version, observed)

    def share(self, desired: Desired) -> None:
        """Hold the plan's values in place of equal ones of an object: once, not twice."""
        held = self._find(desired.key)
        if held is None or held.set_key != desired.set_key or held.facts is desired.facts:
            return
        same = held.spec_digest == desired.spec_digest
        shared = replace(
            held,
            key=desired.key,
            set_key=desired.set_key,
            facts=desired.facts if held.facts == desired.facts else held.facts,
            spec_digest=desired.spec_digest if same else held.spec_digest,
        )
        self._caches[self._place(desired.key)].swap(desired.key, shared)

    def drop(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that an own request has deleted."""
        before = self._find(key)
        if self._caches[self._place(key)].drop(key, uid):
            self._note_own(key, before, None)

    def miss(self, key: ObjectKey, uid: str) -> None:
        """Forget an object that an own request did not find; a later event may bring it back."""
        before = self._find(key)
        if self._caches[self._place(key)].miss(key, uid):
            self._note_own(key, before, None)

    def observe(self, body: JsonObject) -> None:
        """Take over how an object stands now, and tell of it as of any change."""
        before, observed, is_news = self._store(body)
        if is_news:
            self._note(observed.key, before, observed)

    def observe_absence(self, key: ObjectKey, version: str) -> None:
        """Take over that an object is not in a list, and tell of it as of any change."""
        before = self._find(key)
        if before is not None and self._caches[self._place(key)].miss(key, before.uid, version):
            self._note(key, before, None)

    def build_sink(
        self,
        kind: Kind,
        scope: str,
        *,
        on_unreadable: UnreadableHook,
        on_finish: Callable[[str], None],
    ) -> CacheSink[ObjectKey, Observed]:
        """Make the sink of the reflector of one kind in one scope."""

        def read_key(obj: JsonObject) -> ObjectKey:
            metadata = obj["metadata"]
            return ObjectKey(kind, sys.intern(metadata["namespace"]), sys.intern(metadata["name"]))

        return CacheSink(
            RESOURCES[kind],
            self._caches[kind, scope],
            read_key,
            self._read,
            on_unreadable=on_unreadable,
            on_finish=on_finish,
        )

    def count(self) -> Mapping[Kind, int]:
        """Our objects by kind."""
        counts = dict.fromkeys(Kind, 0)
        for namespace in self.find_namespaces():
            for kind in counts:
                found = self.select_kind(kind, namespace)
                counts[kind] += sum(observed.set_key is not None for observed in found)
        return counts

    def _note_own(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        """Take over an own write.

        It is told of as any change where the object counted as something else by then, because
        somebody had damaged it: a plan that was made meanwhile took it for that.
        """
        before, after = self._judge(old), self._judge(new)
        if before is None or (before.ours if after is None else before.role == after.role):
            self._index.note(old, new)
        else:
            self._note(key, old, new)

    def _note(self, key: ObjectKey, old: Observed | None, new: Observed | None) -> None:
        self._index.note(old, new)
        self._on_change(key, self._judge(old), self._judge(new))

    def _read(self, obj: JsonObject) -> Observed:
        """Take the facts of an object; one that was ours is known by its uid, whatever it says."""
        observed = read_observed(obj)
        before = self._find(observed.key)
        if not observed.ours and before is not None and before.uid == observed.uid:
            was_ours = before.ours or before.is_damaged
            observed = replace(observed, is_damaged=observed.is_damaged or was_ours)
        # Nobody owns some of ours, so more than the object tells that it is.
        is_unowned = observed.key.kind in UNOWNED
        if not (observed.ours or observed.is_damaged or is_unowned):
            observed = replace(observed, strays=frozenset())
        spec = obj.get("spec") or {}
        return self._pool.share_values(note_reserved_name(observed, spec, self._domains))

    def _judge(self, observed: Observed | None) -> Observed | None:
        return None if observed is None else self._recognize(observed)

    def _get_all(self, keys: Iterable[ObjectKey]) -> Iterator[Observed]:
        found = (self.get(key) for key in tuple(keys))
        return (observed for observed in found if observed is not None)

    def _place(self, key: ObjectKey) -> tuple[Kind, str]:
        return key.kind, EVERYWHERE if self._everywhere else key.namespace

    def _find(self, key: ObjectKey) -> Observed | None:
        cache = self._caches.get(self._place(key))
        return None if cache is None else cache.get(key)
