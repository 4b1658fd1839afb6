"""Hosts that have something in common, so that the claims on them are judged together."""

from collections.abc import Iterable


def couple(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group what stands in these pairs, directly or through others: each and its group's name.

    Pure; nearly linear.
    """
    leaders: dict[str, str] = {}
    for one, other in pairs:
        leaders.setdefault(one, one)
        leaders.setdefault(other, other)
        leaders[_lead(leaders, one)] = _lead(leaders, other)
    return {key: _lead(leaders, key) for key in leaders}


def _lead(leaders: dict[str, str], key: str) -> str:
    """Follow the leaders to the last one, and shorten the way there."""
    last = key
    while leaders[last] != last:
        last = leaders[last]
    while leaders[key] != last:
        leaders[key], key = last, leaders[key]
    return last
