"""Hand-written DestinationRules beside one of ours for the same host, and which of the two counts.

Read by a test of the plan, and by one with a mesh, which asks a proxy.
"""

from dataclasses import dataclass, field
from typing import Any

from testbed.client import Object

POOL = {"trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 7}}}}
SUBSETS = {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
CHOSEN = {"workloadSelector": {"matchLabels": {"app": "checkout"}}}
OTHERS = {"workloadSelector": {"matchLabels": {"app": "other"}}}


@dataclass(frozen=True)
class Rival:
    """A hand-written rule in the namespace `shop`."""

    name: str
    is_older: bool
    """Than ours."""
    counts: bool
    """Whether its trafficPolicy, or its lack of one, takes the place of ours."""
    spec: dict[str, Any] = field(hash=False)
    """Without the host."""

    @property
    def host(self) -> str:
        return f"{self.name}.example"


RIVALS = [
    Rival(f"{'older' if older else 'younger'}-{slug}", older, counts, spec)
    for older, slug, counts, spec in (
        (True, "same-export", True, {"exportTo": ["."], **POOL}),
        (True, "no-export", False, POOL),
        (True, "to-all", False, {"exportTo": ["*"], **POOL}),
        (True, "also-elsewhere", False, {"exportTo": [".", "pay"], **POOL}),
        (True, "own-name", False, {"exportTo": ["shop"], **POOL}),
        (True, "elsewhere", False, {"exportTo": ["pay"], **POOL}),
        (True, "subsets", False, {"exportTo": ["."], **SUBSETS}),
        (True, "chosen", True, {**CHOSEN, **POOL}),
        (True, "others", True, {**OTHERS, **POOL}),
        (False, "same-export", False, {"exportTo": ["."], **POOL}),
        (False, "no-export", True, POOL),
        (False, "to-all", True, {"exportTo": ["*"], **POOL}),
        (False, "also-elsewhere", False, {"exportTo": [".", "pay"], **POOL}),
        (False, "own-name", True, {"exportTo": ["shop"], **POOL}),
        (False, "elsewhere", False, {"exportTo": ["pay"], **POOL}),
        (False, "subsets", True, SUBSETS),
        (False, "chosen", True, {**CHOSEN, **POOL}),
        (False, "others", True, {**OTHERS, **POOL}),
    )
]


def build_rule(name: str, host: str, spec: dict[str, Any]) -> Object:
    """Build a DestinationRule in the namespace `shop`. Pure."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"host": host, **spec},
    }
