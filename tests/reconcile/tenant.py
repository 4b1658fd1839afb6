"""A namespace of the real API server with the real operator at work, in few words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from egress_operator.reconcile.policy import PROGRESS_AFTER_S
from status.lint import lint_status
from testbed.audit import Mark, Record
from testbed.client import Client, Object
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until

POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
ISTIO = "networking.istio.io/v1"
ENTRY = (ISTIO, "ServiceEntry")
ROUTE = (ISTIO, "VirtualService")
TIMEOUT_S = 15.0
COLLECTED_S = 60.0
"""For the garbage collector, which promises no time. It knows our kinds from the start."""
SLACK_S = 0.5
"""Between a change and the operator's first write for it."""
HTTP = {"number": 80, "protocol": "HTTP"}


def build_policy(
    namespace: str,
    name: str,
    *destinations: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": POLICY[0],
        "kind": POLICY[1],
        "metadata": metadata,
        "spec": {"destinations": [dict(destination) for destination in destinations]},
    }


def hosts(*names: str, **more: object) -> dict[str, Any]:
    """One destination."""
    return {"hosts": list(names), **more}


@dataclass
class TenantNamespace:
    """What tests do and see. Statuses are linted whenever they are read."""

    plane: ControlPlane
    namespace: str
    user: str
    """The operator's name in the audit log."""

    @property
    def client(self) -> Client:
        return self.plane.admin

    def apply(self, name: str, *destinations: Mapping[str, Any], **more: Any) -> Object:  # noqa: ANN401
        return self.client.apply(build_policy(self.namespace, name, *destinations, **more))

    def policy(self, name: str) -> Object:
        return self.client.get(*POLICY, name, self.namespace)

    def delete(self, name: str) -> None:
        self.client.delete(*POLICY, name, self.namespace)

    def status(self, name: str) -> Object:
        """Read the status, empty while there is none. Fails when the linter finds something."""
        policy = self.policy(name)
        status: Object = policy.get("status") or {}
        if status and status["observedGeneration"] == policy["metadata"]["generation"]:
            assert lint_status(status, policy["metadata"]["generation"]) == []
        return status

    def condition(self, name: str, kind: str) -> Object:
        for condition in self.status(name).get("conditions", []):
            if condition["type"] == kind:
                return dict(condition)
        return {}

    def ready(self, name: str) -> tuple[str, str]:
        """(status, reason) of Ready for the present generation; ("", "") before."""
        condition = self.condition(name, "Ready")
        generation = self.policy(name)["metadata"]["generation"]
        if condition.get("observedGeneration") != generation:
            return "", ""
        return condition["status"], condition["reason"]

    def wait_ready(
        self,
        name: str,
        expected: tuple[str, str] = ("True", "Applied"),
        timeout_s: float = TIMEOUT_S,
    ) -> Object:
        """Wait for Ready of the present generation; the status."""

        def look() -> bool:
            found = self.ready(name)
            assert found == expected, f"{name} is {found}: {self.condition(name, 'Ready')}"
            return True

        wait_until(look, timeout_s, f"{name} becomes {expected}")
        return self.status(name)

    def objects(self) -> list[Object]:
        """Every Istio object of the namespace, ours or not."""
        return [
            item
            for kind in (ENTRY, ROUTE)
            for item in self.client.list_objects(*kind, self.namespace)
        ]

    def entry(self, host: str) -> Object | None:
        """Find the ServiceEntry of a host."""
        for item in self.client.list_objects(*ENTRY, self.namespace):
            if item["spec"]["hosts"] == [host]:
                return item
        return None

    def get_entry(self, host: str) -> Object:
        entry = self.entry(host)
        assert entry is not None, f"no ServiceEntry for {host}"
        return entry

    def wait_hosts(self, *expected: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the ServiceEntries are for these hosts."""

        def look() -> bool:
            found = sorted(
                item["spec"]["hosts"][0]
                for item in self.client.list_objects(*ENTRY, self.namespace)
            )
            assert found == sorted(expected), f"entries for {found}"
            return True

        wait_until(look, timeout_s, f"entries are for {expected}")

    def mark(self) -> Mark:
        """Return a mark for `writes`."""
        return self.plane.audit.position()

    def records(self, since: Mark) -> list[Record]:
        """List the operator's writes in this namespace, its events left out, in order."""
        return [
            record
            for record in self.plane.audit.records(since=since, user=self.user, writes=True)
            if record.namespace == self.namespace and record.resource != "events"
        ]

    def writes(self, since: Mark) -> list[str]:
        """List them as sorted texts: `create serviceentries`, `patch egresspolicies/status`.

        A status that tells of a change under way, as slow machines bring it about, is left out.
        """
        records = self.records(since)
        return sorted(
            _describe(record)
            for index, record in enumerate(records)
            if not _is_progress(record, records, index)
        )

    def wait_writes(
        self, since: Mark, expected: Sequence[str], timeout_s: float = TIMEOUT_S
    ) -> None:
        """Wait until as many writes were made, and compare."""
        wait_until(
            lambda: len(self.writes(since)) >= len(expected), timeout_s, f"writes {expected}"
        )
        found = self.writes(since)
        assert found == sorted(expected), f"{found}, not {sorted(expected)}"


def _is_progress(record: Record, records: Sequence[Record], index: int) -> bool:
    """Whether it is a status in the middle of a change.

    That is long after the first write since the policy's last status, and another status follows.
    """
    if record.subresource != "status":
        return False
    same = [
        number
        for number, other in enumerate(records)
        if (other.resource, other.name, other.subresource)
        == (record.resource, record.name, record.subresource)
    ]
    last = max((number for number in same if number < index), default=-1)
    change = records[last + 1 : index]
    if not change or index == same[-1]:
        return False
    begun = datetime.fromisoformat(change[0].time)
    waited = (datetime.fromisoformat(record.time) - begun).total_seconds()
    return waited > PROGRESS_AFTER_S - SLACK_S


def _describe(record: Record) -> str:
    resource = record.resource + (f"/{record.subresource}" if record.subresource else "")
    failed = "" if 200 <= record.code < 300 else f" {record.code}"
    return f"{record.verb} {resource}{failed}"
