"""The policies of the benchmark, and the objects that the operator makes of one."""

from typing import Any

from egress_operator.istio.kinds import KINDS
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Owner
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource

Object = dict[str, Any]

HOSTS = 4


def build_policy(namespace: str, name: str, port: int = 443) -> Object:
    """Build a policy of four hosts, each a destination of its own: four objects.

    `port` is that of the first host.
    """
    destinations: list[Object] = [
        {"hosts": [f"h{number}.{name}.example.com"]} for number in range(HOSTS)
    ]
    if port != 443:
        destinations[0]["ports"] = [{"number": port, "protocol": "TLS"}]
    return {
        "apiVersion": "egress-operator.io/v1alpha1",
        "kind": "EgressPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"destinations": destinations},
    }


def build_children(policy: Object, uid: str) -> list[tuple[str, Object]]:
    """Build what the operator writes for a policy: (plural, manifest)."""
    metadata = policy["metadata"]
    source = PolicySource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=uid,
        generation=1,
        created="2026-01-01T00:00:00Z",
        spec=policy["spec"],
    )
    plan = plan_namespace(NamespaceInput(metadata["namespace"], (source,)))
    owners = (Owner(metadata["name"], uid),)
    return [
        (KINDS[desired.key.kind].plural, dict(build_manifest(desired, owners)))
        for group in plan.sets.values()
        for desired in group.objects
    ]
