"""How the demo ends: the last screen, what to try while it stays up, and how it fails."""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from demo.act import NAMESPACE, OWN, OWN_FILE, OWN_HOST, SPARE_HOSTS
from demo.output import write
from demo.playground import WORKLOADS, Playground
from demo.show import INDENT, Show
from demo.state import State, build_pod, write_state
from demo.tally import build_summary
from demo.traffic import CLIENT
from testbed.client import ApiError, ConnectError
from testbed.member import APPLICATION

TAIL_LINES = 12
CALL = ".venv/bin/python -m demo.call"


def show_summary(playground: Playground, show: Show, seconds: float) -> None:
    """Sum up what was seen, and tell where to go on."""
    show.title("Summary")
    for label, text in build_summary(playground.tally, has_traffic=playground.mesh is not None):
        show.line(label, text)
    show.line("took", f"{seconds:.0f} s")
    show.line("next", "write a policy: docs/use/first-policy.md")
    show.line("", "install the operator: docs/operate/install.md")
    show.line("", "set up a gateway: docs/operate/gateways.md")


def stay(playground: Playground, show: Show) -> None:
    """Wait for Ctrl-C, with the means to look around."""
    directory = playground.plane.directory
    file = directory / OWN_FILE
    file.write_text(OWN)
    write_state(directory, _build_state(playground))
    show.title("It stays up until Ctrl-C; then nothing is left behind")
    show.text(
        "Paste these lines into another terminal, in this directory, as the same user. kubectl is "
        "not part of the demo; any recent version will do."
    )
    show.commands(
        "Look at the policies",
        f"export KUBECONFIG={playground.plane.admin_kubeconfig}",
        "kubectl get egresspolicies -A",
        f"kubectl -n {NAMESPACE} describe egresspolicy warehouse",
    )
    answering = f"; hosts that answer: {', '.join(SPARE_HOSTS)}" if playground.mesh else ""
    show.commands(
        f"Write a policy of your own{answering}",
        f".venv/bin/egressctl lint {file}",
        f".venv/bin/egressctl render {file}",
        f"kubectl apply -f {file}",
    )
    if playground.mesh is not None:
        show.commands(
            f"Call from a pod: {', '.join(workload.key for workload in WORKLOADS)}",
            f'{CALL} {CLIENT} "GET https://{OWN_HOST}/"',
            f'{CALL} {CLIENT} "GET http://stock.example.com/"',
        )
    show.commands(
        "Watch the operator",
        f"curl http://127.0.0.1:{playground.operator.metrics_port}/metrics",
        f"tail -f {playground.operator.log}",
    )
    while True:
        signal.pause()


def _build_state(playground: Playground) -> State:
    if playground.mesh is None:
        return State(os.getpid(), {}, ())
    members = {workload.key: playground.mesh.members[workload.key] for workload in WORKLOADS}
    pods = {
        name: build_pod(member.directory / APPLICATION, sorted(member.addresses))
        for name, member in members.items()
    }
    return State(os.getpid(), pods, sorted(playground.mesh.gateway_addresses))


def report_failure(show: Show, error: Exception, playground: Playground | None = None) -> None:
    """Tell what went wrong: the conditions that were waited for, and the operator's last words."""
    show.progress(f"failed: {error}")
    if playground is None:
        return
    with suppress(ApiError, ConnectError):
        for line in playground.describe_awaited():
            show.progress(line)
    show.progress("the operator's last lines:")
    for line in playground.operator.process.tail(TAIL_LINES).splitlines():
        write(sys.stderr, f"{INDENT}{line}")
    show.progress(f"the operator's whole log: {_keep_logs(playground.logs)}")


def _keep_logs(logs: list[Path]) -> Path:
    """Copy the logs into a file that stays."""
    handle, name = tempfile.mkstemp(prefix="egress-operator-demo-", suffix=".log")
    with os.fdopen(handle, "wb") as kept:
        for log in logs:
            with log.open("rb") as source:
                shutil.copyfileobj(source, kept)
    return Path(name)
