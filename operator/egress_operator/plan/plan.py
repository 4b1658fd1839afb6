"""`plan_namespace`: the policies of a namespace in, the objects of each host and results out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from egress_operator.diagnostic import Diagnostic
from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import HostSet, Scope, SetKey, TenantSet
from egress_operator.istio.wildcard import is_wildcard
from egress_operator.plan.bypass import find_bypassed
from egress_operator.plan.cache import CachedHost, CachedNamespace, CachedPolicy, PlanCache
from egress_operator.plan.claim import NOT_LIFTED, Arbitration
from egress_operator.plan.cover import NONE_BELOW, Cover
from egress_operator.plan.host import compile_host
from egress_operator.plan.life import ALWAYS, Expiry, Span, find_span
from egress_operator.plan.piece import Pieces, finish
from egress_operator.plan.reference import GatewayView
from egress_operator.plan.result import (
    ClaimResult,
    ClaimState,
    Notes,
    PolicyResult,
    build_policy_result,
)
from egress_operator.plan.shadow import NO_SHADOWS, Shadows, find_shadows
from egress_operator.plan.sidecar import Sight
from egress_operator.plan.sight import find_policy_sight, look_around
from egress_operator.plan.source import NamespaceInput
from egress_operator.plan.standing import find_kept
from egress_operator.plan.tenant import Tenant, build_tenant_set
from egress_operator.plan.version import WILDCARDS_SINCE

__all__ = [
    "ClaimResult",
    "ClaimState",
    "ObjectSet",
    "Plan",
    "PlanCache",
    "PolicyResult",
    "plan_in_pieces",
    "plan_namespace",
]


NOTHING_KEPT: frozenset[SetKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of what a namespace should hold."""

    scope: Scope
    """The namespace; None: the plan is that of the gateways as a whole."""
    sets: dict[SetKey, ObjectSet]
    results: dict[str, PolicyResult]
    """By policy name."""
    held: frozenset[Owner]
    """Policies that exist but may not change anything (not accepted, or paused): what they own is
    neither changed nor pruned, unless another policy claims it; they stay co-owners."""
    live: frozenset[Owner]
    """Policies that may change things: what they alone own and no longer claim is pruned. Those
    that have expired are among them, and claim nothing. And EgressGateways that are accepted."""
    allows: Mapping[str, tuple[Desired, ...]] = field(default_factory=dict)
    """The AuthorizationPolicies and EnvoyFilters that the sets need, by their gateway."""
    is_limited: bool = False
    """Whether a policy exceeds a limit or waits for room: it may fit when something goes."""
    rivals: frozenset[ObjectKey] = frozenset()
    """Our DestinationRules beside which there is another one: their age matters."""
    expired: frozenset[Owner] = frozenset()
    """Policies whose time is over: nothing is held where they have a part."""
    expiries: tuple[Expiry, ...] = ()
    """When its policies expire, those that do; sorted."""
    span: Span = ALWAYS
    """When it holds: after it, and before, other policies have expired."""


def plan_namespace(inputs: NamespaceInput, memo: PlanCache | None = None) -> Plan:
    """Compile all policies of one namespace. Pure but for `memo`, which never changes the result.

    With the same `memo` (one for all namespaces) a repeated call reads no unchanged policy and
    compiles no unchanged host again; unchanged sets and results are the identical values of the
    call before. The order of the policies takes no part. Policies are identified by
    (uid, generation). Raises `ValueError` for a setting that is no CIDR, never for a policy.
    """
    return finish(plan_in_pieces(inputs, PlanCache() if memo is None else memo))


def plan_in_pieces(inputs: NamespaceInput, memo: PlanCache) -> Pieces[Plan]:
    """Do the work of `plan_namespace`.

    Between two pieces, each about that of one policy or host, the caller may do something else, but
    plan no other input of this namespace with this `memo`.
    """
    part = memo.open(inputs)
    policies = yield from part.read_policies(inputs)
    part.limit_policies(inputs)
    yield
    hosts = yield from _compile_hosts(inputs.namespace, policies, part)
    compiled = {key: host.compiled for key, host in hosts.items()}
    tenants = {
        tenant.gateway.label: tenant for host in compiled.values() for tenant in host.tenants
    }
    shadows = NO_SHADOWS
    if inputs.hand_written:
        shadows = yield from find_shadows(
            inputs.namespace, inputs.hand_written, compiled, inputs.rule_ages
        )
    sets: dict[SetKey, ObjectSet] = {
        host.object_set.key: host.object_set
        for host in compiled.values()
        if host.object_set is not None
    }
    sets |= _build_tenant_sets(inputs.namespace, tenants, policies, part.around)
    expired = frozenset(key for policy in policies for key in policy.expired_keys)
    sets |= _build_expired_sets(inputs.namespace, expired - hosts.keys())
    held = frozenset(policy.owner for policy in policies if not policy.is_live)
    kept = find_kept(inputs.namespace, inputs.standing, held)
    expiries = part.list_expiries()
    results: dict[str, PolicyResult] = {}
    bypassed = _find_bypassed(policies, hosts, inputs)
    screen = look_around(inputs, part)
    for policy in policies:
        yield
        sight = yield from find_policy_sight(policy, screen, inputs, part)
        results[policy.source.name] = _find_result(
            policy,
            hosts,
            shadows,
            bypassed.get(policy.source.name, ()),
            kept.get(policy.owner, NOTHING_KEPT),
            _find_ending(policy, expired),
            sight,
        )
    return Plan(
        scope=inputs.namespace,
        sets=sets,
        results=results,
        held=held,
        live=frozenset(policy.owner for policy in policies if policy.is_live)
        | _find_gateway_owners(part.around),
        allows=collect_set_allows(sets.values()),
        is_limited=part.is_limited,
        rivals=shadows.rivals,
        expired=frozenset(policy.owner for policy in policies if policy.is_expired),
        expiries=expiries,
        span=find_span(expiries, inputs.now),
    )


def collect_set_allows(sets: Iterable[ObjectSet]) -> dict[str, tuple[Desired, ...]]:
    """Return the AuthorizationPolicies and EnvoyFilters that sets need, by their gateway. Pure."""
    found: dict[str, list[Desired]] = {}
    for object_set in sets:
        for desired in object_set.allows:
            found.setdefault(desired.place, []).append(desired)
    return {label: tuple(allows) for label, allows in found.items()}


def _find_gateway_owners(around: GatewayView) -> frozenset[Owner]:
    return frozenset(result.gateway.owner for result in around.results.values() if result.gateway)


def _build_tenant_sets(
    namespace: str,
    tenants: Mapping[str, Tenant],
    policies: list[CachedPolicy],
    around: GatewayView,
) -> dict[SetKey, ObjectSet]:
    """Return the sets of gateways: those that hosts need, and those that are withdrawn."""
    made = map(build_tenant_set, tenants.values())
    sets: dict[SetKey, ObjectSet] = {object_set.key: object_set for object_set in made}
    for name in {policy.gateway for policy in policies if policy.live_claims and policy.gateway}:
        gateway = around.results[name].gateway
        if gateway is not None and around.tenants[name] is None:
            key = TenantSet(namespace, gateway.label)
            sets[key] = ObjectSet(key, is_closing=True)
    return sets


def _build_expired_sets(namespace: str, hosts: Iterable[str]) -> dict[SetKey, ObjectSet]:
    """Return the sets of hosts that policies claimed until they expired, and nobody does now.

    As where permission is withdrawn, they go in their order, and nothing has to settle.
    """
    keys = [HostSet(namespace, host) for host in sorted(hosts)]
    return {key: ObjectSet(key, is_closing=True) for key in keys}


def _find_ending(policy: CachedPolicy, expired: frozenset[str]) -> frozenset[SetKey]:
    """Find the sets in which a policy on hold keeps nothing of what an expired one owns as well."""
    if policy.is_live or not expired:
        return NOTHING_KEPT
    keys = expired.intersection(claim.key for claim in policy.claims)
    return frozenset(HostSet(policy.source.namespace, key) for key in keys)


def _compile_hosts(
    namespace: str, policies: list[CachedPolicy], part: CachedNamespace
) -> Pieces[dict[str, CachedHost]]:
    """Judge and compile every host; what comes out as in the last call is not made again."""
    judged = yield from part.judge(policies)
    cover = part.build_cover(judged)
    hosts: dict[str, CachedHost] = {}
    for key in cover.sort(judged):
        hosts[key] = _compile_host(namespace, key, judged[key], part, cover)
        yield
    part.hosts = hosts if cover.is_empty else {key: hosts[key] for key in judged}
    return part.hosts


def _compile_host(
    namespace: str, key: str, results: Arbitration, part: CachedNamespace, cover: Cover
) -> CachedHost:
    results = part.withhold(results)
    if cover.is_empty:
        return _compile(namespace, key, results, part)
    host = _compile(
        namespace, key, results, part, is_covered=cover.is_over(key), below=cover.list_below(key)
    )
    cover.add(key, host.compiled.object_set)
    return host


def _compile(
    namespace: str,
    key: str,
    results: Arbitration,
    part: CachedNamespace,
    *,
    is_covered: bool = False,
    below: frozenset[ObjectKey] = NONE_BELOW,
) -> CachedHost:
    tenants = part.find_tenants(key, results.gateways)
    entry = part.hosts.get(key)
    if (
        entry is not None
        and entry.results == results
        and entry.tenants == tenants
        and (entry.is_covered, entry.below) == (is_covered, below)
    ):
        return entry
    compiled = compile_host(
        namespace,
        key,
        results,
        tenants,
        is_covered=is_covered,
        below=below,
        resolves_wildcards=part.facts.istio_minor >= WILDCARDS_SINCE,
    )
    return CachedHost(results, tenants, compiled, is_covered, below)


def _find_result(
    policy: CachedPolicy,
    hosts: Mapping[str, CachedHost],
    shadows: Shadows,
    bypassed: tuple[Diagnostic, ...],
    kept: frozenset[SetKey],
    ending: frozenset[SetKey],
    sight: Sight,
) -> PolicyResult:
    """Return the result on a policy: that of the last call if nothing it depends on changed."""
    own = [hosts[key] for key in policy.live_keys]
    beside = _collect(policy, shadows.beside)
    overriding = _collect(policy, shadows.overriding)
    shared = [key for key in policy.expired_keys if key in hosts]
    before, made_from = (
        policy.result,
        (
            own,
            beside,
            overriding,
            bypassed,
            kept,
            ending,
            shared,
            sight,
        ),
    )
    if before is not None and policy.result_made_from == made_from:
        return before
    compiled = [host.compiled for host in own]
    result = build_policy_result(
        policy.source,
        policy.diagnostics,
        policy.build_rows(hosts),
        reference=None if policy.is_expired else policy.reference,
        kept=kept,
        tenants={
            TenantSet(tenant.namespace, tenant.gateway.label)
            for host in compiled
            for tenant in host.tenants
        },
        notes=Notes(
            expiry=policy.finding,
            shadowed=beside,
            overridden=overriding,
            lifted=(
                *bypassed,
                *(item for host in compiled for item in host.lifted.get(policy.source.name, ())),
            ),
            sight=sight,
            ending=ending,
        ),
    )
    if result == before:
        result = before
    policy.result, policy.result_made_from = result, made_from
    return result


def _find_bypassed(
    policies: list[CachedPolicy], hosts: Mapping[str, CachedHost], inputs: NamespaceInput
) -> Mapping[str, tuple[Diagnostic, ...]]:
    """Find what wildcards and the hosts below them open for each other."""
    if not any(policy.names_wildcard for policy in policies):
        return NOT_LIFTED
    held = frozenset(policy.owner for policy in policies if not policy.is_live)
    return find_bypassed(
        (claim for policy in policies if not policy.is_expired for claim in policy.claims),
        {
            key: host.list_leading() if is_wildcard(key) else host.results.won
            for key, host in hosts.items()
        },
        {
            host.host: {port for _, port, _ in host.pairs}
            for host in inputs.standing
            if host.host not in hosts and not host.owners.isdisjoint(held)
        },
    )


def _collect(policy: CachedPolicy, sentences: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the sentences about the hosts of a policy; for nearly all there are none."""
    if not sentences:
        return ()
    return tuple(sentence for key in policy.live_keys for sentence in sentences.get(key, ()))
