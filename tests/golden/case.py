"""A golden case: read its input, make everything of it, write it down as text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from compiler.world import World
from egress_operator.compiler.object import Kind, build_hand_written, read_observed
from egress_operator.compiler.plan import Memo, Plan, Verdict, plan_namespace
from egress_operator.compiler.source import NamespaceInput, PolicySource, Settings
from egress_operator.compiler.verdict import build_findings
from egress_operator.status.progress import NOT_BEGUN, GroupProgress, GroupState
from egress_operator.status.report import compute_status

ROOT = Path(__file__).parent
NOW = "2026-11-21T12:00:00Z"
PAUSED = "egress-operator.io/paused"
OUTPUTS = ("objects.yaml", "status.yaml", "diagnostics.txt")

Object = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """The documents of an input."""

    directory: Path
    policies: tuple[Object, ...]
    namespaces: frozenset[str]
    istio: tuple[Object, ...]
    settings: Settings
    progress: Mapping[str, GroupProgress]
    """By group key: instead of applied."""


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
    policies, namespaces, istio = [], set(), []
    options: Object = {}
    text = (directory / "input.yaml").read_text()
    for document in yaml.safe_load_all(text):
        match document["kind"]:
            case "EgressPolicy":
                policies.append(document)
            case "Namespace":
                namespaces.add(document["metadata"]["name"])
            case "Settings":
                options = document
            case "ServiceEntry" | "VirtualService":
                istio.append(document)
            case kind:
                raise ValueError(f"{directory.name}: no kind {kind} here")
    progress = {
        key: GroupProgress(
            GroupState(entry["state"]), entry.get("message", ""), entry.get("code", "")
        )
        for key, entry in (options.get("progress") or {}).items()
    }
    settings = TypeAdapter(Settings).validate_python(options.get("settings") or {})
    return Case(directory, tuple(policies), frozenset(namespaces), tuple(istio), settings, progress)


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
        paused=(metadata.get("annotations") or {}).get(PAUSED) == "true",
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
            namespaces=case.namespaces | set(spaces),
        )
        for space in spaces
    ]


def run_case(case: Case) -> Result:
    """Plan every namespace, apply the plan, and compute every status."""
    memo = Memo()
    objects: list[Object] = []
    statuses: dict[str, Mapping[str, Any]] = {}
    findings: list[str] = []
    sources = {}
    for inputs in build_inputs(case):
        plan = plan_namespace(inputs, memo)
        world = World()
        for item in case.istio:
            if item["metadata"]["namespace"] == inputs.namespace:
                world.put(item)
        world.settle(plan)
        objects += [world.objects[item.key] for item in world.observe() if item.ours]
        progress = _read_progress(plan, world) | dict(case.progress)
        for source in inputs.policies:
            label = f"{source.namespace}/{source.name}"
            sources[label] = source
            verdict = plan.verdicts[source.name]
            statuses[label] = compute_status(
                verdict,
                progress,
                _find_previous(case, source),
                NOW,
                outbound=case.settings.outbound_mode,
            )
            findings += [f"{label} {line}" for line in _build_lines(verdict)]
    return Result(
        tuple(sorted(map(_strip, objects), key=_order)),
        dict(sorted(statuses.items())),
        {label: source.generation for label, source in sources.items()},
        tuple(sorted(findings)),
    )


def _read_progress(plan: Plan, world: World) -> dict[str, GroupProgress]:
    found = {item.key: item for item in world.observe()}
    progress = {}
    for key, group in plan.groups.items():
        step = world.ask(plan, group)
        assert not step.writes
        assert step.wait is None
        ours = tuple(
            desired.key
            for desired in group.objects
            if desired.key in found and found[desired.key].ours
        )
        progress[key] = replace(
            NOT_BEGUN, state=GroupState.APPLIED, squatted=step.squatted, objects=ours
        )
    return progress


def _find_previous(case: Case, source: PolicySource) -> Mapping[str, Any] | None:
    for policy in case.policies:
        metadata = policy["metadata"]
        if (metadata["namespace"], metadata["name"]) == (source.namespace, source.name):
            status: Mapping[str, Any] | None = policy.get("status")
            return status
    return None


def _build_lines(verdict: Verdict) -> list[str]:
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
