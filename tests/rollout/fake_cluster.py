"""The objects of one namespace in memory, changed by the very manifests and patches that we send.

No imitation of the API server: it has no schema, no versions and no other clients. It shows whether
the sequence of writes is right.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jsonpatch import apply_patch

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.manifest import build_json_patch, build_manifest
from egress_operator.istio.object import Observed, Owner
from egress_operator.istio.object_set import ObjectSet, list_keys
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import HostSet, Scope, TenantSet, find_scope, sort_key
from egress_operator.plan.plan import Plan
from egress_operator.plan.source import PolicySource
from egress_operator.rollout.pair import Clock, RolloutContext, find_references
from egress_operator.rollout.step import next_step
from egress_operator.rollout.write import Create, Delete, Replace, Step, Write

CREATED = "2026-11-21T12:00:00Z"
SETTLE = 2.0
EPSILON = 1e-6
"""Times are sums of floats."""
SE, DR, GW = Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE, Kind.GATEWAY
AP, EF, VS = Kind.AUTHORIZATION_POLICY, Kind.ENVOY_FILTER, Kind.VIRTUAL_SERVICE


def build_policy(
    name: str,
    *destinations: Mapping[str, Any],
    created: str = "2026-01-01T00:00:00Z",
    paused: bool = False,
    generation: int = 1,
    namespace: str = "shop",
) -> PolicySource:
    """Make a policy as the API server has it."""
    return PolicySource(
        namespace=namespace,
        name=name,
        uid=f"{name}-uid",
        generation=generation,
        created=created,
        spec={"destinations": list(destinations)},
        paused=paused,
    )


def find_host(plan: Plan, host: str) -> ObjectSet:
    """Return the set of a host of a namespace's plan."""
    assert plan.scope is not None
    return plan.sets[HostSet(plan.scope, host)]


def list_of(observed: Iterable[Observed], scope: Scope) -> list[Observed]:
    """List the objects of ours that the plan of a scope decides on."""
    return [item for item in observed if item.set_key and find_scope(item.set_key) == scope]


def name_writes(writes: Iterable[Write]) -> list[str]:
    """Name writes as `Create ServiceEntry`."""
    return [f"{type(write).__name__} {write.key.kind}" for write in writes]


@dataclass
class FakeCluster:
    """Objects by key, a clock, and what an operator process remembers."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    now: float = 1000.0
    started_at: float = 0.0
    written_at: dict[ObjectKey, float] = field(default_factory=dict)
    heirs: dict[ObjectKey, tuple[Owner, ...]] = field(default_factory=dict)
    serial: int = 0

    def observe(self) -> list[Observed]:
        """Read everything."""
        return [read_observed(obj) for obj in self.objects.values()]

    def put(self, obj: Mapping[str, Any]) -> None:
        """Place an object that somebody else wrote."""
        self.serial += 1
        stored: dict[str, Any] = copy.deepcopy(dict(obj))
        stored["metadata"].setdefault("uid", f"uid-{self.serial}")
        stored["metadata"].setdefault("creationTimestamp", CREATED)
        self.objects[_key(stored)] = stored

    def restart(self) -> None:
        """Lose the memory of the process."""
        self.started_at, self.written_at, self.heirs = self.now, {}, {}

    def compute_step(
        self, plan: Plan, group: ObjectSet, seen: Iterable[Observed] | None = None
    ) -> Step:
        """Compute the next step of a group from what is there, or from what was seen before."""
        keys = list_keys(group)
        observed = self.observe() if seen is None else list(seen)
        after = {key for desired in group.objects for key in desired.after}
        after |= {desired.key for desired in group.allows}
        key = group.key
        return next_step(
            group,
            [item for item in observed if item.key in keys or item.set_key == key],
            RolloutContext(
                plan.held,
                plan.live,
                expired=plan.expired,
                outside=[item for item in observed if item.ours and item.key in after],
                referenced=find_references(observed, key)
                if isinstance(key, TenantSet) and not group.objects
                else frozenset(),
                heirs=self.heirs,
            ),
            Clock(self.now, self.started_at, self.written_at, SETTLE),
        )

    def send(self, write: Write) -> None:
        """Carry out one write."""
        match write:
            case Create(desired, owners):
                assert desired.key not in self.objects, f"{desired.key} is there already"
                self.put(build_manifest(desired, owners))
            case Replace(desired, owners, uid, maps, strays):
                patch = build_json_patch(desired, owners, uid, maps, strays)
                self.objects[desired.key] = apply_patch(self.objects[desired.key], patch)
            case Delete(key, uid, heirs):
                assert self.objects.pop(key)["metadata"]["uid"] == uid
                self.heirs[key] = heirs
        self.written_at[write.key] = self.now

    def list_sets(self, plan: Plan) -> list[ObjectSet]:
        """List the plan's groups, and those to prune."""
        found = {item.set_key for item in self.observe() if item.set_key is not None}
        gone = {key for key in found - {*plan.sets} if find_scope(key) == plan.scope}
        return [*plan.sets.values(), *map(ObjectSet, sorted(gone, key=sort_key))]

    def converge(self, *plans: Plan, limit: int = 100) -> list[Write]:
        """Go on with every group in turn until nothing is left to do; the writes in their order."""
        writes: list[Write] = []
        for _ in range(limit):
            steps = [
                self.compute_step(plan, group) for plan in plans for group in self.list_sets(plan)
            ]
            waits = [step.wait for step in steps if step.wait is not None]
            sent = [write for step in steps for write in step.writes]
            if not sent and not waits:
                return writes
            for write in sent:
                self.send(write)
            writes += sent
            self.now += 0.01 if sent else min(waits)
        message = f"{[plan.scope for plan in plans]} do not settle"
        raise AssertionError(message)

    def find_missing_ports(self) -> list[str]:
        """List the ports that our VirtualServices need and their ServiceEntries lack."""
        observed = {item.key: item for item in self.observe()}
        missing = []
        for key, item in observed.items():
            if key.kind is not VS or not item.ours:
                continue
            entry = observed.get(ObjectKey(SE, key.namespace, key.name))
            offered = {port.number for port in entry.facts.ports} if entry else set()
            missing += [f"{key} needs {number}" for number in sorted(item.facts.needs - offered)]
        return missing

    def is_as_planned(self, *plans: Plan) -> bool:
        """Whether exactly the desired objects are there, with exactly their owners.

        A host that has an allocated address keeps it.
        """
        allocated = {item.key for item in self.observe() if item.allocate}
        wanted = {
            desired.key: build_manifest(
                replace(desired, allocate=True) if desired.key in allocated else desired,
                desired.owners,
            )
            for plan in plans
            for group in plan.sets.values()
            for desired in group.objects
        }
        return self.strip() == wanted

    def strip(self) -> dict[ObjectKey, dict[str, Any]]:
        """Everything without what the API server adds."""
        found = copy.deepcopy(self.objects)
        for obj in found.values():
            for name in ("uid", "creationTimestamp"):
                obj["metadata"].pop(name, None)
            if not obj["metadata"].get("ownerReferences", True):
                # The API server leaves out an empty list.
                del obj["metadata"]["ownerReferences"]
        return found

    def remove_owners(self, owners: Iterable[Owner]) -> None:
        """Do what Kubernetes' garbage collector does after these policies are deleted."""
        gone = {owner.uid for owner in owners}
        for key, obj in list(self.objects.items()):
            references = obj["metadata"].get("ownerReferences") or []
            rest = [reference for reference in references if reference["uid"] not in gone]
            if references and not rest:
                del self.objects[key]
                self.written_at[key] = self.now
            elif len(rest) < len(references):
                obj["metadata"]["ownerReferences"] = rest


def _key(obj: Mapping[str, Any]) -> ObjectKey:
    metadata = obj["metadata"]
    return ObjectKey(Kind(obj["kind"]), metadata["namespace"], metadata["name"])
