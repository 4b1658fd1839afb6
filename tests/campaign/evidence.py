"""What a campaign leaves behind for judgement, and what the compiler makes of its policies."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from egress_operator.istio.object import MANAGED_BY, MANAGED_BY_LABEL
from egress_operator.plan.plan import Plan, PlanCache, plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource, Settings
from testbed.audit import Record
from testbed.client import Object
from testbed.controlplane import ControlPlane

from .history import CHILDREN, ENTRY, POLICY, ROUTE, Change, History, Key, read_key

API_VERSIONS = {
    POLICY: "egress-operator.io/v1alpha1",
    ENTRY: "networking.istio.io/v1",
    ROUTE: "networking.istio.io/v1",
}


@dataclass(frozen=True)
class Evidence:
    """All that the rules look at."""

    objects: Mapping[Key, Object]
    """The policies and Istio objects that are there now."""
    history: tuple[Change, ...] = ()
    records: tuple[Record, ...] = ()
    """Every write of the operator in the audit log."""
    squatters: Mapping[Key, Object] = field(default_factory=dict)
    """Objects of others under our names or for our hosts, as they were placed beforehand."""
    owners: frozenset[str] = frozenset()
    """uids of owners of other kinds that are there."""
    faults: int = 0
    outages: int = 0
    """Of the faults, how often the API server was killed."""
    drifts: int = 0
    """How often somebody else changed an object of ours."""
    settings: Settings = field(default_factory=Settings)

    def select(self, kind: str) -> Iterator[Object]:
        """Give the objects of a kind."""
        return (item for key, item in self.objects.items() if key.kind == kind)

    def select_ours(self) -> Iterator[tuple[Key, Object]]:
        """Give the Istio objects with our label, squatters left out."""
        for key, item in self.objects.items():
            if key.kind in CHILDREN and key not in self.squatters and is_labelled(item):
                yield key, item

    @cached_property
    def held(self) -> frozenset[str]:
        """The uids of the policies on hold.

        What they own stays as it is, also with the reference to another owner that is gone, when
        the garbage collector did not see it go. It goes with its last owner.
        """
        namespaces = {key.namespace for key in self.objects}
        return frozenset(owner.uid for name in namespaces for owner in self.plan(name).held)

    def plan(self, namespace: str, memo: PlanCache | None = None) -> Plan:
        """Compile the policies of a namespace as they are now."""
        policies = [
            item for item in self.select(POLICY) if item["metadata"]["namespace"] == namespace
        ]
        return self.compile(namespace, policies, memo)

    def compile(
        self, namespace: str, policies: Iterable[Object], memo: PlanCache | None = None
    ) -> Plan:
        """Compile some policies as if they were all of the namespace."""
        inputs = NamespaceInput(
            namespace=namespace,
            policies=tuple(build_source(policy) for policy in policies),
            settings=self.settings,
        )
        return plan_namespace(inputs, memo)


def gather_evidence(
    plane: ControlPlane,
    history: History,
    *,
    user: str,
    squatters: Mapping[Key, Object],
    faults: int,
    outages: int,
    drifts: int,
) -> Evidence:
    """Read everything as it is now; the history is complete up to what was read."""
    client = plane.admin
    objects = {
        read_key(item := {"apiVersion": version, "kind": kind, **listed}): item
        for kind, version in API_VERSIONS.items()
        for listed in client.list_objects(version, kind)
    }
    history.catch_up(client)
    return Evidence(
        objects=objects,
        history=history.read(),
        records=tuple(plane.audit.records(user=user, writes=True)),
        squatters=squatters,
        owners=frozenset(
            item["metadata"]["uid"] for item in client.list_objects("v1", "ConfigMap")
        ),
        faults=faults,
        outages=outages,
        drifts=drifts,
    )


def build_source(policy: Object) -> PolicySource:
    metadata = policy["metadata"]
    return PolicySource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        spec=policy["spec"],
    )


def is_labelled(item: Object) -> bool:
    labels: dict[str, str] = item["metadata"].get("labels") or {}
    return labels.get(MANAGED_BY_LABEL) == MANAGED_BY


def find_condition(policy: Object, kind: str) -> Object:
    """Return a condition of the status, empty when it is not there."""
    conditions: list[Object] = (policy.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == kind), {})


class Timeline:
    """How each object was at every revision."""

    def __init__(self, history: Iterable[Change]) -> None:
        self._revisions: dict[Key, list[int]] = {}
        self._states: dict[Key, list[Object | None]] = {}
        for change in history:
            if change.key not in self._states:
                self._revisions[change.key] = [0]
                self._states[change.key] = [change.before]
            self._revisions[change.key].append(change.revision)
            self._states[change.key].append(change.after)

    def find(self, key: Key, start: int, end: int) -> list[Object | None]:
        """Return every state that the object had from revision `start` to revision `end`."""
        revisions = self._revisions.get(key, [])
        first = max(bisect_right(revisions, start) - 1, 0)
        return self._states.get(key, [None])[first : bisect_right(revisions, end) or 1]
