"""A short history of policies and objects, told by hand and judged like that of a campaign."""

import copy
from typing import Any

from egress_operator.istio.manifest import build_manifest
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource
from egress_operator.status.progress import SetProgress, SetState
from egress_operator.status.report import compute_status
from testbed.audit import Record
from testbed.client import Object

from .evidence import Evidence
from .history import ENTRY, POLICY, ROUTE, Change, Key, read_key
from .invariant import find_breaches

HOST = "api.example.com"
NAMESPACE = "shop"
CREATED = "2026-11-21T12:00:00Z"


class Story:
    """Objects that come, change and go, as a history and a present."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[Key, Object] = {}
        self.history: list[Change] = []
        self.records: list[Record] = []
        self.squatters: dict[Key, Object] = {}
        self.faults = 0
        self.outages = 0

    def put(self, item: Object) -> Object:
        """Create or replace an object; the copy that is stored."""
        self.revision += 1
        stored: Object = copy.deepcopy(item)
        key = read_key(stored)
        before = self.objects.get(key)
        metadata = stored["metadata"]
        same_spec = before is not None and before["spec"] == stored["spec"]
        metadata.setdefault("uid", f"uid-{self.revision}")
        metadata.setdefault("creationTimestamp", CREATED)
        if before is None:
            metadata["generation"] = 1
        else:
            metadata["generation"] = before["metadata"]["generation"] + (not same_spec)
        metadata["resourceVersion"] = str(self.revision)
        self.history.append(Change(self.revision, key, before, stored))
        self.objects[key] = stored
        return copy.deepcopy(stored)

    def remove(self, key: Key) -> None:
        self.revision += 1
        self.history.append(Change(self.revision, key, self.objects.pop(key), None))

    def record(self, verb: str, resource: str, name: str, subresource: str = "") -> None:
        """Log a write of the operator."""
        self.records.append(
            Record(
                user="operator",
                verb=verb,
                group="",
                resource=resource,
                subresource=subresource,
                namespace=NAMESPACE,
                name=name,
                path="",
                code=200,
                agent="",
                time="",
            )
        )

    def judge(self) -> list[str]:
        """List the names of the rules that are broken."""
        evidence = Evidence(
            objects=self.objects,
            history=tuple(self.history),
            records=tuple(self.records),
            squatters=self.squatters,
            faults=self.faults,
            outages=self.outages,
        )
        return sorted({breach.partition(" ")[0] for breach in find_breaches(evidence)})

    # What people do.

    def apply(self, name: str, *ports: int, host: str = HOST) -> Object:
        """Write a policy with a timeout for some HTTP ports."""
        metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE}
        before = self.objects.get(Key(POLICY, NAMESPACE, name))
        item: Object = {"kind": POLICY, "metadata": metadata}
        if before is not None:
            metadata["uid"] = before["metadata"]["uid"]
            item["status"] = before.get("status")
        destination = {
            "hosts": [host],
            "ports": [{"number": port, "protocol": "HTTP"} for port in ports],
            "http": {"timeout": "3s"},
        }
        return self.put({**item, "spec": {"destinations": [destination]}})

    # What the operator does.

    def write(self, name: str, kind: str) -> Object:
        """Write an object of a policy as if it were the only one."""
        policy = self.objects[Key(POLICY, NAMESPACE, name)]
        source = PolicySource(
            NAMESPACE, name, policy["metadata"]["uid"], 1, CREATED, policy["spec"]
        )
        (group,) = plan_namespace(NamespaceInput(NAMESPACE, (source,))).sets.values()
        desired = next(item for item in group.objects if item.key.kind == kind)
        item = build_manifest(desired, desired.owners)
        there = self.objects.get(read_key(item))
        plural = {ENTRY: "serviceentries", ROUTE: "virtualservices"}[kind]
        self.record("patch" if there else "create", plural, desired.key.name)
        if there:
            item["metadata"]["uid"] = there["metadata"]["uid"]
        return self.put(item)

    def report(self, name: str) -> Object:
        """Write that all of a policy is applied."""
        policy = copy.deepcopy(self.objects[Key(POLICY, NAMESPACE, name)])
        metadata = policy["metadata"]
        source = PolicySource(
            NAMESPACE, name, metadata["uid"], metadata["generation"], CREATED, policy["spec"]
        )
        plan = plan_namespace(NamespaceInput(NAMESPACE, (source,)))
        verdict = plan.results[name]
        progress = {
            host: SetProgress(SetState.APPLIED, objects=tuple(item.key for item in group.objects))
            for host, group in plan.sets.items()
        }
        policy["status"] = compute_status(verdict, progress, policy.get("status"), CREATED)
        self.record("patch", "egresspolicies", name, "status")
        return self.put(policy)


def build_story() -> Story:
    """Tell of a policy that was applied, changed, and applied again."""
    story = Story()
    story.apply("p", 80)
    story.write("p", ENTRY)
    story.write("p", ROUTE)
    story.report("p")
    story.apply("p", 80, 8080)
    story.write("p", ENTRY)
    story.write("p", ROUTE)
    story.report("p")
    return story
