"""`plan_gateways`: the objects that serve an EgressGateway as a whole."""

from collections.abc import Iterable, Mapping

from egress_operator.compiler.authorization_policy import build_baseline_spec, open_spec
from egress_operator.compiler.gateway import Authorization, Gateway, GatewayVerdict
from egress_operator.compiler.group import Group
from egress_operator.compiler.object import Desired, Kind, ObjectKey, Observed, Owner, digest_spec
from egress_operator.compiler.plan import Plan

CLUSTER = ""
"""The part of the plans that belongs to no namespace."""

Access = Mapping[str, frozenset[ObjectKey]]
"""By the label of a gateway: `find_access` of it."""


def find_access(gateway: Gateway, observed: Iterable[Observed]) -> frozenset[ObjectKey]:
    """Name the AuthorizationPolicies of tenants that the gateway's own one has to wait for. Pure.

    Those that are there. Where they are enforced, also those that tenants will have who use the
    gateway already; where none are wanted, those alone that still deny something. `observed` holds
    the AuthorizationPolicies of the gateway's namespace, and what serves its tenants.
    """
    items = [item for item in observed if item.ours and item.part]
    access = {
        item.key: item
        for item in items
        if item.key.kind is Kind.AUTHORIZATION_POLICY and gateway.label in item.refs
    }
    match gateway.authorization:
        case Authorization.MANAGED:
            tenants = {item.part for item in items if item.group == gateway.label}
            return frozenset({*access, *map(gateway.find_access_key, tenants)})
        case Authorization.DRY_RUN:
            return frozenset(access)
        case Authorization.NONE:
            return frozenset(key for key, item in access.items() if not item.dry_run)


def plan_gateways(verdicts: Mapping[str, GatewayVerdict], access: Access) -> Plan:
    """Make the plan of what no namespace decides. Pure.

    What serves a gateway that is not accepted (any more) is neither changed nor pruned.
    """
    groups: dict[str, Group] = {}
    live: set[Owner] = set()
    for verdict in verdicts.values():
        gateway = verdict.gateway
        if gateway is None:
            continue
        live.add(gateway.owner)
        found = access.get(gateway.label, frozenset())
        if found or gateway.authorization is not Authorization.NONE:
            objects = (_build_baseline(gateway, found),)
            groups[gateway.label] = Group(CLUSTER, gateway.label, gateway.label, objects)
    return Plan(CLUSTER, groups, {}, held=frozenset(), live=frozenset(live))


def _build_baseline(gateway: Gateway, access: frozenset[ObjectKey]) -> Desired:
    """Build the AuthorizationPolicy that denies; where none is wanted, one that allows."""
    spec = build_baseline_spec(gateway)
    if gateway.authorization is Authorization.NONE:
        spec, access = open_spec(spec), frozenset()
    return Desired(
        gateway.baseline_key,
        gateway.label,
        (gateway.owner,),
        spec,
        digest_spec(spec),
        dry_run=gateway.authorization is Authorization.DRY_RUN,
        after=access,
        before=open_spec(spec),
    )
