"""Durations as Kubernetes writes them (GEP-2257): one to four whole numbers with their units."""

import re
from collections.abc import Iterator

from egress_operator.api.rule import Check, Finding, quote

DURATION_PATTERN = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
DURATION_LENGTH = 32

_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(DURATION_PATTERN)
_GROUP = re.compile(r"([0-9]+)(ms|h|m|s)")


def parse_duration(text: str) -> int | None:
    """Count whole milliseconds, or None when `text` is not a duration. Exact: no floating point."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _GROUP.findall(text))


def _find_bad_duration(text: str) -> Iterator[Finding]:
    # Istio refuses durations under 1ms, 0s among them: no limit is said by leaving the field out.
    length = parse_duration(text)
    if length is None:
        yield Finding(subject=quote(text))
    elif length == 0:
        yield Finding(
            f"{quote(text)} is no time at all",
            fix="write 1ms at least; leave the field out for no limit",
        )


def build_duration_cel(value: str) -> str:
    """Build CEL that is true when the string `value` is such that `duration()` takes it."""
    return f"{value}.matches(r'{DURATION_PATTERN}')"


DURATION = Check(
    "EG017",
    f"{build_duration_cel('self')} && duration(self) >= duration('1ms')",
    _find_bad_duration,
    pattern=DURATION_PATTERN,
)
