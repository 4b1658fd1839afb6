"""The corpus as Python judges it."""

import pytest

from api.corpus import (
    Document,
    Pair,
    check,
    count_differences,
    find_resource,
    load_pairs,
    load_samples,
)
from egress_operator.api.check import check_gateway_spec, check_spec
from egress_operator.diagnostic import Scope, read_rules
from tools.crd import GATEWAY, RESOURCES

PAIRS = load_pairs()
SAMPLES = load_samples()


@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_a_pair_differs_in_one_field_and_the_rule_is_named(pair: Pair) -> None:
    assert count_differences(pair.valid, pair.invalid) == 1
    found, diagnostics = check(pair.valid)
    assert diagnostics == ()
    assert found is not None
    found, diagnostics = check(pair.invalid, pair.resource)
    assert found is None
    assert {diagnostic.code for diagnostic in diagnostics} == {pair.code}


@pytest.mark.parametrize("document", SAMPLES.values(), ids=SAMPLES)
def test_a_valid_object_is_accepted(document: Document) -> None:
    found, diagnostics = check(document)
    assert diagnostics == ()
    assert found is not None
    check_of_spec = check_gateway_spec if find_resource(document) is GATEWAY else check_spec
    spec, diagnostics = check_of_spec(document["spec"])
    assert diagnostics == ()
    assert spec == getattr(found, "spec")  # noqa: B009 - mypy knows no field common to both


def test_the_corpus_holds_both_kinds() -> None:
    kinds = {resource.kind for resource in RESOURCES}
    assert {pair.resource.kind for pair in PAIRS} == kinds
    assert {find_resource(document).kind for document in SAMPLES.values()} == kinds


def test_every_shape_rule_has_a_pair() -> None:
    shape = {code for code, rule in read_rules().items() if rule.scope is Scope.SHAPE}
    assert shape == {pair.code for pair in PAIRS}


def test_differences_are_counted_by_field() -> None:
    assert count_differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == 1
    assert count_differences({"a": 1}, {"a": 1, "b": {"c": 2, "d": 3}}) == 1
    assert count_differences({"a": [1, 2]}, {"a": [2, 3]}) == 2
    assert count_differences([1], [True]) == 1
    assert count_differences({"a": {}}, {"a": {}}) == 0
