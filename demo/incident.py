"""The scenes beside the samples: what goes wrong, what is repaired, and a restart."""

import subprocess
import sys
import time

from demo.act import ACTS, EVIL_HOST, MISTAKE, MISTAKE_FILE, NAMESPACE, REFUNDS, REFUNDS_HOST, RIVAL
from demo.describe import describe_object, find_condition
from demo.playground import POLICY, TIMEOUT_S, Playground
from demo.scene import describe_status, format_time
from demo.show import Show
from demo.traffic import NEIGHBOUR, STRANGER
from testbed.client import ApiError, Object
from testbed.deadline import wait_until
from testbed.ledger import load_objects
from testbed.sample import SAMPLES

MISTAKE_CODE = "EG208"
QUIET_S = 1.0
"""How long nothing more may be written after a repair or a restart."""
LINT_TIMEOUT_S = 30.0
FIRST, SECOND = SAMPLES[0], SAMPLES[1]


def play_mistake(playground: Playground, show: Show) -> None:
    """Apply a policy that is wrong, and check the same file without a cluster."""
    show.heading("A mistake: a timeout on a port where the proxy sees only encrypted bytes")
    show.code(MISTAKE.partition("spec:\n")[2])
    (policy,) = load_objects(MISTAKE)
    try:
        playground.client.apply(policy)
    except ApiError as error:
        if MISTAKE_CODE not in error.message:
            raise AssertionError(f"{MISTAKE_CODE} must refuse the mistake, not: {error}") from error
        show.line("apply", f"refused: {error.message}")
    else:
        raise AssertionError("the API server must refuse the mistake")
    (playground.plane.directory / MISTAKE_FILE).write_text(MISTAKE)
    lint = subprocess.run(
        [sys.executable, "-m", "egress_operator.cli", "lint", "-f", MISTAKE_FILE],
        cwd=playground.plane.directory,
        check=False,
        capture_output=True,
        text=True,
        timeout=LINT_TIMEOUT_S,
    )
    if lint.returncode != 1:
        raise AssertionError(f"egressctl lint must find the mistake: {lint.stderr}")
    show.line("lint", f"egressctl lint -f {MISTAKE_FILE}, without a cluster:")
    for line in (lint.stdout + lint.stderr).splitlines():
        show.line("", line)


def play_conflict(playground: Playground, show: Show) -> None:
    """Let a second policy want something else for a host that has a policy."""
    show.heading("A conflict: another policy wants a timeout of 30s for stock.example.com")
    start = time.monotonic()
    policy = playground.wait(
        playground.client.apply(load_objects(RIVAL)[0]),
        "is not Conflicted",
        lambda item: find_condition(item, "Ready").get("reason") == "Conflicted",
    )
    show.line("status", describe_status(policy, time.monotonic() - start))
    show.text("The older policy stays in force: nothing of it has changed.")
    playground.client.delete(*POLICY, policy["metadata"]["name"], NAMESPACE)


def play_refusal(playground: Playground, show: Show) -> None:
    """Call through the gateway from a pod that the policy does not name."""
    traffic = playground.traffic
    if traffic is None:
        return
    show.heading(f"The gateway refuses: {REFUNDS_HOST} is for service account checkout only")
    call = f"GET http://{REFUNDS_HOST}/"
    policy, seconds = playground.apply(load_objects(REFUNDS)[0])
    playground.tally.policies += 1
    playground.tally.hosts.add(REFUNDS_HOST)
    show.line("status", describe_status(policy, seconds))
    show.line("after", traffic.reach(call, by_gateway=True))
    show.line("other pod", traffic.refuse(NEIGHBOUR, call))


def play_edit(playground: Playground, show: Show) -> None:
    """Edit an object by hand, which is refused; delete it, and see it made again with one write."""
    show.heading("A change by hand: someone edits an object of the operator, then deletes it")
    (child,), _ = playground.find_objects(FIRST.policy)
    name = child["metadata"]["name"]
    show.line("edited", f"hosts of ServiceEntry {name}: [{EVIL_HOST}]")
    show.line("refused", try_edit(playground, child))
    start = time.monotonic()
    key = child["apiVersion"], child["kind"], name, NAMESPACE
    playground.client.delete(*key)
    repaired = wait_until(
        lambda: playground.client.find(*key), TIMEOUT_S, f"ServiceEntry {name} is not made again"
    )
    seconds = time.monotonic() - start
    time.sleep(QUIET_S)
    if playground.client.get(*key) != repaired or repaired["spec"] != child["spec"]:
        raise AssertionError("the object must be as it was, with one write")
    playground.tally.repairs += 1
    show.line("deleted", f"ServiceEntry {name}")
    show.line("made again", f"{describe_object(repaired)} {format_time(seconds)}, with 1 write")
    if playground.mesh is None or playground.traffic is None:
        return
    # The sidecars may have heard of the deletion.
    playground.mesh.settle()
    for call in (f"GET https://{EVIL_HOST}/", FIRST.calls[0]):
        show.line("other team", playground.traffic.refuse(STRANGER, call))
    show.line("after", playground.traffic.reach(FIRST.calls[0]))


def try_edit(playground: Playground, child: Object) -> str:
    """Lead a ServiceEntry of the operator to another host; return the words of the refusal."""
    try:
        playground.client.merge_patch(child, {"spec": {"hosts": [EVIL_HOST]}})
    except ApiError as error:
        words = error.message.partition(" denied request: ")[2]
        if not words:
            raise
        return words
    raise AssertionError("the admission policies must refuse the edit")


def play_restart(playground: Playground, show: Show) -> None:
    """Stop the operator and start it again: nothing is written, and traffic goes on."""
    show.heading("The operator is stopped and started again")
    before = playground.list_versions()
    playground.operator.stop()
    if playground.traffic is not None:
        show.line("stopped", playground.traffic.reach(FIRST.calls[0]))
    start = time.monotonic()
    playground.start_operator()
    seconds = time.monotonic() - start
    time.sleep(QUIET_S)
    after = playground.list_versions()
    if after != before:
        changed = len(dict(before.items() ^ after.items()))
        raise AssertionError(f"a restart must write nothing, but {changed} objects changed")
    show.line(
        "started", f"ready again after {seconds:.1f} s, without one write ({len(after)} objects)"
    )


def play_deletion(playground: Playground, show: Show) -> None:
    """Delete a policy and see everything go."""
    policy = SECOND.policy
    name = policy["metadata"]["name"]
    title = next(act.title for act in ACTS if act.sample == SECOND)
    show.heading(f"Policy {name} ({title}, above) is deleted")
    start = time.monotonic()
    playground.client.delete(*POLICY, name, NAMESPACE)
    wait_until(
        lambda: not playground.find_objects(policy)[0],
        TIMEOUT_S,
        f"objects of {name} are still there",
    )
    taken = format_time(time.monotonic() - start)
    playground.tally.deleted += 1
    show.line("deleted", f"Kubernetes has removed its objects {taken}")
    if playground.traffic is not None:
        show.line("after", playground.traffic.block(SECOND.calls[0]))
