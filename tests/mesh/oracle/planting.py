"""Sets in which a planted fault changes something: others could not show it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count

from egress_operator.istio.object_set import ObjectSet
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import GatewaySource, NamespaceInput, PolicySource, Settings
from mesh.gateway.tenant import SHARED, TENANTS
from mesh.oracle.draw import NOW
from mesh.oracle.fault import find_planted, spoil
from testbed.client import Object
from testbed.sample import ALLOWED_CIDRS

CREATED = "2026-01-01T00:00:00Z"
SETTINGS = Settings(allowed_cidrs=(ALLOWED_CIDRS,), dns_capture=True)
SEARCHED = 2000
"""Sets in a row that a fault may leave as they are."""


def find_seeds(
    seed: str, draw: Callable[[str], list[Object]], gateways: Iterable[Object]
) -> Iterator[str]:
    """Give the seeds, one after the other, whose sets are changed by the fault for their hosts.

    Raises AssertionError with `seed`, which shall name the fault, when no more are found.
    """
    sources = tuple(
        GatewaySource(item["metadata"]["name"], item["metadata"]["name"], 1, CREATED, item["spec"])
        for item in gateways
    )
    left = SEARCHED
    for number in count():
        name = f"{seed}-{number}"
        policies = draw(name)
        if any(is_spoiled(namespace, policies, sources) for namespace in TENANTS):
            left = SEARCHED
            yield name
        left -= 1
        assert left > 0, f"{seed}: the fault changes none of {SEARCHED} sets in a row"


def is_spoiled(
    namespace: str, policies: Iterable[Object], gateways: tuple[GatewaySource, ...]
) -> bool:
    """Whether a fault changes what policies of a namespace are compiled to. Pure."""
    groups = compile_sets(namespace, policies, gateways)
    planted = ((find_planted(str(group.key)), group) for group in groups)
    return any(fault is not None and spoil(fault, group) != group for fault, group in planted)


def compile_sets(
    namespace: str, policies: Iterable[Object], gateways: tuple[GatewaySource, ...]
) -> Collection[ObjectSet]:
    """Compile the policies that are of a namespace. Pure."""
    sources = tuple(
        PolicySource(namespace, name, name, 1, CREATED, policy["spec"])
        for policy in policies
        for name in [policy["metadata"]["name"]]
        if policy["metadata"]["namespace"] == namespace
    )
    labels = {"egress": SHARED}
    plan = plan_namespace(
        NamespaceInput(namespace, sources, SETTINGS, gateways=gateways, labels=labels, now=NOW)
    )
    return plan.sets.values()
