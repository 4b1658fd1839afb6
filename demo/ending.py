"""How the demo ends: the last screen, what to try while it stays up, and how it fails."""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from demo.act import GATEWAY_ACTS, NAMESPACE, OWN, OWN_FILE, OWN_HOST, SPARE_HOSTS
from demo.output import write
from demo.playground import WORKLOADS, Playground
from demo.show import INDENT, Show
from demo.state import State, build_pod, write_state
from demo.tally import build_summary
from demo.text import NO_BREAK
from demo.traffic import CLIENT
from testbed.client import ApiError, ConnectError
from testbed.member import APPLICATION

TAIL_LINES = 12
CALL = ".venv/bin/python -m demo.call"
NEXT = (
    "write a policy: docs/use/first-policy.md",
    "install the operator: docs/operate/install.md",
    "set up a gateway: docs/operate/gateways.md",
)
NOT_READY = (
    f"{len(GATEWAY_ACTS)} of them are False, GatewayNotReady, as it must be: without a mesh no "
    "gateway pod runs."
)
ANSWERING = (
    f"These hosts answer: {', '.join(SPARE_HOSTS)}, and those of the samples. No others do: this "
    "mesh has no way to the internet."
)


def show_summary(playground: Playground, show: Show, seconds: float) -> None:
    """Sum up what was seen, and tell where to go on."""
    show.title("Summary")
    has_traffic = playground.mesh is not None
    for label, text in build_summary(playground.tally, has_traffic=has_traffic):
        show.line(label, text)
    show.line("took", f"{seconds:.0f} s")
    is_user = os.geteuid() != 0
    steps = ["see real requests: sudo make demo"] if is_user and not has_traffic else []
    for label, text in zip_longest(["next"], [*steps, *NEXT], fillvalue=""):
        show.line(label, text)
    show.line("result", "everything came out as expected")


def show_means(playground: Playground, show: Show) -> None:
    """Show how to look around and to try more, while the demo stays up."""
    directory = playground.plane.directory
    file = directory / OWN_FILE
    file.write_text(OWN)
    write_state(directory, _build_state(playground))
    show.title("It stays up until Ctrl-C; then nothing is left behind")
    who = f"as root (sudo{NO_BREAK}-s)" if os.geteuid() == 0 else "as the same user"
    show.text(
        f"Paste these lines into another terminal, in this directory, {who}. kubectl is "
        "not part of the demo; any recent version will do."
    )
    has_mesh = playground.mesh is not None
    show.commands(
        "Look at the policies",
        f"export KUBECONFIG={playground.plane.admin_kubeconfig}",
        "kubectl get egresspolicies -A",
        f"kubectl -n {NAMESPACE} describe egresspolicy warehouse",
        note="" if has_mesh else NOT_READY,
    )
    show.commands(
        "Write a policy of your own",
        f".venv/bin/egressctl lint -f {file}",
        f".venv/bin/egressctl render -f {file}",
        f"kubectl apply -f {file}",
        note=ANSWERING if has_mesh else "",
    )
    if has_mesh:
        show.commands(
            f"Call from a pod: {', '.join(workload.key for workload in WORKLOADS)}",
            f'{CALL} {CLIENT} "GET https://{OWN_HOST}/"',
            f'{CALL} {CLIENT} "GET http://stock.example.com/"',
            note="No containers run here, so `kubectl exec` does not work: call like this instead.",
        )
    show.commands(
        "Watch the operator",
        f"curl http://127.0.0.1:{playground.operator.metrics_port}/metrics",
        f"tail -f {playground.operator.log}",
    )


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
    show.failure(f"failed: {error}")
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
