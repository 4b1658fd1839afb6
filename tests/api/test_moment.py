"""Moments: what the pattern takes is a moment to Python too, and the other way round."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator.api.moment import parse_moment

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
