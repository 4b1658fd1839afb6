"""Keys without a value that the API server never saw: kubectl's annotation tells of them."""

import json
from typing import Any

import pytest

from egress_operator.plan.applied import APPLIED_ANNOTATION, MOST_NULLS, find_nulls
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, Place, PolicySource

HOST = {"hosts": ["api.example.com"]}
SPEC: dict[str, Any] = {"destinations": [HOST]}


def note(spec: object, **more: object) -> dict[str, Any]:
    """Build metadata as kubectl writes them."""
    text = json.dumps({"kind": "EgressPolicy", "spec": spec, **more}, separators=(",", ":"))
    return {"annotations": {APPLIED_ANNOTATION: text}}


@pytest.mark.parametrize(
    ("applied", "there", "expected"),
    [
        (SPEC, SPEC, ()),
        ({**SPEC, "gatewayRef": None}, SPEC, (("gatewayRef",),)),
        ({**SPEC, "gatewayRef": None, "from": None}, SPEC, (("gatewayRef",), ("from",))),
        # It has one now, by another client.
        ({**SPEC, "gatewayRef": None}, {**SPEC, "gatewayRef": {"name": "shared"}}, ()),
        (
            {**SPEC, "from": {"serviceAccounts": None}},
            {**SPEC, "from": {}},
            (("from", "serviceAccounts"),),
        ),
        (
            {"destinations": [{**HOST, "originateTLS": None}]},
            SPEC,
            (("destinations", 0, "originateTLS"),),
        ),
        # Another edit has changed what there is: nobody can tell which one was meant.
        ({"destinations": [{**HOST, "originateTLS": None}] * 2}, SPEC, ()),
        ({"justification": ':null "gatewayRef":null', **SPEC}, SPEC, ()),
        ([None], SPEC, ()),
        (None, SPEC, ()),
        ({**SPEC, "from": {"a": None}}, {**SPEC, "from": "text"}, (("from", "a"),)),
    ],
)
def test_what_was_applied_without_a_value_is_found(
    applied: object, there: object, expected: tuple[Place, ...]
) -> None:
    assert find_nulls(note(applied), there) == expected


@pytest.mark.parametrize(
    "annotations",
    [
        None,
        7,
        {},
        {APPLIED_ANNOTATION: 7},
        {APPLIED_ANNOTATION: '{"spec":null'},
        {APPLIED_ANNOTATION: "[" * 200_000 + ":null"},
        {APPLIED_ANNOTATION: '[{"spec":null}]'},
        {APPLIED_ANNOTATION: '{"spec":' + '{"a":' * 900 + "1" + "}" * 900 + ',"b":null}'},
    ],
)
def test_an_annotation_that_is_something_else_tells_nothing(annotations: object) -> None:
    assert find_nulls({"annotations": annotations}, SPEC) == ()


def test_the_places_are_bounded() -> None:
    assert len(find_nulls(note({f"a{number}": None for number in range(99)}), {})) == MOST_NULLS
    assert find_nulls(note({"a" * 318: None, "b" * 317: None}), {}) == (("b" * 317,),)


def test_metadata_without_a_value_are_nobodys_concern() -> None:
    assert find_nulls(note(SPEC, metadata={"creationTimestamp": None}), SPEC) == ()


def test_such_a_policy_is_refused() -> None:
    """It would go directly, where a gateway was meant."""
    source = PolicySource(
        "shop",
        "web",
        "uid",
        1,
        "2026-01-01T00:00:00Z",
        SPEC,
        nulls=(("gatewayRef",), ("from", "workloads", "matchLabels", "a.b/c")),
    )
    plan = plan_namespace(NamespaceInput("shop", (source,)))
    assert not plan.sets
    found = plan.results["web"].diagnostics
    paths = ['spec.from.workloads.matchLabels["a.b/c"]', "spec.gatewayRef"]
    assert [(item.code, item.path) for item in found] == [("EG033", path) for path in paths]
    assert all("apply again" in item.message for item in found)
