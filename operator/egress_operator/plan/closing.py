"""Hosts that close after the gateway denies them."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from egress_operator.istio.set_key import HostSet, SetKey, TenantSet
from egress_operator.plan.gateway import GatewayResult
from egress_operator.plan.intent import Authorization
from egress_operator.plan.plan import Plan


def find_denied(
    plan: Plan, changed: AbstractSet[SetKey], gateways: Mapping[str, GatewayResult]
) -> set[HostSet]:
    """Find the changed hosts of a plan that lose a permission which a gateway enforces. Pure.

    They close one settle time later, when the gateway denies them: istiod gathers changes until
    there is a pause, so theirs, if they are many, would hold up the one that denies.
    """
    closing = {key for key in changed & plan.sets.keys() if plan.sets[key].is_closing}
    labels = {key.gateway for key in closing if isinstance(key, TenantSet)}
    is_enforced = any(
        result.gateway is not None
        and result.gateway.label in labels
        and result.gateway.authorization is Authorization.MANAGED
        for result in gateways.values()
    )
    return {key for key in closing if isinstance(key, HostSet)} if is_enforced else set()
