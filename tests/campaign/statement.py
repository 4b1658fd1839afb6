"""The statuses of policies and gateways, compared with what stands; nothing is under way."""

from collections.abc import Iterator
from itertools import chain

from egress_operator.api.gateway import Authorization
from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Observed
from egress_operator.istio.set_key import HostSet, TenantSet
from egress_operator.plan.gateway import GatewayResult
from egress_operator.plan.permission import find_server_namespace
from egress_operator.plan.plan import Plan
from egress_operator.plan.reference import NOT_ALLOWED, NOT_READY
from egress_operator.plan.result import ClaimState, PolicyResult
from permission.gateway import GATEWAY
from status.lint import lint_status
from testbed.client import Object

from .scene import Scene


def find_wrong_statements(scene: Scene) -> Iterator[str]:
    """List what a status tells and is not so, one line each."""
    for item in scene.policies:
        metadata = item["metadata"]
        plan = scene.plans.get(metadata["namespace"])
        if plan is None or "deletionTimestamp" in metadata:
            continue
        wrong = find_wrong_policy(scene, plan, plan.results[metadata["name"]], item)
        yield from (f"{metadata['namespace']}/{metadata['name']}: {text}" for text in wrong)
    for item in scene.gateways:
        metadata = item["metadata"]
        if "deletionTimestamp" not in metadata:
            result = scene.results[metadata["name"]]
            wrong = chain(find_wrong_gateway(result, item), find_wrong_counts(scene, result, item))
            yield from (f"EgressGateway {metadata['name']}: {text}" for text in wrong)


def find_wrong_policy(
    scene: Scene, plan: Plan, result: PolicyResult, item: Object
) -> Iterator[str]:
    """Compare the conditions of a policy with what the plan and the cluster say of it."""
    status, generation = item.get("status") or {}, item["metadata"]["generation"]
    if not status.get("conditions"):
        yield "it has no status"
        return
    yield from lint_status(status, generation)
    told = read_told(status)
    if ("Paused" in told) != result.paused:
        yield f"it is paused: {result.paused}, and Paused is {told.get('Paused')}"
    code = "" if result.reference is None else result.reference.code
    if result.paused:
        if code == NOT_ALLOWED and told["Accepted"] == "True" and told["ResolvedRefs"] != "False":
            yield "it may not use its gateway, and ResolvedRefs does not tell"
        return
    if status["observedGeneration"] != generation:
        yield f"generation {status['observedGeneration']} is observed, not {generation}"
        return
    conflicted = any(claim.state is ClaimState.CONFLICTED for claim in result.claims)
    squatted = any(
        scene.is_squatted(wanted) for key in result.set_keys for wanted in plan.sets[key].objects
    )
    ready = result.accepted and not (code or conflicted or squatted)
    right = {"Accepted": str(result.accepted), "Ready": str(ready)}
    if result.accepted:
        right["ResolvedRefs"] = str(code in {"", NOT_READY})
    yield from _compare(told, right, item)


def find_wrong_gateway(result: GatewayResult, item: Object) -> Iterator[str]:
    """Compare the conditions of a gateway whose pods serve, where no admission policy is."""
    status, generation = item.get("status") or {}, item["metadata"]["generation"]
    if status.get("observedGeneration") != generation:
        yield f"generation {status.get('observedGeneration')} is observed, not {generation}"
        return
    accepted = result.gateway is not None
    right = {"Accepted": str(accepted), "Ready": str(accepted), "Isolated": "False"}
    yield from _compare(read_told(status), right, item)
    if result.gateway is not None:
        enforces = result.gateway.authorization is Authorization.MANAGED
        reason = "AdmissionPolicyMissing" if enforces else "NotEnforced"
        found = next(each for each in status["conditions"] if each["type"] == "Isolated")
        if found["reason"] != reason:
            yield f"the reason of Isolated is {found['reason']}, not {reason}"


def find_wrong_counts(scene: Scene, result: GatewayResult, item: Object) -> Iterator[str]:
    """Compare what a gateway counts with what stands at its places, present and former ones."""
    there = scene.observed.values()
    permissions = [each for each in there if each.set_key == result.set_key]
    places = {each.place for each in permissions}
    places |= {each.label for each in there if each.label and _is_owned(each, result)}
    if result.gateway is not None:
        places.add(result.gateway.label)
    hosts = {
        each.set_key
        for each in there
        if isinstance(each.set_key, HostSet)
        and each.key.kind is Kind.SERVICE_ENTRY
        and not places.isdisjoint(each.facts.refs)
    }
    namespaces = {host.namespace for host in hosts}
    namespaces |= {each.tenant for each in permissions if each.tenant}
    namespaces |= {find_server_namespace(each) for each in there if each.label in places}
    for name, count in (("hosts", len(hosts)), ("namespaces", len(namespaces))):
        if (told := (item.get("status") or {}).get(name)) != count:
            yield f"{name} is {told}, not {count}"


def _is_owned(server: Observed, result: GatewayResult) -> bool:
    """Whether a server of a tenant is that of an EgressGateway."""
    return isinstance(server.set_key, TenantSet) and any(
        (owner.kind, owner.name) == (GATEWAY[1], result.source.name) for owner in server.owners
    )


def read_told(status: Object) -> dict[str, str]:
    """Map the types of conditions to their statuses. Pure."""
    return {each["type"]: each["status"] for each in status["conditions"]}


def _compare(told: dict[str, str], right: dict[str, str], item: Object) -> Iterator[str]:
    for type_, status in right.items():
        if told.get(type_) != status:
            yield f"{type_} is {told.get(type_)}, not {status}: {item['status']['conditions']}"
