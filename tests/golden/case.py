"""A golden case: read its input, make everything of it, write it down as text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Owner
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import SetKey, find_scope
from egress_operator.istio.sidecar import Sidecar, read_sidecar
from egress_operator.plan.gateway import judge_gateways
from egress_operator.plan.plan import Plan, PlanCache, PolicyResult, plan_namespace
from egress_operator.plan.result import build_findings
from egress_operator.plan.sidecar import choose_sidecars
from egress_operator.plan.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
    build_hand_written,
    find_rule_ages,
    is_paused,
    read_request,
)
from egress_operator.plan.standing import build_host_standings
from egress_operator.status.gateway import Admission, GatewayFacts, compute_gateway_status
from egress_operator.status.progress import NOT_BEGUN, SetProgress, SetState
from egress_operator.status.report import compute_status
from rollout.fake_cluster import FakeCluster
from rollout.policy_set import plan_permission
from testbed.document import load_documents

ROOT = Path(__file__).parent
NOW = "2026-11-21T12:00:00Z"
MOMENT = datetime.fromisoformat(NOW).timestamp()
OUTPUTS = ("objects.yaml", "status.yaml", "diagnostics.txt")

Object = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """The documents of an input."""

    directory: Path
    policies: tuple[Object, ...]
    gateways: tuple[Object, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by name."""
    istio: tuple[Object, ...]
    sidecars: tuple[Sidecar, ...]
    settings: Settings
    progress: Mapping[str, SetProgress]
    """By group key: instead of applied."""
    unready: Mapping[str, str]
    """Why a gateway cannot carry traffic, by its name."""
    admission: Admission
    """The admission policies."""


@dataclass(frozen=True)
class Result:
    """What is made of a case."""

    objects: tuple[Object, ...]
    """All objects of ours that stand in the end, sorted."""
    statuses: Mapping[str, Mapping[str, Any]]
    """By `namespace/name`."""
    generations: Mapping[str, int]
    findings: tuple[str, ...]

    def build_texts(self) -> dict[str, str]:
        """Write down the output files, by name."""
        return {
            "objects.yaml": yaml.safe_dump_all(self.objects, sort_keys=False),
            "status.yaml": yaml.safe_dump(dict(self.statuses), sort_keys=False, allow_unicode=True),
            "diagnostics.txt": "".join(f"{line}\n" for line in self.findings),
        }


def find_cases() -> list[Path]:
    """List every directory with an input."""
    return sorted(path.parent for path in ROOT.glob("*/*/input.yaml"))


def read_case(directory: Path) -> Case:
    """Read the input of a case. An unknown kind is a mistake in the case."""
    policies: list[Object] = []
    gateways: list[Object] = []
    namespaces: dict[str, Mapping[str, str]] = {}
    istio: list[Object] = []
    sidecars: list[Sidecar] = []
    options: Object = {}
    text = (directory / "input.yaml").read_text()
    for document in load_documents(text):
        match document["kind"]:
            case "EgressPolicy":
                policies.append(document)
            case "Namespace":
                metadata = document["metadata"]
                namespaces[metadata["name"]] = metadata.get("labels") or {}
            case "EgressGateway":
                gateways.append(document)
            case "Settings":
                options = document
            case "Sidecar":
                sidecars.append(read_sidecar(document))
            case kind if kind in set(Kind):
                istio.append(document)
            case kind:
                raise ValueError(f"{directory.name}: no kind {kind} here")
    progress = {
        key: SetProgress(SetState(entry["state"]), entry.get("message", ""), entry.get("code", ""))
        for key, entry in (options.get("progress") or {}).items()
    }
    settings = TypeAdapter(Settings).validate_python(options.get("settings") or {})
    unready = options.get("unready") or {}
    return Case(
        directory,
        tuple(policies),
        tuple(gateways),
        namespaces,
        tuple(istio),
        tuple(sidecars),
        settings,
        progress,
        unready,
        Admission("", is_strict=options.get("admission", "Strict") == "Strict"),
    )


def build_source(policy: Object) -> PolicySource:
    """Make a policy of the input as the API server has it; the uid follows from the name."""
    metadata = policy["metadata"]
    return PolicySource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", f"uid-of-{metadata['name']}"),
        generation=metadata.get("generation", 1),
        created=metadata.get("creationTimestamp", "2026-01-01T00:00:00Z"),
        spec=policy["spec"],
        paused=is_paused(metadata),
        requested=read_request(metadata),
    )


def build_gateway_source(gateway: Object) -> GatewaySource:
    """Make an EgressGateway of the input as the API server has it."""
    metadata = gateway["metadata"]
    return GatewaySource(
        name=metadata["name"],
        uid=f"uid-of-{metadata['name']}",
        generation=metadata.get("generation", 1),
        created=metadata.get("creationTimestamp", "2026-01-01T00:00:00Z"),
        spec=gateway["spec"],
    )


def build_inputs(case: Case) -> list[NamespaceInput]:
    """Build one input for each namespace that has a policy."""
    spaces = sorted({policy["metadata"]["namespace"] for policy in case.policies})
    return [
        NamespaceInput(
            namespace=space,
            policies=tuple(
                build_source(policy)
                for policy in case.policies
                if policy["metadata"]["namespace"] == space
            ),
            settings=case.settings,
            hand_written=tuple(
                build_hand_written(observed)
                for observed in map(read_observed, case.istio)
                if observed.key.namespace == space and not observed.ours
            ),
            rule_ages=find_rule_ages(
                [item for item in map(read_observed, case.istio) if item.key.namespace == space]
            ),
            gateways=tuple(map(build_gateway_source, case.gateways)),
            labels=case.namespaces.get(space, {}),
            standing=build_host_standings(
                map(read_observed, case.istio),
                {
                    Owner(source.name, source.uid)
                    for source in map(build_source, case.policies)
                    if source.namespace == space
                },
            ),
            unready=case.unready,
            guards_sockets=case.admission.guards_sockets,
            now=MOMENT,
            sidecars=choose_sidecars(case.sidecars, space, case.settings.root_namespace),
        )
        for space in spaces
    ]


def run_case(case: Case) -> Result:
    """Plan every namespace, apply the plan, and compute every status."""
    memo = PlanCache()
    statuses: dict[str, Mapping[str, Any]] = {}
    findings: list[str] = []
    sources = {}
    cluster = FakeCluster()
    for item in case.istio:
        cluster.put(item)
    plans = {inputs.namespace: plan_namespace(inputs, memo) for inputs in build_inputs(case)}
    gateways = judge_gateways(map(build_gateway_source, case.gateways), case.settings)
    permission = plan_permission(plans.values(), gateways, cluster, case.namespaces.get)
    cluster.converge(*plans.values(), permission)
    objects = [cluster.objects[item.key] for item in cluster.observe() if item.ours]
    for inputs in build_inputs(case):
        plan = plans[inputs.namespace]
        progress = {
            key: case.progress.get(str(key), found)
            for key, found in _read_progress(plan, cluster).items()
        }
        for source in inputs.policies:
            label = f"{source.namespace}/{source.name}"
            sources[label] = source
            verdict = plan.results[source.name]
            statuses[label] = compute_status(
                verdict,
                progress | _read_kept(verdict, cluster),
                _find_previous(case, source),
                NOW,
            )
            findings += [f"{label} {line}" for line in _build_lines(verdict)]
    for name, gateway in gateways.items():
        label = gateway.gateway.label if gateway.gateway else ""
        served = {
            item.set_key
            for item in cluster.observe()
            if item.set_key and item.key.kind is Kind.SERVICE_ENTRY and label in item.facts.refs
        }
        facts = GatewayFacts(
            SetProgress(SetState.APPLIED),
            case.unready.get(name, ""),
            case.admission,
            namespaces=len({find_scope(host) for host in served}),
            hosts=len(served),
            serves_itself=gateway.source.place in {find_scope(host) for host in served},
        )
        statuses[name] = compute_gateway_status(gateway, facts, None, NOW)
        findings += [
            f"{name} {item.code} {item.path}: {item.message}" for item in gateway.diagnostics
        ]
    return Result(
        tuple(sorted(map(_strip, objects), key=_order)),
        dict(sorted(statuses.items())),
        {label: source.generation for label, source in sources.items()},
        tuple(sorted(findings)),
    )


def _read_progress(plan: Plan, cluster: FakeCluster) -> dict[SetKey, SetProgress]:
    found = {item.key: item for item in cluster.observe()}
    progress = {}
    for key, group in plan.sets.items():
        step = cluster.compute_step(plan, group)
        assert not step.writes
        assert step.wait is None
        ours = tuple(
            desired.key
            for desired in (*group.objects, *group.allows)
            if desired.key in found and found[desired.key].ours
        )
        progress[key] = replace(
            NOT_BEGUN, state=SetState.APPLIED, squatted=step.squatted, objects=ours
        )
    return progress


def _read_kept(verdict: PolicyResult, cluster: FakeCluster) -> dict[SetKey, SetProgress]:
    owner = Owner(verdict.policy, verdict.uid)
    own = [item for item in cluster.observe() if item.ours and owner in item.owners]
    return {
        key: replace(NOT_BEGUN, objects=tuple(item.key for item in own if item.set_key == key))
        for key in verdict.kept
    }


def _find_previous(case: Case, source: PolicySource) -> Mapping[str, Any] | None:
    for policy in case.policies:
        metadata = policy["metadata"]
        if (metadata["namespace"], metadata["name"]) == (source.namespace, source.name):
            status: Mapping[str, Any] | None = policy.get("status")
            return status
    return None


def _build_lines(verdict: PolicyResult) -> list[str]:
    return [
        f"{finding.code} {finding.path or '-'}: {finding.message}"
        for finding in build_findings(verdict)
    ]


def _strip(obj: Object) -> Object:
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name not in {"uid", "creationTimestamp"}
    }
    return {**obj, "metadata": metadata}


def _order(obj: Object) -> tuple[str, int, str]:
    metadata = obj["metadata"]
    return metadata["namespace"], list(Kind).index(Kind(obj["kind"])), metadata["name"]
