"""Label selectors say what Kubernetes' own say."""

from collections.abc import Mapping

import pytest

from egress_operator.plan.selector import Requirement, Selector


@pytest.mark.parametrize(
    ("operator", "values", "labels", "selected"),
    [
        ("In", ("a", "b"), {"key": "b"}, True),
        ("In", ("a", "b"), {"key": "c"}, False),
        ("In", ("",), {}, False),
        ("NotIn", ("a",), {"key": "b"}, True),
        ("NotIn", ("a",), {"key": "a"}, False),
        ("NotIn", ("a",), {}, True),
        ("Exists", (), {"key": ""}, True),
        ("Exists", (), {"other": "a"}, False),
        ("DoesNotExist", (), {}, True),
        ("DoesNotExist", (), {"key": ""}, False),
    ],
)
def test_a_requirement_looks_at_one_label(
    operator: str,
    values: tuple[str, ...],
    labels: Mapping[str, str],
    selected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert Requirement("key", operator, values).matches(labels) is selected


def test_a_selector_without_requirements_selects_everything() -> None:
    assert Selector().matches({})


def test_all_requirements_must_hold() -> None:
    selector = Selector((Requirement("a", "In", ("1",)), Requirement("b", "Exists")))
    assert selector.matches({"a": "1", "b": ""})
    assert not selector.matches({"a": "1"})
    assert not selector.matches({"b": ""})
