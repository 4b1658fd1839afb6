"""Moments as RFC 3339 writes them: a date, a time of day, and the zone."""

import re
from datetime import datetime

MOMENT_LENGTH = 40
_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)"
_MONTHS = (
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8])"
)
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
MOMENT_PATTERN = (
    f"^({_YEAR}-({_MONTHS})|{_LEAP_YEAR}-02-29)"
    f"T{_CLOCK}:[0-5][0-9]([.][0-9]{{1,9}})?(Z|[+-]{_CLOCK})$"
)
"""Each day that there is, and no other: CEL has no `timestamp()` that may fail."""

_MOMENT = re.compile(MOMENT_PATTERN)


def parse_moment(text: str) -> float | None:
    """Return the seconds since 1970 (Unix time), or None when `text` is no moment. Pure."""
    if _MOMENT.fullmatch(text) is None:
        return None
    return datetime.fromisoformat(text).timestamp()
