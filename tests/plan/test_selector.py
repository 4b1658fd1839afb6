"""Selectors in words."""

import pytest

from egress_operator.plan.selector import Requirement, Selector

LABELS = {"egress": "web", "team": "pay"}


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ((), ""),
        ((Requirement("team", "Exists"),), ""),
        (
            (Requirement("egress", "In", ("shared",)), Requirement("team", "In", ("pay",))),
            "egress=shared is wanted, and there is egress=web",
        ),
        (
            (Requirement("env", "In", ("test", "prod")), Requirement("env", "Exists")),
            "env in (test, prod), env is wanted, and there is no label env",
        ),
        (
            (Requirement("team", "NotIn", ("pay", "bank")), Requirement("egress", "DoesNotExist")),
            "team notin (pay, bank), !egress is wanted, and there is team=pay, egress=web",
        ),
    ],
)
def test_what_keeps_labels_from_a_selector(
    requirements: tuple[Requirement, ...], words: str
) -> None:
    selector = Selector(requirements)
    assert selector.explain_mismatch(LABELS) == words
    assert selector.matches(LABELS) is (not words)
