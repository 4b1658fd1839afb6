"""Tenants of a gateway, and what they and the platform team write."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from mesh.gateway.handmade import REMOVED
from mesh.traffic.policy import APP, BATCH, CHECKOUT, POLICY, build_policy
from testbed.client import Object
from testbed.gateway import Gateway
from testbed.mesh import Mesh
from testbed.request import Verdict

TENANTS = ("shop", "pay")
WORKLOADS = {"shop": (CHECKOUT, BATCH), "pay": (APP,)}
"""Of each tenant; `shop/checkout` and `shop/batch` have service accounts of their names."""
SHARED = "shared"

INNER_HEADERS = frozenset(REMOVED)
"""What proxies tell each other, and no server outside."""


def expect_each(mesh: Mesh, callers: Iterable[str], texts: Iterable[str], verdict: Verdict) -> None:
    """Expect the same of each of these calls by each of these workloads."""
    for caller, text in product(callers, texts):
        mesh.expect(caller, text, verdict)


def build_egress_gateway(
    gateway: Gateway, name: str = SHARED, *, authorization: str = "Managed", **more: object
) -> Object:
    """Build an EgressGateway, open to the namespaces with the label `egress: NAME`. Pure."""
    return {
        "apiVersion": POLICY[0],
        "kind": "EgressGateway",
        "metadata": {"name": name},
        "spec": {
            "namespace": gateway.namespace,
            "selector": {"istio": gateway.template.labels["istio"]},
            "service": {"name": gateway.template.name, "port": 443},
            "namespaces": {"matchLabels": {"egress": name}},
            "authorization": authorization,
            **more,
        },
    }


def build_gateway_policy(
    name: str, *destinations: Mapping[str, Any], gateway: str = SHARED, source: Object | None = None
) -> Object:
    """Build a policy through a gateway, as `build_policy` does; `source` is its `from`. Pure."""
    policy = build_policy(name, *destinations)
    policy["spec"]["gatewayRef"] = {"name": gateway}
    if source is not None:
        policy["spec"]["from"] = source
    return policy
