"""A mesh with the real operator at work: what a test gives, waits for and looks at."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from egress_operator.api.state import NOT_OBSERVED
from egress_operator.istio.name import build_host_name
from mesh.traffic.policy import (
    ENTRY,
    NAMESPACE,
    OWNED,
    POLICY,
    build_destination,
    build_entry,
    build_policy,
    join_name,
    split_name,
)
from status.lint import lint_status
from testbed.audit import Mark, Record
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.ledger import load_objects
from testbed.mesh import Mesh
from testbed.operator import Operator, OperatorOption, start_operator
from testbed.sample import ALLOWED_CIDRS

SETTINGS = {"EGRESS_ALLOWED_CIDRS": ALLOWED_CIDRS, "EGRESS_DNS_CAPTURE": "on"}
MARKER = "pay/marker"
"""A policy by which the operator shows what it has seen."""
TIMEOUT_S = 20.0
COLLECTED_S = 45.0
"""The garbage collector learns of kinds that are new to it every 30 s."""
_TROUBLE = re.compile(r"Traceback|[A-Z]\w+Warning:|was never retrieved|never awaited")
"""Also a warning of Python, such as ResourceWarning; one of a status is no trouble."""


class OperatedMesh:
    """The mesh and the operator. Statuses are linted whenever they are read."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.client = mesh.control_plane.admin
        self.audit = mesh.control_plane.audit
        self._operator: Operator | None = None

    @property
    def operator(self) -> Operator:
        """The running operator."""
        assert self._operator is not None, "the operator is stopped"
        return self._operator

    def start_operator(self, **settings: str) -> None:
        """Start it and wait until it is ready; `settings` by environment variable."""
        assert self._operator is None, "the operator runs"
        option = OperatorOption(settings={**SETTINGS, **settings})
        self._operator = start_operator(self.mesh.control_plane, option)

    def stop_operator(self) -> None:
        """End it and read its log: nothing may have gone wrong unseen."""
        operator, self._operator = self.operator, None
        check_end(operator, operator.stop())

    def kill_operator(self) -> None:
        """SIGKILL it, in the middle of whatever it does."""
        operator, self._operator = self.operator, None
        operator.kill()

    @contextmanager
    def without_operator(self) -> Iterator[None]:
        """Let there be none for a while; another one takes over, unless the block starts one."""
        try:
            self.stop_operator()
            yield
        finally:
            if self._operator is None:
                self.start_operator()

    @contextmanager
    def with_settings(self, **settings: str) -> Iterator[None]:
        """Let an operator with other settings take over for a while."""
        try:
            self.stop_operator()
            self.start_operator(**settings)
            yield
        finally:
            try:
                if self._operator is not None:
                    self.stop_operator()
            finally:
                self.start_operator()

    @contextmanager
    def mesh_config(self, **config: object) -> Iterator[None]:
        """Let the operator read this of the mesh for a while: it reads when it starts."""
        item = _build_config_map(config)
        self.client.apply(item)
        try:
            self._restart_operator()
            yield
        finally:
            metadata = item["metadata"]
            self.client.delete("v1", "ConfigMap", metadata["name"], metadata["namespace"])
            self._restart_operator()

    def _restart_operator(self) -> None:
        with self.without_operator():
            pass

    def watch_idle(self) -> None:
        """Wait until a new operator has looked at every host, and has nothing to do any more."""
        hosts = {item["metadata"]["name"] for item in self.client.list_objects(*ENTRY, NAMESPACE)}
        wait_until(
            lambda: self._count_looks() >= len(hosts),
            TIMEOUT_S,
            f"the operator does not look at all of {sorted(hosts)}",
        )
        self.operator.wait_idle()

    def wait_idle(self) -> None:
        """Let the operator see all that was written to ServiceEntries, and do what is to be done.

        Who watches a kind sees its changes in their order. The last one is an entry of a stranger
        for the host of a policy, and the operator reports that it has seen it.
        """
        namespace, host = split_name(MARKER)[0], "marker.example"
        self.apply(build_policy(MARKER, build_destination(host)))
        self.mesh.apply(build_entry("marker", host, namespace))
        self.wait_condition(MARKER, "Shadowed", "True")
        self.operator.wait_idle()

    def _count_looks(self) -> float:
        return sum(
            float(line.rpartition(" ")[2])
            for line in self.operator.metrics().splitlines()
            if line.startswith("egress_operator_reconcile_total{")
        )

    def apply(self, policy: Object | Path) -> Object:
        """Apply a policy and wait until it is Ready at this generation; return it."""
        (written,) = self.mesh.apply(policy)
        return self.wait_ready(join_name(written))

    def delete(self, policy: Object | Path) -> None:
        """Delete a policy and wait until its objects are gone, but for those it shares."""
        (item,) = load_objects(policy)
        self.mesh.delete(item)
        self.wait_childless(join_name(item))

    def wait_childless(self, policy: str) -> None:
        """Wait until a policy owns nothing."""
        wait_until(
            lambda: not self.children(policy),
            COLLECTED_S,
            f"objects of {policy} are still there",
        )

    def wait_ready(self, name: str) -> Object:
        """Wait for Ready=True at the present generation; return the policy."""
        self.wait_condition(name, "Ready", "True")
        return self.policy(name)

    def wait_condition(self, name: str, kind: str, status: str, reason: str = "") -> Object:
        """Wait for a condition at the present generation and return it."""

        def look() -> Object:
            found = self.condition(name, kind)
            assert found.get("status") == status, f"{kind} of {name} is {found}"
            assert reason in {"", found["reason"]}, f"{kind} of {name} is {found}"
            return found

        return wait_until(look, TIMEOUT_S, f"{kind} of {name} is not {status} {reason}".strip())

    def wait_gateway(
        self, name: str, kind: str, status: str, reason: str = "", words: str = ""
    ) -> None:
        """Wait for a condition of an EgressGateway, with these words in its message."""

        def look() -> bool:
            found = self.client.get(POLICY[0], "EgressGateway", name).get("status", {})
            conditions = {item["type"]: item for item in found.get("conditions", ())}
            assert kind in conditions, "no status yet"
            condition = conditions[kind]
            assert condition["status"] == status, condition
            assert reason in {"", condition["reason"]}, condition
            assert words in condition["message"], condition
            return True

        wait_until(look, TIMEOUT_S, f"{kind} of {name} is not {status} {reason}".strip())

    def is_gateway_seen(self, name: str) -> bool:
        """Whether the operator has looked at an EgressGateway as it is now."""
        item = self.client.get(POLICY[0], "EgressGateway", name)
        seen = item.get("status", {}).get("observedGeneration")
        return bool(seen == item["metadata"]["generation"])

    def wait_gone(self, name: str, kind: str) -> None:
        """Wait until a condition is not there any more."""
        wait_until(
            lambda: not self.condition(name, kind), TIMEOUT_S, f"{name} still has the condition"
        )

    def condition(self, name: str, kind: str) -> Object:
        """Return a condition, empty when it is not there or speaks of an older generation."""
        policy = self.policy(name)
        for condition in policy.get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                current = condition["observedGeneration"] == policy["metadata"]["generation"]
                return dict(condition) if current else {}
        return {}

    def policy(self, name: str) -> Object:
        """Read a policy; its status must pass the linter."""
        namespace, own = split_name(name)
        policy = self.client.get(*POLICY, own, namespace)
        status = policy["status"]
        if status["observedGeneration"] != NOT_OBSERVED:
            # The operator may not have seen the newest generation yet.
            assert lint_status(status, status["observedGeneration"]) == [], status
        return policy

    def policies(self) -> list[str]:
        """Names of all policies."""
        return [join_name(item) for item in self.client.list_objects(*POLICY)]

    def children(self, policy: str) -> list[Object]:
        """List the Istio objects that a policy owns, ServiceEntries first."""
        namespace, name = split_name(policy)
        return [
            item
            for kind in OWNED
            for item in self.client.list_objects(*kind, namespace)
            if any(owner["name"] == name for owner in item["metadata"].get("ownerReferences", ()))
        ]

    def entry(self, host: str) -> Object:
        """Read the ServiceEntry of a host."""
        return self.client.get(*ENTRY, build_host_name(host), NAMESPACE)

    def wait_addresses(self, *hosts: str) -> dict[str, list[str]]:
        """Wait until istiod has allocated addresses to every host; return them by host."""

        def look() -> dict[str, list[str]]:
            found = {host: self.find_addresses(host) for host in hosts}
            return found if all(found.values()) else {}

        return wait_until(look, TIMEOUT_S, "istiod allocates no addresses")

    def find_addresses(self, host: str) -> list[str]:
        """List the addresses that istiod has allocated to a host; its entry may be away."""
        entry = self.client.find(*ENTRY, build_host_name(host), NAMESPACE) or {}
        status = entry.get("status", {})
        return [item["value"] for item in status.get("addresses", ())]

    def versions(self) -> dict[str, str]:
        """Tell the resource version of every Istio object of `shop`, by kind and name."""
        return {
            f"{kind[1]}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for kind in OWNED
            for item in self.client.list_objects(*kind, NAMESPACE)
        }

    def writes(self, since: Mark) -> list[Record]:
        """List what the operator has written after the mark `since` of the audit log.

        What it writes because of `wait_idle` is left out, with the namespace of that.
        """
        records = self.audit.records(since=since, user=self.operator.user, writes=True)
        return [record for record in records if record.namespace != split_name(MARKER)[0]]


def check_end(operator: Operator, code: int | None, expected: int = 0) -> None:
    """See how an operator has ended, and that its log tells of no trouble."""
    log = operator.log.read_text()
    assert code == expected, f"the operator ended with {code}:\n{log[-2000:]}"
    assert not _TROUBLE.search(log), log


def _build_config_map(config: Mapping[str, object]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": yaml.safe_dump(dict(config))},
    }
