"""What policies get: the compiler and `explain` come to the same, each by its own reading."""

import pytest

from egress_operator.explain.explain import find_hold
from egress_operator.explain.want import decide
from egress_operator.explain.world import read_world
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import GatewaySource, NamespaceInput, PolicySource
from egress_operator.plan.verdict import ClaimState
from mesh.gateway.tenant import SHARED, TENANTS
from mesh.oracle.draw import CLOSED, DOWN, Site, draw_policies
from testbed.client import Object

SITES = tuple(Site(f"h{number}.example", f"203.0.113.{number}") for number in range(2))
CREATED = "2026-01-01T00:00:00Z"
GATEWAYS = {
    name: {
        "namespace": "istio-egress",
        "selector": {"istio": name},
        "service": {"name": name, "port": 443},
        "namespaces": {"matchLabels": {"egress": name if name == CLOSED else SHARED}},
        "authorization": authorization,
    }
    for name, authorization in ((SHARED, "Managed"), (CLOSED, "Managed"), (DOWN, "DryRun"))
}
SETS = 20
"""Of each batch."""


def find_conflicts(namespace: str, policies: list[Object]) -> list[tuple[str, str, int]]:
    """Ask the compiler: (policy, host or address, port) of every claim that is lost."""
    sources = tuple(
        PolicySource(namespace, name, f"{name}-uid", 1, CREATED, policy["spec"])
        for policy in policies
        for name in [policy["metadata"]["name"]]
        if policy["metadata"]["namespace"] == namespace
    )
    gateways = tuple(
        GatewaySource(name, f"{name}-uid", 1, CREATED, spec) for name, spec in GATEWAYS.items()
    )
    inputs = NamespaceInput(namespace, sources, gateways=gateways, labels={"egress": SHARED})
    plan = plan_namespace(inputs)
    return sorted(
        (name, row.host, row.port)
        for name, verdict in plan.verdicts.items()
        for row in verdict.claims
        if row.state is ClaimState.CONFLICTED
    )


def find_defeats(namespace: str, policies: list[Object]) -> list[tuple[str, str, int]]:
    """Ask `explain` the same."""
    gateways = [
        {"kind": "EgressGateway", "metadata": {"name": name}, "spec": spec}
        for name, spec in GATEWAYS.items()
    ]
    world = read_world([*policies, *gateways])
    there = world.policies.get(namespace, ())
    _, lost = decide(policy for policy in there if not find_hold(world, policy))
    return sorted(
        (defeat.want.policy.name, defeat.want.host or address, defeat.want.port)
        for defeat in lost
        for address in [str(next(iter(defeat.want.place.addresses), "")).partition("/")[0]]
    )


@pytest.mark.parametrize("batch", range(10))
def test_both_lose_the_same(batch: int) -> None:
    for number in range(SETS):
        policies = draw_policies(f"{batch}-{number}", "set", SITES)
        for namespace in TENANTS:
            assert find_defeats(namespace, policies) == find_conflicts(namespace, policies)
