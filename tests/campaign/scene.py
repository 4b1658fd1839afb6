"""All that stands at one moment, and the plan of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from egress_operator.istio.kind import ObjectKey
from egress_operator.istio.kinds import KINDS
from egress_operator.istio.object import Desired, Observed, Owner
from egress_operator.istio.observed import read_observed
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.permission import collect_allows, plan_gateways
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
    build_hand_written,
    find_rule_ages,
)
from egress_operator.plan.standing import build_host_standings
from permission.gateway import GATEWAY
from permission.tenant import PAUSED, POLICY
from testbed.client import Client, Object

from .place import TENANTS

_SETTINGS = Settings()


@dataclass(frozen=True)
class Scene:
    """All that stands at one moment."""

    policies: tuple[Object, ...]
    gateways: tuple[Object, ...]
    namespaces: tuple[Object, ...]
    objects: dict[ObjectKey, Object]
    """Of Istio's kinds."""

    @cached_property
    def observed(self) -> dict[ObjectKey, Observed]:
        """The same as the operator sees them."""
        return {key: read_observed(item) for key, item in self.objects.items()}

    @cached_property
    def labels(self) -> dict[str, dict[str, str]]:
        """Of the namespaces that are there and stay."""
        return {
            item["metadata"]["name"]: item["metadata"].get("labels") or {}
            for item in self.namespaces
            if "deletionTimestamp" not in item["metadata"]
        }

    @cached_property
    def results(self) -> dict[str, GatewayResult]:
        """What is to be said of the EgressGateways."""
        return judge_gateways(_build_gateway_sources(self.gateways), _SETTINGS)

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """Of the tenants' namespaces that are there and stay."""
        return {name: self._plan(name) for name in TENANTS if name in self.labels}

    @cached_property
    def access(self) -> Plan:
        """The plan of permissions where nothing is left from before."""
        return plan_gateways(self.results, collect_allows(self.plans.values()), {}, self.permits)

    @cached_property
    def keepers(self) -> frozenset[str]:
        """The uids of the policies that keep what they own: on hold, or their deletion waits."""
        waiting = {
            item["metadata"]["uid"]
            for item in self.policies
            if "deletionTimestamp" in item["metadata"]
        }
        held = {owner.uid for plan in self.plans.values() for owner in plan.held}
        return frozenset(waiting | held)

    def permits(self, result: GatewayResult | None, namespace: str) -> bool:
        """Whether a namespace may use a gateway."""
        labels = self.labels.get(namespace)
        return labels is not None and result is not None and result.is_open_to(labels)

    def list_withdrawn(self) -> frozenset[ObjectKey]:
        """Name the permissions that stand and must not."""
        return frozenset(
            key
            for key, item in self.observed.items()
            if item.ours
            and item.tenant
            and not self.permits(self.results.get(str(item.set_key)), item.tenant)
        )

    def is_squatted(self, wanted: Desired) -> bool:
        """Whether something of a stranger stands where an object is wanted."""
        there = self.observed.get(wanted.key)
        return there is not None and not there.ours and not there.is_damaged

    def _plan(self, namespace: str) -> Plan:
        """Plan a namespace beside what stands: under a limit that comes first."""
        there = [item for key, item in sorted(self.observed.items()) if key.namespace == namespace]
        owners = {
            Owner(item["metadata"]["name"], item["metadata"]["uid"])
            for item in self.policies
            if item["metadata"]["namespace"] == namespace
        }
        return plan_namespace(
            NamespaceInput(
                namespace=namespace,
                policies=tuple(_build_policy_sources(self.policies, namespace)),
                settings=_SETTINGS,
                hand_written=tuple(
                    build_hand_written(item) for item in there if not item.ours and item.facts.hosts
                ),
                rule_ages=find_rule_ages(there),
                gateways=tuple(_build_gateway_sources(self.gateways)),
                labels=self.labels[namespace],
                standing=build_host_standings(there, owners),
            )
        )


def read_scene(client: Client) -> Scene:
    """Read what stands now."""
    objects = {}
    for kind, row in KINDS.items():
        for item in client.list_objects(row.api_version, kind):
            metadata = item["metadata"]
            key = ObjectKey(kind, metadata["namespace"], metadata["name"])
            objects[key] = {"apiVersion": row.api_version, "kind": str(kind), **item}
    return Scene(
        policies=tuple(client.list_objects(*POLICY)),
        gateways=tuple(client.list_objects(*GATEWAY)),
        namespaces=tuple(client.list_objects("v1", "Namespace")),
        objects=objects,
    )


def _build_gateway_sources(items: Iterable[Object]) -> Iterator[GatewaySource]:
    for item in items:
        metadata = item["metadata"]
        if "deletionTimestamp" not in metadata:
            yield GatewaySource(
                name=metadata["name"],
                uid=metadata["uid"],
                generation=metadata["generation"],
                created=metadata["creationTimestamp"],
                spec=item["spec"],
            )


def _build_policy_sources(items: Iterable[Object], namespace: str) -> Iterator[PolicySource]:
    for item in items:
        metadata = item["metadata"]
        if metadata["namespace"] == namespace and "deletionTimestamp" not in metadata:
            yield PolicySource(
                namespace=namespace,
                name=metadata["name"],
                uid=metadata["uid"],
                generation=metadata["generation"],
                created=metadata["creationTimestamp"],
                spec=item["spec"],
                paused=(metadata.get("annotations") or {}).get(PAUSED) == "true",
            )
