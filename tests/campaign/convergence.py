"""The first rule, L1: the objects and statuses that are there are those of the plan."""

from collections.abc import Iterator
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import HOST_ANNOTATION, POLICIES_ANNOTATION, Desired
from egress_operator.plan.plan import Plan
from egress_operator.plan.result import ClaimState, PolicyResult
from status.lint import lint_status
from testbed.client import Object, read_owners

from .evidence import Evidence, find_condition, is_labelled
from .history import POLICY, ROUTE, Key, read_key


def check_convergence(evidence: Evidence) -> Iterator[str]:
    """L1: objects are as the plan of the present policies says, and so is every status."""
    wanted: set[Key] = set()
    held: set[str] = set()
    for namespace in sorted({key.namespace for key in evidence.objects}):
        plan = evidence.plan(namespace)
        held |= {owner.uid for owner in plan.held}
        for group in plan.sets.values():
            if squatted := [
                item for item in group.objects if to_key(item.key) in evidence.squatters
            ]:
                # Beside a squatted ServiceEntry no VirtualService is written.
                wanted |= {to_key(item.key) for item in group.objects}
            for item in group.objects:
                if item in squatted or (squatted and item.key.kind is Kind.VIRTUAL_SERVICE):
                    continue
                wanted.add(to_key(item.key))
                yield from _compare(evidence, item, plan)
        for verdict in plan.results.values():
            yield from _check_status(evidence, plan, verdict)
    for key, there in evidence.select_ours():
        if key not in wanted and not read_owners(there) & held:
            yield f"{key} is there, and no policy wants it"


def to_key(key: ObjectKey) -> Key:
    return Key(str(key.kind), key.namespace, key.name)


def read_destinations(route: Object) -> set[tuple[str, int]]:
    return {
        (entry["destination"]["host"], entry["destination"]["port"]["number"])
        for rule in route["spec"].get("http", ())
        for entry in rule["route"]
    }


def _compare(evidence: Evidence, wanted: Desired, plan: Plan) -> Iterator[str]:
    """Compare all that we own of one object."""
    there = evidence.objects.get(to_key(wanted.key))
    if there is None:
        yield f"{wanted.key} is missing"
        return
    metadata = there["metadata"]
    kept = {owner.name: owner.uid for owner in plan.held if owner.uid in read_owners(there)}
    owners = {owner.name: owner.uid for owner in wanted.owners} | kept
    annotations = metadata.get("annotations") or {}
    expected: dict[str, tuple[Any, Any]] = {
        "spec": (_leave_out_held_ports(evidence, there, wanted, plan), dict(wanted.spec)),
        "label": (is_labelled(there), True),
        "host": (annotations.get(HOST_ANNOTATION), str(wanted.set_key)),
        "policies": (annotations.get(POLICIES_ANNOTATION), ",".join(sorted(owners))),
        "owners": (read_owners(there), set(owners.values())),
    }
    for field, (found, right) in expected.items():
        if found != right:
            yield f"{wanted.key}: {field} is {found}, not {right}"


def _leave_out_held_ports(evidence: Evidence, entry: Object, wanted: Desired, plan: Plan) -> Object:
    """Return the spec without the ports that only a VirtualService on hold needs.

    A policy that is refused keeps what it had, and so its VirtualService keeps its ports.
    """
    spec: Object = entry["spec"]
    route = evidence.objects.get(Key(ROUTE, wanted.key.namespace, wanted.key.name))
    planned = plan.sets[wanted.set_key].objects
    if route is None or len(planned) > 1 or wanted.key.kind is not Kind.SERVICE_ENTRY:
        return spec
    if read_owners(route).isdisjoint(owner.uid for owner in plan.held):
        return spec
    needed = {port for _, port in read_destinations(route)}
    right = {port.number for port in wanted.facts.ports}
    ports = [
        port for port in spec["ports"] if port["number"] in right or port["number"] not in needed
    ]
    return {**spec, "ports": ports}


def _check_status(evidence: Evidence, plan: Plan, verdict: PolicyResult) -> Iterator[str]:
    policy = evidence.objects[Key(POLICY, plan.scope or "", verdict.policy)]
    key, generation = read_key(policy), policy["metadata"]["generation"]
    status, ready = policy.get("status") or {}, find_condition(policy, "Ready")
    if status.get("observedGeneration") != generation:
        yield f"{key}: observedGeneration is {status.get('observedGeneration')}, not {generation}"
        return
    yield from (f"{key}: {finding}" for finding in lint_status(status, generation))
    squatted = any(
        to_key(item.key) in evidence.squatters
        for host in verdict.set_keys
        for item in plan.sets[host].objects
    )
    conflicted = any(claim.state is ClaimState.CONFLICTED for claim in verdict.claims)
    right = "True" if verdict.accepted and not squatted and not conflicted else "False"
    if ready.get("status") != right:
        yield f"{key}: Ready is {ready.get('status')}, not {right}: {ready.get('message')}"
    elif verdict.accepted and (squatted or conflicted) and ready["reason"] != "Conflicted":
        yield f"{key}: the reason of Ready is {ready['reason']}, not Conflicted"
