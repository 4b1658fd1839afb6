"""What a plan costs, counted in lines of the operator that run: it grows as its input does."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import pytest

from bench.bounds import (
    build_addresses,
    build_below,
    build_deep,
    build_names,
    build_ranges,
    build_rules,
    build_shadowed,
    build_shared,
    build_sidecars,
    build_wildcards,
)
from egress_operator.diagnostic import MOST_NAMED
from egress_operator.plan.plan import PlanCache, plan_in_pieces, plan_namespace
from egress_operator.plan.sidecar import MOST_READ
from egress_operator.plan.source import NamespaceInput

SLACK = 1.3
"""For log n, and for what is there once whatever the size."""

END = object()

Build = Callable[[int], NamespaceInput]


def count_lines(work: Callable[[], object]) -> int:
    """Count the lines of the operator's modules that run; each round of a loop counts."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 - as sys.settrace has it
        nonlocal count
        if "egress_operator" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def build_teams(count: int) -> NamespaceInput:
    """Build `count` policies for one host, each for pods of its own."""
    inputs = build_names(count)
    destinations = [{"hosts": ["api.example.com"]}]
    policies = (
        replace(
            policy,
            spec={
                "from": {"workloads": {"matchLabels": {"app": policy.name}}},
                "destinations": destinations,
            },
        )
        for policy in inputs.policies
    )
    return replace(inputs, policies=tuple(policies))


def edit(inputs: NamespaceInput) -> NamespaceInput:
    """Return the input with a new generation of the oldest policy."""
    oldest, *others = inputs.policies
    return replace(inputs, policies=(replace(oldest, generation=2), *others))


def measure(build: Build, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Count the lines of the first plan and of the one after an edit, for each size."""
    for size in sizes:
        inputs, memo = build(size), PlanCache()
        assert not plan_namespace(inputs).held
        edited = edit(inputs)
        first = count_lines(partial(plan_namespace, inputs, memo))
        yield first, count_lines(partial(plan_namespace, edited, memo))


@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (build_ranges, (3, 6, 12)),
        (build_addresses, (1, 2, 4)),
        (build_names, (20, 40, 80)),
        (build_wildcards, (20, 40, 80)),
        (build_below, (10, 20, 40)),
        (build_deep, (2, 4, 8)),
        (build_shadowed, (20, 40, 80)),
        (build_rules, (100, 200, 400)),
        (build_teams, (50, 100, 200)),
    ],
    ids=[
        "ranges",
        "addresses",
        "names",
        "wildcards",
        "below",
        "deep",
        "shadowed",
        "rules",
        "teams",
    ],
)
def test_twice_the_input_costs_twice_as_much(build: Build, sizes: tuple[int, ...]) -> None:
    (small, _), (middle, _), (large, _) = measure(build, sizes)
    assert middle / small < 2 * SLACK
    assert large / middle < 2 * SLACK


@pytest.mark.parametrize(
    ("build", "size"),
    [(build_ranges, 6), (build_addresses, 3), (build_names, 40)],
    ids=["ranges", "addresses", "names"],
)
def test_an_edit_costs_what_it_says(build: Build, size: int) -> None:
    """Its own part of the first plan, and a few lines for each policy and host."""
    (small, edit_small), (large, edit_large) = measure(build, (size, 2 * size))
    per_policy = (large - small) / size
    assert edit_small < per_policy + small / 10
    assert edit_large - edit_small < (large - small) / 10


def test_sidecars_beyond_the_limit_cost_nothing() -> None:
    (at_limit, _), (beyond, _) = measure(build_sidecars, (MOST_READ, 20 * MOST_READ))
    assert beyond < at_limit * 1.01


def test_listeners_of_other_ports_cost_nothing() -> None:
    inputs = build_sidecars(MOST_READ)
    first = count_lines(partial(plan_namespace, inputs, PlanCache()))
    crowded = build_sidecars(MOST_READ, others=500)
    assert count_lines(partial(plan_namespace, crowded, PlanCache())) < first * 1.01


def test_an_unchanged_policy_is_not_compared_with_sidecars_again() -> None:
    inputs, memo = build_sidecars(MOST_READ), PlanCache()
    bare = replace(inputs, sidecars=())
    plan_namespace(bare, memo)
    without = count_lines(partial(plan_namespace, bare, memo))
    first = count_lines(partial(plan_namespace, inputs, memo))
    again = replace(inputs, sidecars=(*inputs.sidecars,))
    assert count_lines(partial(plan_namespace, again, memo)) < without + first / 100
    # Nor is it when another policy changes; only that one is.
    assert count_lines(partial(plan_namespace, edit(inputs), memo)) < first / 2


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (build_ranges, 24),
        (build_addresses, 16),
        (build_names, 200),
        (build_shared, 30),
        (build_sidecars, 200),
        (build_shadowed, 100),
    ],
)
def test_a_plan_is_made_in_pieces(build: Build, size: int) -> None:
    inputs = build(size)
    check_pieces(inputs, PlanCache(), inputs)


def test_of_many_objects_beside_a_host_few_are_named() -> None:
    for result in plan_namespace(build_shadowed(100)).results.values():
        assert len(result.shadowed) == 4 * (MOST_NAMED + 1)
        assert sum(line.endswith(": 195") for line in result.shadowed) == 4


def test_a_plan_after_all_policies_have_changed_is_made_in_pieces() -> None:
    inputs, memo = build_shared(30), PlanCache()
    plan_namespace(inputs, memo)
    for paused in (True, False):
        changed = tuple(replace(policy, paused=paused) for policy in inputs.policies)
        check_pieces(replace(inputs, policies=changed), memo, inputs)


def check_pieces(inputs: NamespaceInput, memo: PlanCache, known: NamespaceInput) -> None:
    """Compare the longest piece of a plan with the whole of a first one, of `known`."""
    pieces, longest, is_done = plan_in_pieces(inputs, memo), 0, False

    def do_piece() -> None:
        nonlocal is_done
        is_done = next(pieces, END) is END

    while not is_done:
        longest = max(longest, count_lines(do_piece))
    whole = count_lines(partial(plan_namespace, known, PlanCache()))
    assert longest < whole / 6
