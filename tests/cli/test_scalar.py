"""Bare values: all readers agree, or quotes are asked for."""

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from egress_operator.cli.scalar import AmbiguousScalarError, parse_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("443", 443),
        ("-1", -1),
        ("+5", 5),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("3s", "3s"),
        ("1m30s", "1m30s"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("203.0.113.10", "203.0.113.10"),
        ("2001:db8::1", "2001:db8::1"),
        ("2027-01-31", "2027-01-31"),
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("api.example.com", "api.example.com"),
        ("5xx", "5xx"),
        ("none", "none"),
        ("northern.example.com", "northern.example.com"),
        ("v1", "v1"),
    ],
)
def test_agreed_value(text: str, value: object) -> None:
    found = parse_plain(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "on",
        "ON",
        "off",
        "yes",
        "No",
        "y",
        "N",
        "010",
        "0812",
        "0x1F",
        "0b11",
        "0o17",
        "12:30",
        "12:30:45",
        "1:20:30.5",
        "1e3",
        "1.5E-3",
        ".5e3",
        "12345e67",
        "1_000",
        "99999999999999999999",
        "5.",
        ".inf",
        "-.Inf",
        ".NaN",
    ],
)
def test_ambiguous_value_asks_for_quotes(text: str) -> None:
    with pytest.raises(AmbiguousScalarError) as caught:
        parse_plain(text)
    assert f'write "{text}"' in str(caught.value)


@given(st.from_regex(r"[-+.0-9a-zA-Z_:~]{0,12}", fullmatch=True))
def test_what_is_accepted_means_the_same_to_pyyaml(text: str) -> None:
    try:
        mine = parse_plain(text)
    except AmbiguousScalarError:
        return
    try:
        theirs: Any = yaml.safe_load(f"[{text}]")
    except (yaml.YAMLError, ValueError):
        return  # not a bare scalar at all, or a date that does not exist
    if not isinstance(theirs, list) or len(theirs) != 1 or isinstance(theirs[0], dict):
        return
    if type(theirs[0]).__name__ in {"date", "datetime"}:
        assert mine == text
        return
    assert not isinstance(mine, float) or math.isfinite(mine)
    assert [mine] == theirs or (text == "" and mine is None)
