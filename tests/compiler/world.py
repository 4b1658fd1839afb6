"""The objects of one namespace in memory, changed by the very manifests and patches that we send.

No imitation of the API server: it has no schema, no versions and no other clients. It shows whether
the sequence of writes is right.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonpatch import apply_patch

from egress_operator.compiler.object import (
    Kind,
    ObjectKey,
    Observed,
    Owner,
    build_json_patch,
    build_manifest,
    read_observed,
)
from egress_operator.compiler.plan import Group, Plan
from egress_operator.compiler.source import PolicySource
from egress_operator.compiler.step import (
    Create,
    Delete,
    Replace,
    Step,
    Write,
    group_keys,
    leftover,
    next_step,
)

CREATED = "2026-11-21T12:00:00Z"
SETTLE = 2.0


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


@dataclass
class World:
    """Objects by key, a clock, and what an operator process remembers."""

    objects: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    now: float = 1000.0
    started_at: float = 0.0
    written_at: dict[ObjectKey, float] = field(default_factory=dict)
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
        self.started_at, self.written_at = self.now, {}

    def ask(self, plan: Plan, group: Group) -> Step:
        """Compute the next step of a group from what is there."""
        keys = set(group_keys(plan.namespace, group.name))
        return next_step(
            group=group,
            observed=[item for item in self.observe() if item.key in keys],
            held=plan.held,
            live=plan.live,
            written_at=self.written_at,
            started_at=self.started_at,
            now=self.now,
            settle=SETTLE,
        )

    def send(self, write: Write) -> None:
        """Carry out one write."""
        match write:
            case Create(desired, owners):
                assert desired.key not in self.objects, f"{desired.key} is there already"
                self.put(build_manifest(desired, owners))
                key = desired.key
            case Replace(desired, owners, uid):
                key = desired.key
                patch = build_json_patch(desired, owners, uid)
                self.objects[key] = apply_patch(self.objects[key], patch)
            case Delete(key, uid):
                assert self.objects.pop(key)["metadata"]["uid"] == uid
        self.written_at[key] = self.now

    def groups(self, plan: Plan) -> list[Group]:
        """List the plan's groups and those to prune."""
        return [*plan.groups.values(), *leftover(plan, self.observe()).values()]

    def settle(self, plan: Plan, *, limit: int = 50) -> list[Write]:
        """Go on until nothing is left to do; the writes in their order."""
        writes: list[Write] = []
        for group in self.groups(plan):
            for _ in range(limit):
                step = self.ask(plan, group)
                if not step.writes and step.wait is None:
                    break
                for write in step.writes:
                    self.send(write)
                    writes.append(write)
                self.now += 0.01 if step.writes else (step.wait or 0.0)
            else:
                message = f"{group.key} does not settle"
                raise AssertionError(message)
        return writes

    def find_missing_ports(self) -> list[str]:
        """List the ports that our VirtualServices need and their ServiceEntries lack."""
        observed = {item.key: item for item in self.observe()}
        missing = []
        for key, item in observed.items():
            if key.kind is not Kind.VIRTUAL_SERVICE or not item.ours:
                continue
            entry = observed.get(ObjectKey(Kind.SERVICE_ENTRY, key.namespace, key.name))
            offered = {port.number for port in entry.ports} if entry else set()
            missing += [f"{key} needs {number}" for number in sorted(item.needs - offered)]
        return missing

    def is_as_planned(self, plan: Plan) -> bool:
        """Whether exactly the desired objects are there, with exactly their owners."""
        wanted = {
            desired.key: build_manifest(desired, desired.owners)
            for group in plan.groups.values()
            for desired in group.objects
        }
        return self.strip() == wanted

    def strip(self) -> dict[ObjectKey, dict[str, Any]]:
        """Everything without what the API server adds."""
        found = copy.deepcopy(self.objects)
        for obj in found.values():
            for name in ("uid", "creationTimestamp"):
                obj["metadata"].pop(name, None)
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
