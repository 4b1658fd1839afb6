"""Permission at EgressGateways: which AuthorizationPolicies and EnvoyFilters each should have.

It follows the EgressGateway, the labels of namespaces, and what stands at the gateway. The state of
a tenant's policies (paused, invalid, deleted, orphaned) takes no part: a policy on hold keeps its
objects, and no permission.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired, Observed
from egress_operator.istio.object_set import Access, ObjectSet
from egress_operator.istio.set_key import GatewaySet, SetKey, find_scope
from egress_operator.istio.traffic import Labels
from egress_operator.plan.gateway import Gateway, GatewayResult
from egress_operator.plan.intent import Authorization
from egress_operator.plan.plan import Plan
from egress_operator.plan.tenant import build_baseline, build_tenant_access


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at one EgressGateway, in one namespace."""

    policies: tuple[Observed, ...] = ()
    """Its AuthorizationPolicies and EnvoyFilters."""
    tenants: frozenset[tuple[str, str]] = frozenset()
    """(namespace, label of the place) of each tenant with a server there."""
    pods: frozenset[tuple[str, str, Labels]] = frozenset()
    """The same, with the labels of the pods that serve it."""
    servers: frozenset[tuple[str, str]] = frozenset()
    """(namespace, name) of each server there; that of a single host is called as its permission."""

    def serves(self, item: Desired | Observed, label: str) -> bool:
        """Whether what an ALLOW guards, or an EnvoyFilter is for, is there.

        The server of its host at any place; at another place than that with this label, anything of
        its tenant.
        """
        return (item.tenant, item.key.name) in self.servers or (
            item.place != label and (item.tenant, item.place) in self.tenants
        )


def build_standing(policies: Iterable[Observed], servers: Iterable[Observed]) -> Standing:
    """Gather what stands at one EgressGateway in one namespace. Pure.

    `policies`: its AuthorizationPolicies and EnvoyFilters; `servers`: the objects of kind Gateway
    at its places, whoever wrote them: what is denied has to be denied to all.
    """
    found = tuple(sorted(policies, key=lambda item: item.key))
    tenants, pods, names = set(), set(), set()
    for server in servers:
        namespace = find_server_namespace(server)
        tenants.add((namespace, server.label))
        pods.add((namespace, server.label, server.facts.selector))
        names.add((namespace, server.key.name))
    return Standing(found, frozenset(tenants), frozenset(pods), frozenset(names))


def find_server_namespace(server: Observed) -> str:
    """Return the namespace that an object of kind Gateway serves. Pure."""
    scope = None if server.set_key is None else find_scope(server.set_key)
    return scope or server.key.namespace


def collect_allows(plans: Iterable[Plan]) -> dict[str, list[Desired]]:
    """Return what plans need at gateways, by the label of the gateway. Pure."""
    wanted: dict[str, list[Desired]] = {}
    for plan in plans:
        for label, allows in plan.allows.items():
            wanted.setdefault(label, []).extend(allows)
    return wanted


Selection = Callable[[GatewayResult, str], bool]
"""Whether a namespace may use a gateway: it is there, is not being deleted, and is selected."""


def plan_gateways(
    results: Mapping[str, GatewayResult],
    wanted: Mapping[str, Iterable[Desired]],
    standing: Mapping[GatewaySet, Standing],
    is_selected: Selection,
    *,
    before: Plan | None = None,
    is_complete: bool = True,
) -> Plan:
    """Plan the AuthorizationPolicies and EnvoyFilters of all EgressGateways. Pure.

    `wanted`: by the label of a gateway, what the plans of namespaces ask for.
    `standing`: also of gateways that are gone, and where a gateway is not. `before`: the plan so
    far, which knows how what is kept should be. `is_complete`: whether every namespace that uses a
    gateway is planned. Before that, at a start, what is not wanted stays.
    """
    sets: dict[SetKey, ObjectSet] = {}
    for key in sorted({*(result.set_key for result in results.values()), *standing}):
        found = standing.get(key, Standing())
        known = _find_known(before, key)
        access = _plan_access(key, results.get(key.gateway), wanted, found, known, is_selected)
        if not is_complete:
            there = frozenset(item.key for item in found.policies)
            access = replace(access, kept=access.kept | (there - access.withdrawn))
        sets[key] = ObjectSet(key, access.desired, access=access)
    return Plan(None, sets, {}, frozenset(), frozenset())


def _plan_access(
    key: GatewaySet,
    result: GatewayResult | None,
    wanted: Mapping[str, Iterable[Desired]],
    standing: Standing,
    known: Mapping[ObjectKey, Desired],
    is_selected: Selection,
) -> Access:
    """Return what one gateway should have; `known`: ALLOWs and EnvoyFilters in force so far."""

    @cache
    def selects(namespace: str) -> bool:
        return result is not None and is_selected(result, namespace)

    withdrawn = frozenset(
        item.key for item in standing.policies if item.tenant and not selects(item.tenant)
    )
    if result is None:
        served = _find_served_baselines(standing)
        return Access(None, kept=served, denials=served, withdrawn=withdrawn)
    gateway, generation = result.gateway, result.source.generation
    if gateway is None:
        stays = frozenset(item.key for item in standing.policies) - withdrawn
        return Access(None, kept=stays, withdrawn=withdrawn, generation=generation)
    enforces = gateway.authorization is Authorization.MANAGED
    if gateway.refuses_tls_wildcards:
        # Also those of policies on hold, whose servers stay.
        withdrawn |= {item.key for item in standing.policies if _is_filter(item.key)}
    kept = frozenset(
        item for item in _find_kept(gateway, standing) - withdrawn if enforces or _is_filter(item)
    )
    if key != gateway.set_key:
        denials = kept & _find_served_baselines(standing)
        return Access(None, kept=kept, denials=denials, withdrawn=withdrawn)
    tenants = sorted(
        namespace
        for namespace, label in standing.tenants
        if label == gateway.label and selects(namespace)
    )
    # What is kept is restored like the rest when somebody edits it.
    lasting = {
        key: item
        for key, item in known.items()
        if selects(item.tenant) and standing.serves(item, gateway.label)
    }
    filters = _build_filters(gateway, wanted, lasting, selects)
    kept -= filters.keys()
    withdrawn -= filters.keys()
    listed = tuple(filters[key] for key in sorted(filters))
    none = gateway.authorization is Authorization.NONE
    if none and all(_is_filter(item.key) for item in standing.policies):
        return Access(None, filters=listed, kept=kept, withdrawn=withdrawn, generation=generation)
    allows = {} if none else _build_allows(gateway, wanted, tenants, selects)
    if enforces:
        allows = {key: item for key, item in lasting.items() if not _is_filter(key)} | allows
        kept -= allows.keys()
    baseline = build_baseline(gateway)
    # Whatever somebody has written on it, what is wanted is restored.
    withdrawn -= {baseline.key, *allows}
    allowed = {(item.tenant, item.place) for item in allows.values()} | {
        (item.tenant, item.place)
        for item in standing.policies
        if item.key in kept and not _is_filter(item.key)
    }
    # Also who is left at a former place of the same pods.
    denied = {
        namespace
        for namespace, label, selector in standing.pods
        if gateway.label == label or gateway.intent.selector == selector
        if (namespace, label) not in allowed
    }
    return Access(
        baseline=baseline,
        enforces=enforces,
        is_final=not none,
        allows=tuple(allows[key] for key in sorted(allows)),
        filters=listed,
        kept=kept,
        denials=kept & _find_served_baselines(standing),
        withdrawn=withdrawn,
        in_use=bool(tenants),
        denied=tuple(sorted(denied)) if enforces else (),
        generation=generation,
    )


def _find_known(plan: Plan | None, key: GatewaySet) -> dict[ObjectKey, Desired]:
    found = None if plan is None else plan.sets.get(key)
    access = None if found is None else found.access
    items = (*access.allows, *access.filters) if access else ()
    return {item.key: item for item in items if not item.dry_run}


def _is_filter(key: ObjectKey) -> bool:
    return key.kind is Kind.ENVOY_FILTER


def _is_sound(item: Observed, gateway: Gateway) -> bool:
    """Whether what is kept, and of which no plan is known, is for its tenant alone."""
    at_place = item.facts.selector == gateway.intent.selector
    return item.facts.refs <= {item.tenant} and (at_place or item.place != gateway.label)


def _build_allows(
    gateway: Gateway,
    wanted: Mapping[str, Iterable[Desired]],
    tenants: Iterable[str],
    selects: Callable[[str], bool],
) -> dict[ObjectKey, Desired]:
    """Return the ALLOWs that policies ask for, and those of tenants that have a server."""
    # The plans of namespaces may be older than the authorization of the gateway.
    dry_run = gateway.authorization is Authorization.DRY_RUN
    allows = {
        item.key: item if item.dry_run is dry_run else replace(item, dry_run=dry_run)
        for item in wanted.get(gateway.label, ())
        if selects(item.tenant) and not _is_filter(item.key)
    }
    for namespace in tenants:
        desired = build_tenant_access(gateway, namespace)
        allows[desired.key] = desired
    return allows


def _build_filters(
    gateway: Gateway,
    wanted: Mapping[str, Iterable[Desired]],
    lasting: Mapping[ObjectKey, Desired],
    selects: Callable[[str], bool],
) -> dict[ObjectKey, Desired]:
    """Return the EnvoyFilters that policies ask for, and those whose servers are still there."""
    if gateway.refuses_tls_wildcards:
        return {}
    asked = {item.key: item for item in wanted.get(gateway.label, ()) if selects(item.tenant)}
    return {key: item for key, item in ({**lasting, **asked}).items() if _is_filter(key)}


def _find_kept(gateway: Gateway, standing: Standing) -> frozenset[ObjectKey]:
    """Name what stays although no policy asks for it: it is enforced, and what it guards stands.

    Of single hosts at any place; of former places all that serves somebody there.
    """
    served = _find_served_baselines(standing)
    return frozenset(
        item.key
        for item in standing.policies
        if not item.dry_run
        and (
            _is_sound(item, gateway) and standing.serves(item, gateway.label)
            if item.tenant
            else item.place != gateway.label and item.key in served
        )
    )


def _find_served_baselines(standing: Standing) -> frozenset[ObjectKey]:
    """Name the baselines of places where somebody has a server."""
    served = {label for _, label in standing.tenants}
    return frozenset(
        item.key for item in standing.policies if not item.tenant and item.place in served
    )
