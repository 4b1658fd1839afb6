"""The real operator as a child process, with the rights of an installed one and no others."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import urllib3

from egress_operator.runtime.permission import PERMISSIONS, Permission, Reach
from testbed.controlplane import ControlPlane
from testbed.deadline import wait_until
from testbed.identity import Identity, Rule, apply_identity
from testbed.port import LOOPBACK, find_free_port
from testbed.process import Process, start_process
from testbed.stoppable import Stoppable

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "operator"
NAMESPACE = "egress-system"
ACCOUNT = "egress-operator"
SETTLE_S = 0.2
"""The settle time of an operator under test; proxies of one machine hear of a change in less."""
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0
IDLE_TIMEOUT_S = 20.0
IDLE_S = 0.3
"""How long an operator must be idle: what was written last may be on its way to it."""
PREFIX = "egress_operator_"
PENDING = frozenset({f"{PREFIX}queue_{name}" for name in ("depth", "busy", "waiting")})
"""Gauges of the keys in its queues: those to be worked on now, and those that wait for a time."""
DONE = frozenset({f"{PREFIX}reconcile_total", f"{PREFIX}writes_total"})


class Command(StrEnum):
    """The ways to start it; both start the same operator."""

    EGRESSCTL = "egressctl"
    KOPF = "kopf"


@dataclass(frozen=True)
class OperatorOption:
    """What differs between operators."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """By environment variable, such as `EGRESS_SETTLE`."""
    namespaces: Sequence[str] = ()
    """Serve these only, with Roles there."""
    istio_namespace: str = "istio-system"
    command: Command = Command.EGRESSCTL
    program: Sequence[str] = ()
    """Start this module with its arguments instead, in tests that need another operator."""
    account: str = ACCOUNT
    wait: bool = True
    """Whether to wait until `/readyz` says yes."""


@dataclass
class Operator(Stoppable):
    """A running operator. `start_operator` makes one; a context manager that stops it."""

    process: Process
    user: str
    """Its name in the audit log."""
    metrics_port: int
    health_port: int
    log: Path

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    def is_ready(self) -> bool:
        """Whether every cache is synced."""
        return get_http(self.metrics_port, "/readyz")[0] == 200

    def metrics(self) -> str:
        """Scrape /metrics."""
        return get_http(self.metrics_port, "/metrics")[1]

    def metric(self, line: str) -> float:
        """One value, by its name with labels as the text has it; 0 when it is not there."""
        for entry in self.metrics().splitlines():
            if entry.startswith(line + " "):
                return float(entry.rpartition(" ")[2])
        return 0.0

    def wait_heard(self, resource: str, since: float) -> None:
        """Wait until its watch of a resource (a plural) has heard something since a Unix time.

        That is likely to be what was just written, but may be a bookmark or somebody else's write.
        """
        line = f'{PREFIX}watch_last_event_timestamp_seconds{{resource="{resource}"}}'
        wait_until(
            lambda: self.metric(line) > since,
            IDLE_TIMEOUT_S,
            f"the operator hears nothing of {resource}",
        )

    def wait_idle(self, timeout_s: float = IDLE_TIMEOUT_S) -> None:
        """Wait until it has nothing to do, neither now nor after a wait.

        What it has not seen yet is nothing to it. Wait for a sign of that before: a generation that
        it has observed, or `wait_heard`.
        """
        idleness = Idleness()
        try:
            wait_until(lambda: idleness.look(self), timeout_s, "the operator does not become idle")
        except OSError as error:
            raise AssertionError(f"{error}; its log ends so:\n{self.process.tail(50)}") from error

    def health(self) -> int:
        """Ask /healthz for its code."""
        return get_http(self.health_port, "/healthz")[0]

    def resident_mib(self) -> float:
        """Resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the operator does not run")

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, wait, return the exit code; negative when it had to be killed."""
        return self.process.stop(timeout_s)

    def kill(self) -> int:
        """SIGKILL."""
        return self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: it neither sees nor writes until `resume`."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send(signal.SIGCONT)


class Idleness:
    """For how long one operator has had nothing to do, by its metrics: look again and again."""

    def __init__(self) -> None:
        self._seen: tuple[int, float] | None = None
        self._since = 0.0

    def reset(self) -> None:
        """Begin anew."""
        self._seen = None

    def look(self, operator: Operator) -> bool:
        """Whether it has been idle for IDLE_S, and has done nothing meanwhile.

        Raises OSError when it does not answer.
        """
        values = read_values(operator.metrics())
        assert {name for name, _ in values} >= PENDING, (
            "the operator does not tell what it has to do"
        )
        seen = operator.pid, sum_values(values, DONE)
        now = time.monotonic()
        if sum_values(values, PENDING) or seen != self._seen:
            self._since = now
        self._seen = seen
        return now - self._since >= IDLE_S


def read_values(metrics: str) -> list[tuple[str, float]]:
    """Read the name and the value of each line of /metrics; labels are left out. Pure."""
    lines = (line for line in metrics.splitlines() if line and not line.startswith("#"))
    return [
        (line.partition(" ")[0].partition("{")[0], float(line.rpartition(" ")[2])) for line in lines
    ]


def sum_values(values: Iterable[tuple[str, float]], names: Container[str]) -> float:
    """Add the values of some names up. Pure."""
    return sum(value for name, value in values if name in names)


def build_identity(option: OperatorOption | None = None) -> Identity:
    """Describe the operator's account, with exactly the rights that it declares."""
    option = option or OperatorOption()
    cluster: list[Rule] = []
    rules: dict[str, list[Rule]] = {}
    for permission in PERMISSIONS:
        rule = _build_rule(permission)
        if permission.reach is Reach.MESH:
            rules.setdefault(option.istio_namespace, []).append(rule)
        elif option.namespaces and permission.reach is Reach.SERVED:
            for namespace in option.namespaces:
                rules.setdefault(namespace, []).append(rule)
        elif not option.namespaces:
            cluster.append(rule)
    return Identity(NAMESPACE, option.account, cluster, rules)


def start_operator(plane: ControlPlane, option: OperatorOption | None = None) -> Operator:
    """Start the operator against a control plane, and wait until it is ready.

    It logs in as a service account. Its settings come from the option alone, with a settle time of
    `SETTLE_S` when nothing else is said. Raises ProcessError with the end of its log.
    """
    option = option or OperatorOption()
    identity = build_identity(option)
    apply_identity(plane.admin, identity)
    kubeconfig = plane.kubeconfig_for_service_account(identity.namespace, identity.name)
    directory = Path(tempfile.mkdtemp(prefix="operator-", dir=plane.directory))
    metrics_port, health_port = find_free_port(), find_free_port()
    path = [SOURCE, *([ROOT, ROOT / "tests"] if option.program else [])]
    environment = {
        # Else its bytecode would lie beside the sources.
        **{name: os.environ[name] for name in ("PYTHONPYCACHEPREFIX",) if name in os.environ},
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONWARNINGS": "default",
        "EGRESS_KUBECONFIG": str(kubeconfig),
        "EGRESS_BIND": LOOPBACK,
        "EGRESS_METRICS_PORT": str(metrics_port),
        "EGRESS_HEALTH_PORT": str(health_port),
        "EGRESS_SETTLE": f"{SETTLE_S:g}",
        "EGRESS_LOG_FORMAT": "text",
        "EGRESS_ISTIO_NAMESPACE": option.istio_namespace,
        "EGRESS_NAMESPACES": ",".join(option.namespaces),
        **option.settings,
    }
    log = directory / "operator.log"
    process = start_process(
        "operator", _build_argv(option, health_port), log=log, cwd=directory, env=environment
    )
    operator = Operator(process, identity.user, metrics_port, health_port, log)
    if option.wait:
        process.wait_ready(operator.is_ready, READY_TIMEOUT_S)
    return operator


def get_http(port: int, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
    """GET from loopback: code and text. Raises OSError when there is no answer."""
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout_s) as pool:
            response = pool.request("GET", f"http://{LOOPBACK}:{port}{path}")
            return response.status, response.data.decode()
    except urllib3.exceptions.HTTPError as error:
        raise OSError(f"no answer from port {port}: {error}") from error


def _build_argv(option: OperatorOption, health_port: int) -> list[str]:
    if option.program:
        return [sys.executable, "-m", *option.program]
    if option.command is Command.EGRESSCTL:
        return [sys.executable, "-m", "egress_operator.cli", "run"]
    scope = [f"--namespace={name}" for name in option.namespaces] or ["--all-namespaces"]
    liveness = f"--liveness=http://{LOOPBACK}:{health_port}/healthz"
    module = "--module=egress_operator.runtime.handlers"
    return [sys.executable, "-m", "kopf", "run", *scope, liveness, module]


def _build_rule(permission: Permission) -> Rule:
    rule: dict[str, Sequence[str]] = {
        "apiGroups": [permission.group],
        "resources": [permission.resource],
        "verbs": permission.verbs,
    }
    if permission.resource_names:
        rule["resourceNames"] = permission.resource_names
    return rule
