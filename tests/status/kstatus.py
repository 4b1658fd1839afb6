"""What waiting tools make of an object: the rules of kstatus for kinds that it does not know.

Written anew from the published rules (cli-utils, `pkg/kstatus`), which Flux, kpt and Config Sync
wait by.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Kstatus(StrEnum):
    """The state of an object."""

    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    CURRENT = "Current"
    TERMINATING = "Terminating"


VERDICTS = {"Reconciling": Kstatus.IN_PROGRESS, "Stalled": Kstatus.FAILED}


def compute_kstatus(item: Mapping[str, Any]) -> Kstatus:
    """Compute the state of an object. Pure.

    A deletion comes first, then a generation that is not observed yet, then the first condition
    that decides. Whatever says nothing counts as done, an object without a status too.
    """
    metadata, status = item["metadata"], item.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Kstatus.TERMINATING
    observed = status.get("observedGeneration")
    if "generation" in metadata and observed not in {None, metadata["generation"]}:
        return Kstatus.IN_PROGRESS
    for condition in status.get("conditions") or ():
        if condition["type"] in VERDICTS and condition["status"] == "True":
            return VERDICTS[condition["type"]]
    return Kstatus.CURRENT
