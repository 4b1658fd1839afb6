"""What waiting tools make of the statuses of policies: done, under way, or failed."""

from typing import Any

import pytest

from golden.case import ROOT
from status.kstatus import Kstatus, compute_kstatus
from testbed.document import load_document, load_documents

CURRENT, FAILED, IN_PROGRESS = Kstatus.CURRENT, Kstatus.FAILED, Kstatus.IN_PROGRESS
SITUATIONS = {
    "allow-any": CURRENT,
    "expired": FAILED,
    "expired-paused": FAILED,
    "expired-refused": FAILED,
    "expires-later": CURRENT,
    "expires-soon": CURRENT,
    "extended": CURRENT,
    "extended-paused": IN_PROGRESS,
    "extended-refused": FAILED,
    "failing": IN_PROGRESS,
    "overridden": FAILED,
    "paused-at-birth": IN_PROGRESS,
    "paused-later": IN_PROGRESS,
    "paused-beside-another": CURRENT,
    "paused-beside-expired": IN_PROGRESS,
    "paused-while-pending": IN_PROGRESS,
    "paused-withdrawn": IN_PROGRESS,
    "pending": IN_PROGRESS,
    "requested-paused": CURRENT,
    "shadowed": CURRENT,
    "shape-error": FAILED,
    "squatted": FAILED,
}
"""Golden cases. Paused: done if it was applied and not edited since, and under way else."""


def build_item(**status: Any) -> dict[str, Any]:  # noqa: ANN401 - fields
    return {"metadata": {"generation": 2}, "status": status}


def build_conditions(*types: str, status: str = "True") -> list[dict[str, str]]:
    return [{"type": type_, "status": status} for type_ in types]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"metadata": {"generation": 1}}, CURRENT),
        ({"metadata": {"generation": 1, "deletionTimestamp": "x"}}, Kstatus.TERMINATING),
        (build_item(), CURRENT),
        (build_item(observedGeneration=-1), IN_PROGRESS),
        (build_item(observedGeneration=1, conditions=build_conditions("Stalled")), IN_PROGRESS),
        (build_item(observedGeneration=2), CURRENT),
        (build_item(observedGeneration=2, conditions=build_conditions("Stalled")), FAILED),
        (build_item(conditions=build_conditions("Ready", "Reconciling")), IN_PROGRESS),
        (build_item(conditions=build_conditions("Reconciling", "Stalled")), IN_PROGRESS),
        (build_item(conditions=build_conditions("Stalled", "Reconciling")), FAILED),
        (build_item(conditions=build_conditions("Stalled", status="False")), CURRENT),
    ],
)
def test_the_rules_are_those_of_kstatus(item: dict[str, Any], expected: Kstatus) -> None:
    assert compute_kstatus(item) is expected


@pytest.mark.parametrize("case", SITUATIONS)
def test_each_situation_is_taken_for_what_it_is(case: str) -> None:
    directory = ROOT / "status" / case
    statuses = load_document((directory / "status.yaml").read_text())
    documents = load_documents((directory / "input.yaml").read_text())
    metadata = next(item["metadata"] for item in documents if item["kind"] == "EgressPolicy")
    status = statuses[f"{metadata['namespace']}/{metadata['name']}"]
    item = {"metadata": {"generation": metadata.get("generation", 1)}, "status": status}
    assert compute_kstatus(item) is SITUATIONS[case]
