"""/metrics, /readyz and /healthz of the real operator."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.operator import Operator, OperatorOption, get_http

Start = Callable[[OperatorOption], Operator]
NAMES = {
    "policies": {"condition", "status"},
    "gateways": {"condition", "status"},
    "hosts": set(),
    "next_expiry_timestamp_seconds": set(),
    "objects": {"kind"},
    "reconcile": {"result"},
    "reconcile_duration_seconds": {"le"},
    "plan_seconds": {"le"},
    "loop_hold_seconds": {"le"},
    "queue_depth": set(),
    "queue_busy": set(),
    "queue_waiting": set(),
    "writes": {"kind", "verb", "code"},
    "drift_corrections": {"kind"},
    "watch_restarts": {"resource", "reason"},
    "unreadable_objects": {"resource"},
    "watch_last_event_timestamp_seconds": {"resource"},
    "build_info": {"version"},
}
MORE = 30
"""Policies, with a host each: they do not have a series each."""


def test_the_metrics_are_these_and_their_labels_name_no_host_or_policy(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    operator = start(OperatorOption())
    for number in range(3):
        control_plane.admin.create(
            {
                "apiVersion": "egress-operator.io/v1alpha1",
                "kind": "EgressPolicy",
                "metadata": {"name": f"policy-{number}", "namespace": namespace},
                "spec": {"destinations": [{"hosts": [f"host-{number}.example.com"]}]},
            }
        )
    # Policies of other tests may be there still, and be Ready: only what is written is new.
    created = 'egress_operator_writes_total{code="201",kind="ServiceEntry",verb="create"}'
    ready = 'egress_operator_policies{condition="Ready",status="True"}'
    wait_until(lambda: operator.metric(created) >= 3, 20, "the objects are written")
    wait_until(lambda: operator.metric(ready) >= 3, 20, "the policies are counted")
    text = operator.metrics()
    families = {
        family.name.removeprefix("egress_operator_"): family
        for family in text_string_to_metric_families(text)
    }
    assert set(families) == set(NAMES)
    for name, family in families.items():
        labels = {label for sample in family.samples for label in sample.labels}
        assert labels <= NAMES[name], name
    assert not re.search(rf"host-|policy-|{namespace}|example", text)
    assert operator.metric("egress_operator_hosts") >= 3
    assert operator.metric('egress_operator_objects{kind="ServiceEntry"}') >= 3
    assert operator.metric(created) >= 3
    depth = "egress_operator_queue_depth"
    wait_until(lambda: operator.metric(depth) == 0, 20, "nothing waits for a worker")
    seen = operator.metric(
        'egress_operator_watch_last_event_timestamp_seconds{resource="egresspolicies"}'
    )
    assert seen > 1_700_000_000
    # What other tests leave, and an answer that is new, may make or end some series.
    before = count_series(text)
    for number in range(3, 3 + MORE):
        control_plane.admin.create(
            {
                "apiVersion": "egress-operator.io/v1alpha1",
                "kind": "EgressPolicy",
                "metadata": {"name": f"policy-{number}", "namespace": namespace},
                "spec": {"destinations": [{"hosts": [f"host-{number}.example.com"]}]},
            }
        )
    wait_until(lambda: operator.metric(created) >= 3 + MORE, 60, "the objects are written")
    wait_until(lambda: operator.metric(ready) >= 3 + MORE, 60, "the policies are counted")
    text = operator.metrics()
    assert count_series(text) < before + MORE
    assert not re.search(rf"host-|policy-|{namespace}|example", text)


def count_series(text: str) -> int:
    return len([line for line in text.splitlines() if not line.startswith("#")])


def test_a_host_that_waits_between_two_writes_is_counted_as_waiting(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    # Only of this namespace: what other tests left must not count.
    operator = start(OperatorOption(settings={"EGRESS_SETTLE": "3"}, namespaces=(namespace,)))
    queues = [f"egress_operator_queue_{name}" for name in ("depth", "busy", "waiting")]

    def counts() -> list[float]:
        return [operator.metric(name) for name in queues]

    def apply(*numbers: int) -> None:
        ports = [{"number": number, "protocol": "HTTP"} for number in numbers]
        destination = {"hosts": ["waits.example.com"], "ports": ports, "http": {"timeout": "3s"}}
        control_plane.admin.apply(
            {
                "apiVersion": "egress-operator.io/v1alpha1",
                "kind": "EgressPolicy",
                "metadata": {"name": "waits", "namespace": namespace},
                "spec": {"destinations": [destination]},
            }
        )

    wait_until(lambda: counts() == [0, 0, 0], 20, "the operator is idle")
    apply(80, 8080)
    written = 'egress_operator_writes_total{code="201",kind="VirtualService",verb="create"}'
    wait_until(lambda: operator.metric(written) == 1, 20, "the objects are written")
    wait_until(lambda: counts() == [0, 0, 0], 20, "the operator is idle again")
    apply(80)
    # The ServiceEntry keeps the port until proxies have had time to see that no route uses it.
    wait_until(lambda: counts() == [0, 0, 1], 20, "the host waits")
    wait_until(lambda: counts() == [0, 0, 0], 20, "the host is done")


def test_promtool_finds_nothing_to_blame(start: Start) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed (Debian package prometheus)")
        pytest.skip("promtool is not installed (Debian package prometheus)")
    text = start(OperatorOption()).metrics()
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_probes_answer(start: Start) -> None:
    operator = start(OperatorOption())
    assert get_http(operator.metrics_port, "/readyz") == (200, "ok\n")
    assert operator.health() == 200
    assert get_http(operator.metrics_port, "/nothing")[0] == 404
    assert get_http(operator.health_port, "/metrics")[0] == 404
