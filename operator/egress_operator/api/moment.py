"""Moments as RFC 3339 writes them: a date, a time of day, and the zone."""

import calendar
import re
from collections.abc import Iterator
from datetime import datetime

from egress_operator.api.rule import Check, Finding, quote

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
_DATE = re.compile(r"([1-9][0-9]{3})-([0-9]{1,2})-([0-9]{1,2})(?:[Tt\s]+(.*))?")
_TIME = re.compile(
    r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})([.][0-9]{1,9})?)?\s*([Zz]|UTC|[+-][0-9]{2}:?[0-9]{2})?"
)
_SPAN = re.compile(r"P?T?[0-9]+[A-Za-z]{1,7}")
_UTC = "Z"
_MONTHS_OF_A_YEAR = 12


def _find_bad_moment(text: str) -> Iterator[Finding]:
    if parse_moment(text) is not None:
        return
    shown, date = quote(text), _DATE.fullmatch(text.strip())
    if date is not None:
        yield _explain_date(shown, int(date[1]), int(date[2]), int(date[3]), date[4])
    elif _SPAN.fullmatch(text.strip()):
        yield Finding(
            f"{shown} is a duration, and this is the time at which the policy ends",
            fix="write its date and time, such as 2027-01-31T00:00:00Z",
        )
    else:
        yield Finding(subject=shown)


def _explain_date(shown: str, year: int, month: int, day: int, time: str | None) -> Finding:
    """Say it for a date, with or without a time of day: the nearest moment is suggested."""
    if not 1 <= month <= _MONTHS_OF_A_YEAR:
        return Finding(
            f"{shown} has a month that does not exist: {month}",
            fix="write the year, a month from 01 to 12, and the day",
        )
    last = calendar.monthrange(year, month)[1]
    date = f"{year}-{month:02}-{min(max(day, 1), last):02}"
    clock, missing = _read_clock(time)
    if not clock:
        return Finding(
            f"{shown} has a time of day that does not exist",
            fix="write hours 00 to 23, minutes and seconds 00 to 59, and a zone, such as "
            f"{date}T23:59:59{_UTC}",
        )
    fix = f"write {date}T{clock}"
    if not 1 <= day <= last:
        what = f"{shown} does not exist: {year}-{month:02} has {last} days"
    elif missing:
        what = f"{shown} has no {missing}"
        fix += f"; {_UTC} is UTC, and an offset such as +01:00 may stand in its place"
    else:
        what = f"{shown} is not spelled as RFC 3339 does"
    return Finding(what, fix=fix)


def _read_clock(time: str | None) -> tuple[str, str]:
    """Return a time of day with its zone as RFC 3339 spells it, and what was missing.

    Empty when there is none of that.
    """
    if time is None:
        return f"00:00:00{_UTC}", "time of day"
    found = _TIME.fullmatch(time.strip())
    if found is None:
        return "", ""
    hour, minute, second, fraction, zone = found.groups()
    zone = (zone or _UTC).upper().replace("UTC", _UTC)
    if zone != _UTC:
        zone = f"{zone[:3]}:{zone[-2:]}"
    clock = f"{int(hour):02}:{minute}:{second or '00'}{fraction or ''}{zone}"
    is_known = _MOMENT.fullmatch(f"2027-01-31T{clock}") is not None
    return (clock if is_known else ""), ("" if found[5] else "time zone")


def parse_moment(text: str) -> float | None:
    """Return the seconds since 1970 (Unix time), or None when `text` is no moment. Pure."""
    if _MOMENT.fullmatch(text) is None:
        return None
    return datetime.fromisoformat(text).timestamp()


MOMENT = Check(
    "EG062", f"self.matches(r'{MOMENT_PATTERN}')", _find_bad_moment, pattern=MOMENT_PATTERN
)
