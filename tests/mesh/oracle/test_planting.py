"""Faults can be planted in every set, and the search for those in which one shows ends."""

import pytest

from egress_operator.plan.source import GatewaySource
from mesh.gateway.tenant import SHARED, TENANTS
from mesh.oracle.draw import Site, draw_policies
from mesh.oracle.fault import FAULTS, spoil
from mesh.oracle.planting import CREATED, SEARCHED, compile_sets, find_seeds
from testbed.seed import SEED

SITES = (Site("h0.set-0.example", "192.0.2.1"), Site("h1.set-0.example", "192.0.2.2"))
SETS = 300
GATEWAY = GatewaySource(
    SHARED,
    SHARED,
    1,
    CREATED,
    {
        "namespace": "istio-egress",
        "selector": {"istio": "egress"},
        "service": {"name": "egress", "port": 443},
        "namespaces": {"matchLabels": {"egress": SHARED}},
        "authorization": "Managed",
    },
)


def test_a_fault_that_changes_no_set_is_named() -> None:
    drawn: list[str] = []

    def draw(seed: str) -> list[dict[str, object]]:
        drawn.append(seed)
        return []

    with pytest.raises(AssertionError, match="1-lose_timeout: the fault changes none of"):
        next(find_seeds("1-lose_timeout", draw, ()))
    assert len(drawn) == SEARCHED


def test_every_fault_can_be_planted_in_every_set_and_changes_some() -> None:
    print(f"EGRESS_SEED={SEED}")  # noqa: T201 - shown when the test fails
    left = set(FAULTS)
    for number in range(SETS):
        policies = draw_policies(f"{SEED}-{number}", "set-0", SITES)
        for namespace in TENANTS:
            for group in compile_sets(namespace, policies, (GATEWAY,)):
                left -= {name for name, fault in FAULTS.items() if spoil(fault, group) != group}
    assert not left, f"none of {SETS} sets is changed by {left}"
