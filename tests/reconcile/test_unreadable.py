"""Objects of ours that hold what no schema would let in. No API server is needed.

The API server stores anything while a CRD has no schema, and shows it as it is when there is one.
"""

import asyncio
from typing import Any, cast

import pytest

from egress_operator.engine.resource import Resource
from egress_operator.plan.piece import Pieces
from egress_operator.plan.plan import Plan
from egress_operator.plan.source import NamespaceInput
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES
from wiring import wire

pytestmark = pytest.mark.looptime

ODD: tuple[Any, ...] = (None, 5, True, "text", [], [None], {"a": None}, [{"a": 1}])
"""What stands where a mapping, or the list of conditions, is expected."""
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Applied",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
SPEC = {
    "namespace": "istio-egress",
    "selector": {"istio": "egressgateway"},
    "service": {"name": "istio-egressgateway", "port": 443},
    "namespaces": {"matchLabels": {"egress": "shared"}},
    "authorization": "None",
}


class Outside:
    """Stands for everything outside, and remembers the statuses that are written."""

    def __init__(self) -> None:
        self.statuses: dict[tuple[str, str], dict[str, Any]] = {}

    async def patch(
        self, _: Resource, namespace: str, name: str, patch: list[Any], **__: object
    ) -> dict[str, Any]:
        """Answer with the object as it was, but for the status."""
        status = patch[-1]["value"]
        self.statuses[namespace, name] = status
        return {"metadata": build_metadata(name, namespace, 9), "spec": {}, "status": status}

    def __getattr__(self, _: str) -> Any:  # noqa: ANN401 - stands for several protocols
        """Count and announce nothing."""
        return lambda *_, **__: None

    def find_accepted(self, namespace: str, name: str) -> tuple[str, str]:
        """Return the status and the message of `Accepted`."""
        conditions = self.statuses[namespace, name]["conditions"]
        found = next(item for item in conditions if item["type"] == "Accepted")
        return found["status"], found["message"]


def build_metadata(name: str, namespace: str = "", version: int = 1) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {
        **place,
        "name": name,
        "uid": f"{namespace}/{name}",
        "resourceVersion": str(version),
        "generation": version,
    }


def build_body(
    name: str, namespace: str = "", *, version: int = 1, **more: object
) -> dict[str, Any]:
    return {"metadata": build_metadata(name, namespace, version), **more}


class Observed:
    """A controller that is at work, and the sinks that feed it."""

    def __init__(self, **hooks: Any) -> None:  # noqa: ANN401 - as of Controller
        self.outside = cast("Any", Outside())
        wired = wire(self.outside, **hooks)
        self.controller, self.sinks = wired.controller, wired.sinks

    async def settle(self) -> None:
        await asyncio.sleep(2)


async def run(observed: Observed) -> None:
    """Start with what is there, and stop again."""
    observed.controller.start()
    await observed.settle()
    await observed.controller.stop(1)


@pytest.mark.parametrize("at_start", [True, False])
@pytest.mark.parametrize("spec", ODD)
async def test_a_spec_that_is_none_holds_up_nothing(spec: object, *, at_start: bool) -> None:
    observed = Observed()
    if not at_start:
        observed.controller.start()
    observed.sinks[NAMESPACES].upsert(build_body("shop"))
    observed.sinks[POLICIES].upsert(build_body("odd", "shop", spec=spec))
    observed.sinks[GATEWAYS].upsert(build_body("odd", spec=spec))
    observed.sinks[GATEWAYS].upsert(build_body("shared", spec=SPEC))
    if at_start:
        observed.controller.start()
    await observed.settle()
    observed.sinks[NAMESPACES].upsert(
        {"metadata": {**build_metadata("shop", "", 2), "labels": {"a": "b"}}}
    )
    await observed.settle()
    await observed.controller.stop(1)
    assert observed.outside.find_accepted("", "shared")[0] == "True"
    for place in ("shop", ""):
        status, message = observed.outside.find_accepted(place, "odd")
        assert status == "False"
        assert message.startswith("spec")


@pytest.mark.parametrize(
    "status",
    [
        *ODD,
        *({"conditions": value} for value in ODD),
        *({"conditions": [{**CONDITION, field: 5}]} for field in CONDITION),
        *({"conditions": [{**CONDITION, field: {}}]} for field in CONDITION),
    ],
)
async def test_a_status_that_is_none_is_written_anew(status: object) -> None:
    observed = Observed()
    observed.sinks[NAMESPACES].upsert(build_body("shop"))
    observed.sinks[POLICIES].upsert(build_body("odd", "shop", spec={}, status=status))
    observed.sinks[GATEWAYS].upsert(build_body("shared", spec=SPEC, status=status))
    await run(observed)
    assert observed.outside.find_accepted("shop", "odd")[0] == "False"
    assert observed.outside.find_accepted("", "shared")[0] == "True"
    for written in observed.outside.statuses.values():
        for condition in written["conditions"]:
            assert all(isinstance(condition[field], str) for field in CONDITION)


@pytest.mark.parametrize("annotations", ODD)
async def test_annotations_that_are_none_pause_nothing(annotations: object) -> None:
    observed = Observed()
    body = build_body("web", "shop", spec={})
    body["metadata"]["annotations"] = annotations
    observed.sinks[POLICIES].upsert(body)
    (record,) = observed.controller.cluster.policies
    assert not record.source.paused


FAILURE = "a hook has a bug"


def fail(*_: object) -> None:
    raise RuntimeError(FAILURE)


async def test_a_change_of_a_gateway_is_not_lost_when_a_hook_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = [False]
    observed = Observed(on_gateways=lambda: fail() if failing[0] else None)
    observed.sinks[GATEWAYS].upsert(build_body("shared", spec=SPEC))
    observed.controller.start()
    await observed.settle()
    failing[0] = True
    odd = {**SPEC, "namespace": "istio-system"}
    observed.sinks[GATEWAYS].upsert(build_body("shared", version=2, spec=odd))
    await observed.settle()
    await observed.controller.stop(1)
    assert observed.outside.find_accepted("", "shared")[0] == "False"
    assert FAILURE in caplog.text


async def test_a_change_of_a_namespace_is_not_lost_when_a_hook_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    observed = Observed()
    cluster = observed.controller.cluster
    for name in ("pay", "shop"):
        observed.sinks[NAMESPACES].upsert(build_body(name))
        observed.sinks[POLICIES].upsert(
            build_body("web", name, spec={"gatewayRef": {"name": "shared"}})
        )
    observed.controller.start()
    await observed.settle()
    planned: list[str] = []
    build = cluster.build_input

    def note(namespace: str, before: Plan | None) -> Pieces[NamespaceInput]:
        planned.append(namespace)
        return build(namespace, before)

    monkeypatch.setattr(cluster, "build_input", note)
    monkeypatch.setattr(cluster, "goes_through_gateway", fail)
    # A list: what the first of them asks for fails, and the second is told all the same.
    observed.sinks[NAMESPACES].begin()
    observed.sinks[NAMESPACES].finish("5")
    assert not list(cluster.namespaces)
    for name in ("pay", "shop"):
        observed.sinks[NAMESPACES].upsert(
            {"metadata": {**build_metadata(name, "", 6), "labels": {"egress": "shared"}}}
        )
    await observed.settle()
    await observed.controller.stop(1)
    assert {"pay", "shop"} <= set(planned)
    assert FAILURE in caplog.text
