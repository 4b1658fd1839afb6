"""Durations as Kubernetes writes them (GEP-2257): one to four whole numbers with their units."""

import re
from collections.abc import Iterator

from egress_operator.api.rule import Check, Finding, quote

DURATION_PATTERN = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
DURATION_LENGTH = 32

_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(DURATION_PATTERN)
_GROUP = re.compile(r"([0-9]+)(ms|h|m|s)")
_LOOSE = re.compile(r"([0-9]{1,12})(?:[.]([0-9]{1,3}))?\s*([A-Za-z]+)")
_UNITS = {
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), 1),
}
"""How people write units, with their milliseconds."""


def parse_duration(text: str) -> int | None:
    """Count whole milliseconds, or None when `text` is not a duration. Exact: no floating point."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _GROUP.findall(text))


def _find_bad_duration(text: str) -> Iterator[Finding]:
    # Istio refuses durations under 1ms, 0s among them: no limit is said by leaving the field out.
    length = parse_duration(text)
    if length is None:
        meant = find_duration(text)
        yield Finding(fix=f"write {meant}" if meant else "", subject=quote(text))
    elif length == 0:
        yield Finding(
            f"{quote(text)} is no time at all",
            fix="write 1ms at least; leave the field out for no limit",
        )


def find_duration(text: str) -> str:
    """Return what a number with its unit was meant as, such as `90s` for `1.5 min`; else empty.

    A number with too many digits is written in several units: `27h46m40s` for `100000s`. Pure.
    """
    found = _LOOSE.fullmatch(text.strip())
    unit = _UNITS.get(found[3].lower(), 0) if found else 0
    if found is None or not unit:
        return ""
    fraction = found[2] or ""
    length, rest = divmod(int(found[1] + fraction) * unit, 10 ** len(fraction))
    if rest or not length:
        return ""
    name, size = next(item for item in _MILLISECONDS.items() if length % item[1] == 0)
    meant = f"{length // size}{name}"
    return next(filter(parse_duration, (meant, _split(length))), "")


def _split(length: int) -> str:
    """Write milliseconds in all units that they need."""
    parts: list[str] = []
    for name, size in _MILLISECONDS.items():
        number, length = divmod(length, size)
        parts += [f"{number}{name}"] if number else []
    return "".join(parts)


def build_duration_cel(value: str) -> str:
    """Build CEL that is true when the string `value` is such that `duration()` takes it."""
    return f"{value}.matches(r'{DURATION_PATTERN}')"


DURATION = Check(
    "EG017",
    f"{build_duration_cel('self')} && duration(self) >= duration('1ms')",
    _find_bad_duration,
    pattern=DURATION_PATTERN,
)
