"""The operator as a process: how it starts, what it says, how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import urllib3

from status.lint import lint_status
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.identity import apply_identity
from testbed.operator import (
    SOURCE,
    Command,
    Operator,
    OperatorOption,
    build_identity,
)
from testbed.port import LOOPBACK, find_free_port
from testbed.process import start_process

Start = Callable[[OperatorOption], Operator]
UNSEEN = {"observedGeneration": -1}
"""The status of a policy at which no operator has looked."""
POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
ENTRY = ("networking.istio.io/v1", "ServiceEntry")
STOP_LIMIT_S = 5.0


def apply_policy(plane: ControlPlane, namespace: str, name: str, *hosts: str) -> None:
    plane.admin.apply(
        {
            "apiVersion": POLICY[0],
            "kind": POLICY[1],
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"destinations": [{"hosts": list(hosts)}]},
        }
    )


def wait_ready(plane: ControlPlane, namespace: str, name: str) -> None:
    def look() -> bool:
        policy = plane.admin.get(*POLICY, name, namespace)
        status = policy["status"]
        if status == UNSEEN:
            return False
        assert lint_status(status, policy["metadata"]["generation"]) == []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])

    wait_until(look, 20, f"{name} is ready")


@pytest.mark.parametrize("command", list(Command))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_time_with_code_0(
    start: Start,
    control_plane: ControlPlane,
    namespace: str,
    command: Command,
    number: signal.Signals,
) -> None:
    operator = start(OperatorOption(command=command))
    apply_policy(control_plane, namespace, "payments", "a.example.com")
    wait_ready(control_plane, namespace, "payments")
    begin = time.monotonic()
    operator.process.send(number)
    # One more changes nothing, whenever it comes: also when the process is all but gone. With
    # `kopf run` the process is kopf's, which takes its handlers away before that.
    while operator.process.is_alive and time.monotonic() - begin < STOP_LIMIT_S:
        if command is Command.EGRESSCTL:
            operator.process.send(number)
        time.sleep(0.002)
    assert operator.process.returncode == 0, operator.process.tail()
    assert time.monotonic() - begin < STOP_LIMIT_S
    assert "Traceback" not in operator.log.read_text()


def test_a_signal_ends_it_while_the_api_server_is_away(
    start: Start, control_plane: ControlPlane
) -> None:
    operator = start(
        OperatorOption(
            settings={"EGRESS_KUBECONFIG": str(write_dead_kubeconfig(control_plane))}, wait=False
        )
    )
    wait_until(lambda: "Retrying" in operator.log.read_text(), 20, "it tries again")
    with socket.socket() as probe:
        assert probe.connect_ex((LOOPBACK, operator.metrics_port)) == 0
    assert not operator.is_ready()
    operator.process.send(signal.SIGTERM)
    assert operator.process.wait(STOP_LIMIT_S) == 0
    assert "Traceback" not in operator.log.read_text()


def write_dead_kubeconfig(plane: ControlPlane) -> Path:
    """Write a kubeconfig for a port where nobody listens."""
    text = plane.write_kubeconfig("dead", "token").read_text()
    file = plane.directory / "dead.kubeconfig"
    file.write_text(text.replace(plane.url, f"https://{LOOPBACK}:{find_free_port()}"))
    return file


def run_once(**environment: str) -> "subprocess.CompletedProcess[str]":
    """Run it until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "egress_operator.cli", "run"],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": str(SOURCE)}
        | {"EGRESS_LOG_FORMAT": "text"}
        | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_without_credentials_it_ends_with_one_clear_line() -> None:
    ended = run_once(
        EGRESS_BIND=LOOPBACK,
        EGRESS_METRICS_PORT=str(find_free_port()),
        EGRESS_HEALTH_PORT=str(find_free_port()),
    )
    assert ended.returncode == 3, ended.stderr
    critical = [line for line in ended.stderr.splitlines() if "CRITICAL" in line]
    assert len(critical) == 1, ended.stderr
    assert "kubeconfig" in critical[0]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("taken", ["metrics-port", "health-port"])
def test_a_taken_port_ends_it_with_one_clear_line(control_plane: ControlPlane, taken: str) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        ports = {"metrics-port": find_free_port(), "health-port": find_free_port(), taken: port}
        ended = run_with(control_plane, bind=LOOPBACK, **ports)
    assert_unusable(ended, f"--{taken}: {port} ", "choose another port")


def test_an_address_of_another_machine_ends_it_with_one_clear_line(
    control_plane: ControlPlane,
) -> None:
    # RFC 5737: nobody has it.
    ports = {"metrics-port": find_free_port(), "health-port": find_free_port()}
    ended = run_with(control_plane, bind="192.0.2.1", **ports)
    assert_unusable(ended, "--bind: 192.0.2.1 ", "all IPv4 interfaces")


def test_it_serves_on_an_ipv6_address(start: Start) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    operator = start(OperatorOption(settings={"EGRESS_BIND": "::1"}, wait=False))
    for port, path in ((operator.metrics_port, "/readyz"), (operator.health_port, "/healthz")):
        wait_until(partial(is_fine, f"http://[::1]:{port}{path}"), 20, f"{path} is served")
    assert operator.stop() == 0


def is_fine(url: str) -> bool:
    """Whether the answer is 200."""
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def run_with(plane: ControlPlane, **options: object) -> "subprocess.CompletedProcess[str]":
    """Run it until it ends by itself, as the administrator."""
    variables = {
        f"EGRESS_{name.replace('-', '_').upper()}": str(value) for name, value in options.items()
    }
    return run_once(EGRESS_KUBECONFIG=str(plane.admin_kubeconfig), **variables)


def assert_unusable(ended: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Assert that it ended as for wrong usage, and said why in one line."""
    assert ended.returncode == 2, ended.stderr
    critical = [line for line in ended.stderr.splitlines() if "CRITICAL" in line]
    assert len(critical) == 1, ended.stderr
    assert [word for word in words if word not in critical[0]] == [], critical[0]
    assert "Traceback" not in ended.stderr


def test_logs_as_json_are_one_line_for_each_outcome(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    operator = start(OperatorOption(settings={"EGRESS_LOG_FORMAT": "json"}))
    apply_policy(control_plane, namespace, "payments", "a.example.com")
    wait_ready(control_plane, namespace, "payments")

    def find() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in operator.log.read_text().splitlines()]
        return [line for line in lines if line.get("namespace") == namespace]

    wait_until(lambda: len(find()) > 0, 10, "the outcome is logged")
    (line,) = find()
    assert (line["policy"], line["generation"], line["reason"]) == ("payments", 1, "Applied")
    assert operator.stop() == 0
    text = operator.log.read_text()
    # Neither the token nor a body is ever in a log.
    kubeconfig = next(control_plane.directory.glob("egress-system-*.kubeconfig")).read_text()
    token = kubeconfig.rpartition("token: ")[2].split()[0]
    assert len(token) > 100
    assert token not in text
    assert "managedFields" not in text


EMPTY = """
import kopf

@kopf.on.event("egress-operator.io", "v1alpha1", "egresspolicies")
def see(name, **_):
    print("seen", name, flush=True)
"""
STARTED = """
import os
import kopf
from egress_operator.runtime.settings import build_settings
from egress_operator.runtime.shell import Shell

shell = Shell(build_settings(os.environ))
kopf.on.startup()(shell.start)
kopf.on.cleanup()(shell.stop)
kopf.on.login()(shell.login)
"""


@pytest.mark.parametrize("module", [EMPTY, STARTED], ids=["without-any", "without-watches"])
def test_without_the_handlers_nothing_is_reconciled(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, module: str
) -> None:
    identity = build_identity()
    apply_identity(control_plane.admin, identity)
    kubeconfig = control_plane.kubeconfig_for_service_account(identity.namespace, identity.name)
    (tmp_path / "lonely.py").write_text(module)
    port = find_free_port()
    apply_policy(control_plane, namespace, "payments", "a.example.com")
    log = tmp_path / "kopf.log"
    mark = control_plane.audit.position()
    lonely = start_process(
        "kopf",
        [sys.executable, "-m", "kopf", "run", "-A", "--standalone", tmp_path / "lonely.py"],
        log=log,
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(SOURCE),
            "KUBECONFIG": str(kubeconfig),
            "EGRESS_BIND": LOOPBACK,
            "EGRESS_METRICS_PORT": str(port),
        },
    )
    with lonely:
        if module is EMPTY:
            wait_until(lambda: "seen payments" in log.read_text(), 30, "the policy is seen")
        else:
            # It lists, to compare with what kopf delivers, and waits for that.
            wait_until(
                lambda: any(
                    record.resource == "egresspolicies" and record.verb == "list"
                    for record in control_plane.audit.records(since=mark, user=identity.user)
                ),
                30,
                "it lists",
            )
        assert control_plane.admin.list_objects(*ENTRY, namespace) == []
        assert control_plane.admin.get(*POLICY, "payments", namespace)["status"] == UNSEEN
        writes = control_plane.audit.records(since=mark, user=identity.user, writes=True)
        assert [record.resource for record in writes if record.resource != "events"] == []


def test_it_serves_only_the_namespaces_it_is_told_to(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    operator = start(OperatorOption(namespaces=(namespace,), account="one-namespace"))
    mark = control_plane.audit.position()
    apply_policy(control_plane, "default", "elsewhere", "b.example.com")
    try:
        apply_policy(control_plane, namespace, "payments", "a.example.com")
        wait_ready(control_plane, namespace, "payments")
        assert control_plane.admin.get(*POLICY, "elsewhere", "default")["status"] == UNSEEN
        refused = [
            record
            for record in control_plane.audit.records(since=mark, user=operator.user)
            if record.code in {401, 403}
        ]
        assert refused == []
    finally:
        control_plane.admin.delete(*POLICY, "elsewhere", "default")
    assert operator.stop() == 0
