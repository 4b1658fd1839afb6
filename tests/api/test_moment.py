"""Moments: what the pattern takes is a moment to Python too, and the other way round."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator.api.check import check_spec
from egress_operator.api.moment import parse_moment
from egress_operator.diagnostic import Diagnostic

ZONES = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


@given(st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=ZONES))  # noqa: DTZ001 - bounds have no zone
def test_every_moment_is_taken(moment: datetime) -> None:
    assert parse_moment(moment.isoformat()) == moment.timestamp()


@given(st.integers(1, 9999), st.integers(0, 99), st.integers(0, 99))
def test_no_other_day_is_taken(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}T00:00:00Z"
    try:
        moment: float | None = datetime(year, month, day, tzinfo=UTC).timestamp()
    except ValueError:
        moment = None
    assert parse_moment(text) == (moment if year >= 1000 else None)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_no_other_time_of_day_is_taken(hour: int, minute: int, second: int) -> None:
    text = f"2027-01-31T{hour:02}:{minute:02}:{second:02}Z"
    assert (parse_moment(text) is None) == (hour > 23 or minute > 59 or second > 59)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2027-01-31T01:30:00+01:30", "2027-01-31T00:00:00Z"),
        ("2027-01-30T23:00:00-01:00", "2027-01-31T00:00:00.000000000Z"),
    ],
)
def test_zones_are_counted(one: str, other: str) -> None:
    assert parse_moment(one) == parse_moment(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-01-31",
        "2027-01-31t00:00:00z",
        "2027-01-31T00:00Z",
        "2027-01-31T00:00:00",
        "2027-01-31T00:00:00+24:00",
        "2027-01-31T00:00:00,5Z",
        "2027-01-31T00:00:00Z\n",
        " 2027-01-31T00:00:00Z",
        "\uff12\uff1027-01-31T00:00:00Z",
        "20270131T000000Z",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    assert parse_moment(text) is None


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("2027-02-30T08:00:00Z", "does not exist: 2027-02 has 28 days", "2027-02-28T08:00:00Z"),
        ("2028-02-30T00:00:00Z", "does not exist: 2028-02 has 29 days", "2028-02-29T00:00:00Z"),
        ("2027-04-31", "does not exist: 2027-04 has 30 days", "2027-04-30T00:00:00Z"),
        ("2027-01-00T00:00:00Z", "does not exist: 2027-01 has 31 days", "2027-01-01T00:00:00Z"),
        ("2027-01-31", "has no time of day", "2027-01-31T00:00:00Z"),
        ("2027-01-31T08:00:00.5", "has no time zone", "2027-01-31T08:00:00.5Z"),
        ("2027-01-31T08:00", "has no time zone", "2027-01-31T08:00:00Z"),
        ("2027-01-31 08:00:00Z", "is not spelled as RFC 3339 does", "2027-01-31T08:00:00Z"),
        ("2027-01-31T08:00:00 UTC", "is not spelled as RFC 3339 does", "2027-01-31T08:00:00Z"),
        ("2027-1-5t8:00:00z", "is not spelled as RFC 3339 does", "2027-01-05T08:00:00Z"),
        (
            "2027-01-31T08:00:00+0100",
            "is not spelled as RFC 3339 does",
            "2027-01-31T08:00:00+01:00",
        ),
    ],
)
def test_the_nearest_moment_is_suggested(text: str, what: str, fix: str) -> None:
    diagnostic = _refuse(text)
    words = diagnostic.message.split("; ")
    assert words[:2] == [f"'{text}' {what}", f"write {fix}"]
    assert parse_moment(fix) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2027-13-01T00:00:00Z", "has a month that does not exist: 13; write the year, a month"),
        ("2027-01-31T24:00:00Z", "has a time of day that does not exist; write hours 00 to 23"),
        ("2027-01-31T23:59:60Z", "has a time of day that does not exist; write hours 00 to 23"),
        ("30d", "is a duration, and this is the time at which the policy ends; write its date and"),
        ("P30D", "is a duration"),
        ("31.01.2027", "is not a date and time with a time zone; write it as RFC 3339 does"),
        ("tomorrow", "is not a date and time with a time zone; write it as RFC 3339 does"),
    ],
)
def test_what_is_no_moment_is_explained(text: str, words: str) -> None:
    assert f"'{text}' {words}" in _refuse(text).message


def _refuse(text: str) -> Diagnostic:
    spec = {"expiresAt": text, "destinations": [{"hosts": ["api.example.com"]}]}
    (diagnostic,) = check_spec(spec)[1]
    assert (diagnostic.code, diagnostic.path) == ("EG062", "spec.expiresAt")
    return diagnostic
