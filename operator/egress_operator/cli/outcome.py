"""What a plan makes of the input, offline: objects, and findings with their places."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from egress_operator.api.check import check_gateway, check_policy
from egress_operator.cli.document import find_place
from egress_operator.cli.finding import FILE_RULES, FileRule, Finding
from egress_operator.cli.resource import Inventory, Source
from egress_operator.diagnostic import Diagnostic, Level, find_rule
from egress_operator.istio.kind import Kind
from egress_operator.istio.manifest import build_manifest
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.permission import Selection, collect_allows, plan_gateways
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.reference import NOT_FOUND
from egress_operator.plan.result import build_findings
from egress_operator.plan.sidecar import choose_sidecars
from egress_operator.plan.source import (
    PAUSED_ANNOTATION,
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
    is_paused,
)

NOT_CREATED = "9999-12-31T23:59:59Z"
"""Stands for the creationTimestamp that a policy gets when it is applied: younger than all."""
_NO_UID = "offline:"
"""Begins the place-holder for the uid that a policy gets when it is applied."""
_ORDER = {kind: index for index, kind in enumerate(Kind)}


class Outcome(NamedTuple):
    """`objects` are manifests sorted by namespace, kind and name; `findings` sorted by place."""

    objects: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    policies: int
    """Policies that were judged."""
    gateways: int
    """EgressGateways that were judged."""
    is_partial: bool
    """Whether some checks were left out, because the text or the fields have errors."""


def build_outcome(inventory: Inventory, settings: Settings, now: float) -> Outcome:
    """Judge and compile everything in the inventory. Pure.

    Policies with errors, and those that have expired at `now` (Unix time), make no objects and take
    no part in conflicts, as in the operator. ownerReferences are left out for policies that have no
    metadata.uid yet.
    """
    findings = list(inventory.findings)
    gateways = _read_gateways(inventory, findings)
    # What has no place was not there at all, so nothing of it was left out.
    is_partial = any(found.line and found.level is Level.ERROR for found in findings)
    results = judge_gateways(gateways, settings)
    for gateway in inventory.gateways.values():
        if result := results.get(gateway.name):
            findings += [_build_finding(gateway, found) for found in result.diagnostics]
            findings += _find_tenant_s_own(gateway, result, inventory)
    accepted: dict[str, list[Source]] = {}
    for policy in inventory.policies.values():
        metadata = {**policy.item.metadata, "namespace": policy.namespace}
        _, diagnostics = check_policy({**policy.item.value, "metadata": metadata})
        findings += [_build_finding(policy, diagnostic) for diagnostic in diagnostics]
        is_partial = is_partial or bool(diagnostics)
        if not diagnostics:
            accepted.setdefault(policy.namespace, []).append(policy)
    plans = []
    uids = _count_uids(inventory.policies.values())
    for namespace, policies in accepted.items():
        plan = plan_namespace(
            NamespaceInput(
                namespace=namespace,
                policies=tuple(_build_source(policy, uids) for policy in policies),
                settings=settings,
                hand_written=tuple(sorted(inventory.hand_written.get(namespace, ()))),
                gateways=gateways,
                labels=inventory.labels.get(namespace),
                now=now,
                sidecars=choose_sidecars(inventory.sidecars, namespace, settings.root_namespace),
            )
        )
        plans.append(plan)
        is_partial = is_partial or not all(item.accepted for item in plan.results.values())
        for policy in policies:
            if plan.results[policy.name].paused:
                findings.append(_build_paused(policy))
            findings += [
                _build_no_gateway(policy, item)
                if item.code == NOT_FOUND and not gateways
                else _build_finding(policy, item)
                for item in build_findings(plan.results[policy.name])
            ]
    plans.append(plan_gateways(results, collect_allows(plans), {}, _build_selection(inventory)))
    return Outcome(
        objects=tuple(_build_objects(plans)),
        findings=tuple(sorted(set(findings))),
        policies=len(inventory.policies),
        gateways=len(inventory.gateways),
        is_partial=is_partial,
    )


def _build_selection(inventory: Inventory) -> Selection:
    """Return whether a gateway is open to a namespace; one that no file describes may use it."""

    def is_selected(result: GatewayResult, namespace: str) -> bool:
        labels = inventory.labels.get(namespace)
        return labels is None or result.is_open_to(labels)

    return is_selected


def _read_gateways(inventory: Inventory, findings: list[Finding]) -> tuple[GatewaySource, ...]:
    """Return the EgressGateways that are right around their spec; the plan judges the rest."""
    sources = []
    uids = _count_uids(inventory.gateways.values())
    for gateway in inventory.gateways.values():
        found = check_gateway(gateway.item.value)[1]
        findings += [_build_finding(gateway, diagnostic) for diagnostic in found]
        if all(diagnostic.path.startswith("spec") for diagnostic in found):
            metadata = gateway.item.metadata
            sources.append(
                GatewaySource(
                    name=gateway.name,
                    uid=_choose_uid(metadata, uids, gateway.label),
                    generation=_read_generation(metadata),
                    created=_read_text(metadata.get("creationTimestamp")) or NOT_CREATED,
                    spec=gateway.item.value.get("spec") or {},
                )
            )
    return tuple(sources)


def _build_source(policy: Source, uids: Counter[str]) -> PolicySource:
    metadata = policy.item.metadata
    return PolicySource(
        namespace=policy.namespace,
        name=policy.name,
        uid=_choose_uid(metadata, uids, policy.label),
        generation=_read_generation(metadata),
        created=_read_text(metadata.get("creationTimestamp")) or NOT_CREATED,
        spec=policy.item.value["spec"],
        paused=is_paused(metadata),
    )


def _count_uids(sources: Iterable[Source]) -> Counter[str]:
    return Counter(_read_text(source.item.metadata.get("uid")) for source in sources)


def _choose_uid(metadata: Mapping[str, Any], uids: Counter[str], label: str) -> str:
    """Return the uid; one that was copied along with the text identifies nothing."""
    uid = _read_text(metadata.get("uid"))
    return uid if uid and uids[uid] == 1 else f"{_NO_UID}{label}"


def _read_generation(metadata: Mapping[str, Any]) -> int:
    generation = metadata.get("generation")
    return generation if isinstance(generation, int) else 0


def _read_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _build_finding(source: Source, diagnostic: Diagnostic) -> Finding:
    place = find_place(source.item.place, diagnostic.path)
    return Finding(
        file=source.item.file,
        line=place.line,
        column=place.column,
        rule=diagnostic.code,
        message=diagnostic.message,
        level=find_rule(diagnostic.code).level,
        fix=diagnostic.fix or find_rule(diagnostic.code).fix,
        object=source.label,
        path=diagnostic.path,
    )


def _find_tenant_s_own(
    source: Source, result: GatewayResult, inventory: Inventory
) -> Iterator[Finding]:
    """Warn where the pods of a gateway are in a tenant's namespace, not of one open to all."""
    gateway = result.gateway
    if gateway is None:
        return
    namespace, tenants = gateway.namespace, gateway.intent.tenants
    labels = inventory.labels.get(namespace)
    if any(policy.namespace == namespace for policy in inventory.policies.values()):
        cause = "has policies too"
    elif tenants and tenants.requirements and labels is not None and tenants.matches(labels):
        cause = "is selected by spec.namespaces too"
    else:
        return
    place = find_place(source.item.place, "spec.namespace")
    yield Finding(
        file=source.item.file,
        line=place.line,
        column=place.column,
        rule=FileRule.TENANT_S_OWN.value,
        message=f"the namespace {namespace}, where the gateway's pods run, {cause}: whoever may "
        "write there can do everything at the gateway; run it in a namespace in which only the "
        "platform team may write",
        level=Level.WARNING,
        fix=FILE_RULES[FileRule.TENANT_S_OWN][1],
        object=source.label,
        path="spec.namespace",
    )


def _build_no_gateway(source: Source, diagnostic: Diagnostic) -> Finding:
    """Warn in place of an error: without any EgressGateway nobody can tell whether it is there."""
    return _build_finding(source, diagnostic)._replace(
        rule=FileRule.NO_GATEWAY.value,
        message="no EgressGateway is among the files, so this policy was not checked against its "
        "gateway, and nothing is rendered for it; add the gateway's file with -f",
        level=Level.WARNING,
        fix=FILE_RULES[FileRule.NO_GATEWAY][1],
    )


def _build_paused(source: Source) -> Finding:
    """Warn of a policy of which the operator would change nothing, and so nothing is rendered."""
    place = find_place(source.item.place, "metadata.annotations")
    return Finding(
        file=source.item.file,
        line=place.line,
        column=place.column,
        rule=FileRule.PAUSED.value,
        message=f"the annotation {PAUSED_ANNOTATION} pauses the policy, so the operator keeps what "
        "it has as it is, and nothing is rendered for it; remove the annotation to go on",
        level=Level.WARNING,
        fix=FILE_RULES[FileRule.PAUSED][1],
        object=source.label,
        path="metadata.annotations",
    )


def _build_objects(plans: list[Plan]) -> Iterator[dict[str, Any]]:
    wanted = [obj for plan in plans for group in plan.sets.values() for obj in group.objects]
    wanted.sort(key=lambda obj: (obj.key.namespace, _ORDER[obj.key.kind], obj.key.name))
    for desired in wanted:
        manifest = build_manifest(desired, desired.owners)
        references = [
            reference
            for reference in manifest["metadata"].pop("ownerReferences", ())
            if not reference["uid"].startswith(_NO_UID)
        ]
        if references:
            manifest["metadata"]["ownerReferences"] = references
        yield manifest
