"""Namespaces, gateways and policies as users wrote them, and what is planned for them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from egress_operator.istio.object import GATEWAY_KIND, Owner
from egress_operator.istio.set_key import GatewaySet, TenantSet
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.permission import build_standing, collect_allows, plan_gateways
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
)
from egress_operator.plan.standing import HostStanding, build_host_standings
from rollout.fake_cluster import FakeCluster, build_policy

HOST = "api.example.com"
PAST, NOW = "2026-01-31T00:00:00Z", 1_780_000_000.0
"""A moment, and the time of day long after it (Unix time)."""
SHARED, OTHER = "shared", "other"
PLACES = {SHARED: "istio-egress", OTHER: "egress-two"}
NAMESPACES = ("shop", "pay")


def build_gateway(name: str = SHARED, generation: int = 1, **more: object) -> GatewaySource:
    """Make an EgressGateway that every namespace with the label `egress: yes` may use."""
    spec: dict[str, Any] = {
        "namespace": PLACES[name],
        "selector": {"istio": name},
        "service": {"name": "egress", "port": 443},
        "namespaces": {"matchLabels": {"egress": "yes"}},
        "authorization": "Managed",
        **more,
    }
    return GatewaySource(name, f"{name}-uid", generation, "2026-01-01T00:00:00Z", spec)


def build_route(
    name: str,
    *ports: Mapping[str, Any],
    gateway: str = "",
    source: Mapping[str, Any] | None = None,
    hosts: Iterable[str] = (HOST,),
    place: Mapping[str, Any] | None = None,
    **more: Any,  # noqa: ANN401 - arguments of build_policy
) -> PolicySource:
    """Make a policy for one host; in each port `originateTLS` and `http` are the destination's.

    `place`: what all destinations have, such as their backends.
    """
    destinations = []
    for port in ports:
        entry = {key: port[key] for key in ("originateTLS", "http") if key in port}
        rest = {key: value for key, value in port.items() if key not in entry}
        destinations.append({"hosts": list(hosts), "ports": [rest], **entry, **(place or {})})
    policy = build_policy(name, *destinations, **more)
    extra: dict[str, Any] = {"gatewayRef": {"name": gateway}} if gateway else {}
    if source:
        extra["from"] = source
    return replace(policy, spec={**policy.spec, **extra})


def expire(policy: PolicySource) -> PolicySource:
    """Make a policy of which the time is over."""
    return replace(policy, spec={**policy.spec, "expiresAt": PAST})


@dataclass(frozen=True)
class PolicySet:
    """All that users wrote at one time: policies, gateways, and labels of namespaces."""

    policies: tuple[PolicySource, ...] = ()
    gateways: tuple[GatewaySource, ...] = ()
    selected: frozenset[str] = frozenset(NAMESPACES)
    """The namespaces with the label that gateways ask for."""
    settings: Settings = field(default_factory=lambda: Settings(dns_capture=True))

    def list_owners(self) -> set[Owner]:
        """List every policy and gateway as an owner."""
        return {Owner(policy.name, policy.uid) for policy in self.policies} | {
            Owner(gateway.name, gateway.uid, GATEWAY_KIND) for gateway in self.gateways
        }

    def plan(self, cluster: FakeCluster) -> list[Plan]:
        """Plan each namespace, and the gateways, whose plan alone reads what is there."""
        plans = [
            plan_namespace(
                NamespaceInput(
                    namespace,
                    tuple(item for item in self.policies if item.namespace == namespace),
                    self.settings,
                    gateways=self.gateways,
                    labels=self._find_labels(namespace),
                    now=NOW,
                    standing=self._find_standing(namespace, cluster),
                )
            )
            for namespace in NAMESPACES
        ]
        verdicts = judge_gateways(self.gateways, self.settings)
        return [*plans, plan_permission(plans, verdicts, cluster, self._find_labels)]

    def _find_standing(self, namespace: str, cluster: FakeCluster) -> tuple[HostStanding, ...]:
        there = (item for item in cluster.observe() if item.key.namespace == namespace)
        return build_host_standings(there, self.list_owners())

    def _find_labels(self, namespace: str) -> Mapping[str, str]:
        return {"egress": "yes"} if namespace in self.selected else {}


def plan_permission(
    plans: Iterable[Plan],
    verdicts: Mapping[str, GatewayResult],
    cluster: FakeCluster,
    labels: Callable[[str], Mapping[str, str] | None],
) -> Plan:
    """Plan the gateways, from what other plans need and what is there."""
    ours = [item for item in cluster.observe() if item.ours]
    keys = {item.set_key for item in ours if isinstance(item.set_key, GatewaySet)}
    standing = {}
    for key in keys | {verdict.set_key for verdict in verdicts.values()}:
        policies = [item for item in ours if item.set_key == key]
        places = {item.place for item in policies}
        verdict = verdicts.get(key.gateway)
        if verdict is not None and verdict.set_key == key and verdict.gateway is not None:
            places.add(verdict.gateway.label)
            places |= {
                item.label
                for item in ours
                if isinstance(item.set_key, TenantSet)
                and any(
                    (owner.kind, owner.name) == (GATEWAY_KIND, key.gateway) for owner in item.owners
                )
            } - {""}
        servers = [item for item in ours if item.label in places]
        standing[key] = build_standing(policies, servers)

    def is_selected(verdict: GatewayResult, namespace: str) -> bool:
        found = labels(namespace)
        return found is not None and verdict.is_open_to(found)

    return plan_gateways(verdicts, collect_allows(plans), standing, is_selected)
