"""The search for sets in which a planted fault shows comes to an end."""

import pytest

from mesh.oracle.planting import SEARCHED, find_seeds


def test_a_fault_that_changes_no_set_is_named() -> None:
    drawn: list[str] = []

    def draw(seed: str) -> list[dict[str, object]]:
        drawn.append(seed)
        return []

    with pytest.raises(AssertionError, match="1-lose_timeout: the fault changes none of"):
        next(find_seeds("1-lose_timeout", draw, ()))
    assert len(drawn) == SEARCHED
