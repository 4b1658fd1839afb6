"""`plan_gateways`: the objects that serve an EgressGateway as a whole."""

from collections.abc import Iterable, Mapping

from egress_operator.istio.authorization_policy import build_baseline_spec, open_spec
from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.object import Desired, Observed, Owner
from egress_operator.istio.set_key import GatewaySet, HostSet, SetKey, TenantSet
from egress_operator.plan.gateway import Authorization, Gateway, GatewayVerdict
from egress_operator.plan.plan import Plan

Access = Mapping[str, frozenset[ObjectKey]]
"""By the label of a gateway: `find_access` of it."""


def find_access(gateway: Gateway, observed: Iterable[Observed]) -> frozenset[ObjectKey]:
    """Name what the gateway's own AuthorizationPolicy has to wait for. Pure.

    The AuthorizationPolicies of tenants that are there. Where they are enforced, also those that
    tenants will have who use the gateway already; where none are wanted, those alone that still
    deny something. And what is left of the place where the gateway was before (`_find_left`).
    `observed` holds the AuthorizationPolicies of the gateway's namespace, and what serves tenants
    of gateways, wherever they are.
    """
    ours = [item for item in observed if item.ours]
    items = [item for item in ours if _find_tenant(item.group)]
    access = {
        item.key: item
        for item in items
        if item.key.kind is Kind.AUTHORIZATION_POLICY and gateway.label in item.facts.refs
    }
    match gateway.authorization:
        case Authorization.MANAGED:
            tenants = {
                group.namespace
                for group in (item.group for item in items)
                if isinstance(group, TenantSet) and group.gateway == gateway.label
            }
            found = {*access, *map(gateway.find_access_key, tenants)}
        case Authorization.DRY_RUN:
            found = set(access)
        case Authorization.NONE:
            found = {key for key, item in access.items() if not item.dry_run}
    return frozenset(found) | _find_left(gateway, ours)


def _find_left(gateway: Gateway, ours: Iterable[Observed]) -> frozenset[ObjectKey]:
    """Name what is left of a former place on the same pods, and would turn somebody away.

    Where nothing is to be enforced, all that was enforced there. Where it is, and was not, what
    serves tenants under their former names: nothing would let them in any more.
    """
    former = _select_former(gateway, ours)
    enforced = [item for item in former if _is_enforced(item)]
    if gateway.authorization is not Authorization.MANAGED:
        return frozenset(item.key for item in enforced)
    if any(item.facts.is_closed and isinstance(item.group, GatewaySet) for item in enforced):
        return frozenset()
    return _find_relying(former)


def is_relied_on(gateway: Gateway, observed: Iterable[Observed]) -> bool:
    """Whether what the gateway itself had at a former place may be all that lets a tenant in. Pure.

    The route of a tenant on hold still leads there. If the gateway's own AuthorizationPolicy went,
    those of the other tenants of that place would deny that tenant. `observed`: what serves tenants
    of gateways, in all namespaces.
    """
    return bool(_find_relying(_select_former(gateway, (item for item in observed if item.ours))))


def _select_former(gateway: Gateway, ours: Iterable[Observed]) -> list[Observed]:
    """List what serves tenants, and lets in, at places where the gateway was before."""
    return [
        item
        for item in ours
        if gateway.owner in item.owners
        and gateway.label not in {item.place, str(item.group), *item.facts.refs}
        and (item.key.kind is Kind.AUTHORIZATION_POLICY or _is_tenant_server(item))
    ]


def _find_relying(former: Iterable[Observed]) -> frozenset[ObjectKey]:
    """Name what serves tenants whom no AuthorizationPolicy of their own lets in."""
    items = [item for item in former if _find_tenant(item.group)]
    let_in = {item.group for item in items if _is_enforced(item)}
    return frozenset(item.key for item in items if item.group not in let_in)


def _find_tenant(group: SetKey | None) -> str:
    """Return the namespace that a set serves; empty for a gateway's own."""
    return group.namespace if isinstance(group, HostSet | TenantSet) else ""


def _is_enforced(item: Observed) -> bool:
    return item.key.kind is Kind.AUTHORIZATION_POLICY and not item.dry_run


def _is_tenant_server(item: Observed) -> bool:
    """Whether it is the Gateway that all hosts of a tenant share."""
    return item.key.kind is Kind.GATEWAY and isinstance(item.group, TenantSet)


def plan_gateways(
    verdicts: Mapping[str, GatewayVerdict], access: Access, relied_on: frozenset[Owner]
) -> Plan:
    """Make the plan of what no namespace decides. Pure.

    What serves a gateway that is not accepted (any more) is neither changed nor pruned; what one of
    `relied_on` (`is_relied_on`) had at a former place is not pruned.
    """
    groups: dict[SetKey, Group] = {}
    live: set[Owner] = set()
    for verdict in verdicts.values():
        gateway = verdict.gateway
        if gateway is None:
            continue
        live.add(gateway.owner)
        found = access.get(gateway.label, frozenset())
        if found or gateway.authorization is not Authorization.NONE:
            objects = (_build_baseline(gateway, found),)
            key = GatewaySet(gateway.label)
            groups[key] = Group(key, objects)
    return Plan(None, groups, {}, held=relied_on, live=frozenset(live))


def _build_baseline(gateway: Gateway, access: frozenset[ObjectKey]) -> Desired:
    """Build the AuthorizationPolicy that denies; where none is wanted, one that allows."""
    spec = build_baseline_spec(gateway.intent.selector)
    if gateway.authorization is Authorization.NONE:
        spec, access = open_spec(spec), frozenset()
    return build_desired(
        gateway.baseline_key,
        GatewaySet(gateway.label),
        (gateway.owner,),
        spec,
        dry_run=gateway.authorization is Authorization.DRY_RUN,
        place=gateway.label,
        after=access,
        before=open_spec(spec),
    )
