"""`plan_namespace`: the policies of a namespace in, the objects of each host and results out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.set_key import Scope, SetKey, TenantSet
from egress_operator.plan.cache import CachedHost, CachedNamespace, CachedPolicy, PlanCache
from egress_operator.plan.claim import Arbitration
from egress_operator.plan.host import compile_host
from egress_operator.plan.piece import Pieces, finish
from egress_operator.plan.reference import GatewayView
from egress_operator.plan.result import ClaimResult, ClaimState, PolicyResult, build_policy_result
from egress_operator.plan.shadow import find_shadows
from egress_operator.plan.source import NamespaceInput
from egress_operator.plan.standing import find_kept
from egress_operator.plan.tenant import Tenant, build_tenant_set

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
    """Policies that may change things: what they alone own and no longer claim is pruned. And
    EgressGateways that are accepted."""
    allows: Mapping[str, tuple[Desired, ...]] = field(default_factory=dict)
    """The AuthorizationPolicies that the sets need, by the label of the gateway."""
    is_limited: bool = False
    """Whether a policy exceeds a limit or waits for room: it may fit when something goes."""


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
    shadows = find_shadows(inputs.hand_written, compiled) if inputs.hand_written else {}
    sets: dict[SetKey, ObjectSet] = {
        host.object_set.key: host.object_set
        for host in compiled.values()
        if host.object_set is not None
    }
    sets |= _build_tenant_sets(inputs.namespace, tenants, policies, part.around)
    held = frozenset(policy.owner for policy in policies if not policy.is_live)
    kept = find_kept(inputs.namespace, inputs.standing, held)
    results: dict[str, PolicyResult] = {}
    for policy in policies:
        yield
        results[policy.source.name] = _find_result(
            policy, hosts, shadows, kept.get(policy.owner, NOTHING_KEPT)
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
    )


def collect_set_allows(sets: Iterable[ObjectSet]) -> dict[str, tuple[Desired, ...]]:
    """Return the AuthorizationPolicies that sets need, by the label of the gateway. Pure."""
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
    for name in {policy.gateway for policy in policies if policy.is_live and policy.gateway}:
        gateway = around.results[name].gateway
        if gateway is not None and around.tenants[name] is None:
            key = TenantSet(namespace, gateway.label)
            sets[key] = ObjectSet(key, is_closing=True)
    return sets


def _compile_hosts(
    namespace: str, policies: list[CachedPolicy], part: CachedNamespace
) -> Pieces[dict[str, CachedHost]]:
    """Judge and compile every host; what comes out as in the last call is not made again."""
    judged = yield from part.judge(policies)
    hosts: dict[str, CachedHost] = {}
    for key, results in judged.items():
        hosts[key] = _compile_host(namespace, key, results, part)
        yield
    part.hosts = hosts
    return hosts


def _compile_host(
    namespace: str, key: str, results: Arbitration, part: CachedNamespace
) -> CachedHost:
    results = part.withhold(results)
    tenants = part.find_tenants(results.gateways)
    entry = part.hosts.get(key)
    if entry is not None and entry.results == results and entry.tenants == tenants:
        return entry
    return CachedHost(results, tenants, compile_host(namespace, key, results, tenants))


def _find_result(
    policy: CachedPolicy,
    hosts: Mapping[str, CachedHost],
    shadows: Mapping[str, tuple[str, ...]],
    kept: frozenset[SetKey],
) -> PolicyResult:
    """Return the result on a policy: that of the last call if nothing it depends on changed."""
    own = [hosts[key] for key in policy.live_keys]
    seen = (
        tuple(sentence for key in policy.live_keys for sentence in shadows.get(key, ()))
        if shadows
        else ()
    )
    before, made_from = policy.result, (own, seen, kept)
    if before is not None and policy.result_made_from == made_from:
        return before
    compiled = [host.compiled for host in own]
    result = build_policy_result(
        policy.source,
        policy.diagnostics,
        policy.build_rows(hosts),
        reference=policy.reference,
        kept=kept,
        tenants={
            TenantSet(tenant.namespace, tenant.gateway.label)
            for host in compiled
            for tenant in host.tenants
        },
        shadowed=seen,
        lifted=(line for host in compiled for line in host.lifted.get(policy.source.name, ())),
    )
    if result == before:
        result = before
    policy.result, policy.result_made_from = result, made_from
    return result
