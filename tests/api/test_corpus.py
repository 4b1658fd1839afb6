"""The corpus as Python judges it."""

import pytest

from api.corpus import Document, Pair, count_differences, load_pairs, load_samples
from egress_operator.api.check import check_policy, check_spec
from egress_operator.diagnostic import RULES, Scope

PAIRS = load_pairs()
SAMPLES = load_samples()


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_a_pair_differs_in_one_field_and_the_rule_is_named(pair: Pair) -> None:
    assert count_differences(pair.valid, pair.invalid) == 1
    policy, diagnostics = check_policy(pair.valid)
    assert diagnostics == ()
    assert policy is not None
    policy, diagnostics = check_policy(pair.invalid)
    assert policy is None
    assert {diagnostic.code for diagnostic in diagnostics} == {pair.code}


@pytest.mark.parametrize("document", SAMPLES.values(), ids=SAMPLES)
def test_a_valid_policy_is_accepted(document: Document) -> None:
    policy, diagnostics = check_policy(document)
    assert diagnostics == ()
    assert policy is not None
    assert check_spec(document["spec"]) == (policy.spec, ())


def test_every_shape_rule_has_a_pair() -> None:
    shape = {code for code, rule in RULES.items() if rule.scope is Scope.SHAPE}
    assert shape == {pair.code for pair in PAIRS}


def test_differences_are_counted_by_field() -> None:
    assert count_differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == 1
    assert count_differences({"a": 1}, {"a": 1, "b": {"c": 2, "d": 3}}) == 1
    assert count_differences({"a": [1, 2]}, {"a": [2, 3]}) == 2
    assert count_differences([1], [True]) == 1
    assert count_differences({"a": {}}, {"a": {}}) == 0
