"""The scenes of the demo, in their order."""

import time
from pathlib import Path

from demo.show import Show, describe_object, describe_ready, describe_request
from demo.stage import NAMESPACE, POLICY, TIMEOUT_S, WORKLOADS, Stage
from testbed.deadline import wait_until
from testbed.request import BLOCKED, DIRECT, REACHED, VIA_GATEWAY
from testbed.sample import GATEWAY_FILE, SAMPLES, Sample

CLIENT, STRANGER = WORKLOADS[0].key, WORKLOADS[1].key
NETWORKING = "networking.istio.io/v1"
COLLECT_TIMEOUT_S = 60.0
"""The garbage collector looks for new kinds every 30 s, and these are a few seconds old."""


def play_sample(stage: Stage, show: Show, number: int, sample: Sample) -> None:
    """Apply one sample: the request before, the objects made, the status, the request after."""
    comment, policy_text = _split(sample.path)
    show.title(f"{number} of {len(SAMPLES)}: samples/{sample.file}")
    show.text(comment)
    print()
    show.block(policy_text)
    if stage.mesh is not None:
        for name, address in sample.records:
            stage.mesh.names.set(name, address)
        for call in sample.calls:
            show.line("before", describe_request(CLIENT, call, stage.mesh.request(CLIENT, call)))
    policy = stage.client.apply(sample.policy)
    policy, seconds = stage.wait_ready(policy)
    for item in stage.find_children(policy["metadata"]["name"]):
        show.line("made", describe_object(item))
    show.line("status", f"{describe_ready(policy)} [{seconds * 1000:.0f} ms]")
    if stage.mesh is not None:
        for call in sample.calls:
            server = "" if sample.servers else None
            verdict = VIA_GATEWAY if sample.is_for_gateway else DIRECT
            outcome = stage.mesh.expect(CLIENT, call, verdict, server=server)
            show.line("after", describe_request(CLIENT, call, outcome))
        for call in sample.neighbours[:1]:
            outcome = stage.mesh.expect(CLIENT, call, BLOCKED)
            show.line("other", describe_request(CLIENT, call, outcome))
        outcome = stage.mesh.request(STRANGER, sample.calls[0])
        if outcome.verdict in REACHED:
            raise AssertionError(f"{STRANGER} must not reach it: {outcome}")
        show.line("stranger", describe_request(STRANGER, sample.calls[0], outcome))


def play_gateway(stage: Stage, show: Show) -> None:
    """Open the gateway that the samples after it go through."""
    comment, text = _split(GATEWAY_FILE)
    show.title(f"The platform team opens a gateway: samples/{GATEWAY_FILE.name}")
    show.text(comment)
    print()
    show.block(text)
    gateway = stage.open_gateway()
    show.text(
        "The admission policies of the chart are applied with it: they keep tenants who may write "
        "Istio objects from taking each other's names."
    )
    for condition in ("Isolated",) if stage.mesh is None else ("Ready", "Isolated"):
        gateway = stage.wait_gateway(gateway, condition)
    for condition in gateway["status"]["conditions"]:
        show.line(
            condition["type"].lower(),
            f"{condition['status']} {condition['reason']}: {condition['message']}",
        )


def play_drift(stage: Stage, show: Show) -> None:
    """Edit a child by hand and see it repaired."""
    show.title("A hand edits an object of the operator")
    name = SAMPLES[0].policy["metadata"]["name"]
    (child,) = stage.find_children(name)
    before = child["spec"]
    metric = 'egress_operator_drift_corrections_total{kind="ServiceEntry"}'
    count = stage.operator.metric(metric)
    key = child["metadata"]["name"], NAMESPACE
    start = time.monotonic()
    stage.client.merge_patch(child, {"spec": {"hosts": ["evil.example.com"], "exportTo": ["*"]}})
    show.line(
        "edited", f"ServiceEntry {key[0]}: hosts evil.example.com, exported to the whole mesh"
    )
    wait_until(
        lambda: stage.client.get(NETWORKING, "ServiceEntry", *key)["spec"] == before,
        TIMEOUT_S,
        "the drift is not repaired",
    )
    show.line("repaired", f"{describe_object(child)} [{(time.monotonic() - start) * 1000:.0f} ms]")
    wait_until(lambda: stage.operator.metric(metric) > count, TIMEOUT_S, "the drift is not counted")
    show.line("metric", f"{metric} {stage.operator.metric(metric):.0f}")


def play_deletion(stage: Stage, show: Show) -> None:
    """Delete a policy and see everything go."""
    show.title("A policy is deleted")
    sample = SAMPLES[1]
    name = sample.policy["metadata"]["name"]
    start = time.monotonic()
    stage.client.delete(*POLICY, name, NAMESPACE)
    wait_until(lambda: not stage.find_children(name), COLLECT_TIMEOUT_S, "objects are still there")
    taken = (time.monotonic() - start) * 1000
    show.line("deleted", f"EgressPolicy {name}; its objects are gone after {taken:.0f} ms")
    show.text("(Kubernetes' garbage collector takes up to 30 s to learn kinds that are new to it.)")
    if stage.mesh is not None:
        outcome = stage.mesh.expect(CLIENT, sample.calls[0], BLOCKED)
        show.line("after", describe_request(CLIENT, sample.calls[0], outcome))


def play_metrics(stage: Stage, show: Show) -> None:
    """Say where the metrics are and print a few."""
    show.title("Metrics")
    show.text(f"curl http://127.0.0.1:{stage.operator.metrics_port}/metrics")
    wanted = ("egress_operator_policies{", "egress_operator_objects{", "egress_operator_hosts")
    chosen = [line for line in stage.operator.metrics().splitlines() if line.startswith(wanted)]
    show.block("\n".join(line for line in chosen if not line.endswith(" 0.0")))


def _split(path: Path) -> tuple[str, str]:
    """Return the first comment of a sample as prose, and the object without it."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    prose = " ".join(line.lstrip("# ") for line in comments)
    return prose, "\n".join(lines[len(comments) :])
