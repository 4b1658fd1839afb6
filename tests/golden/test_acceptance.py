"""Every object of every golden case is accepted by the API server and by istiod's webhook."""

from pathlib import Path
from typing import Any

import pytest

from egress_operator.istio.object import (
    EGRESS_GATEWAY_ANNOTATION,
    GATEWAY_ANNOTATION,
    HOST_ANNOTATION,
    digest_spec,
)
from egress_operator.istio.observed import read_observed
from golden.case import find_cases, read_case, run_case
from testbed.client import ApiError
from testbed.controlplane import ControlPlane
from testbed.istiod import Istiod


def place(obj: dict[str, Any]) -> dict[str, Any]:
    """Put it into a namespace that is there; nothing is stored."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}


@pytest.mark.parametrize(
    "directory", find_cases(), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_objects_are_accepted_and_stored_as_written(
    directory: Path, control_plane: ControlPlane, istiod: Istiod
) -> None:
    assert istiod is not None
    for obj in run_case(read_case(directory)).objects:
        stored = control_plane.admin.create(place(obj), dry_run=True)
        observed = read_observed(stored)
        assert observed.spec_digest == digest_spec(obj["spec"])
        annotations = obj["metadata"]["annotations"]
        names = (EGRESS_GATEWAY_ANNOTATION, HOST_ANNOTATION, GATEWAY_ANNOTATION)
        assert str(observed.set_key) == next(
            annotations[name] for name in names if name in annotations
        )


def test_istiod_does_judge(control_plane: ControlPlane, istiod: Istiod) -> None:
    """The schema of the CRD takes this object, the webhook does not."""
    assert istiod is not None
    obj = run_case(read_case(find_cases()[0])).objects[0]
    bad = place(obj)
    bad["spec"] = {**bad["spec"], "exportTo": [".", "default"]}
    with pytest.raises(ApiError, match="duplicate"):
        control_plane.admin.create(bad, dry_run=True)
