"""Text from files in messages: one line that leaves the terminal alone."""

import pytest

from egress_operator.cli.finding import MAX_MESSAGE, one_line, quote

STEERING = "\0\n\r\t\x1b\x1f\x7f\x85\x9f\u2028\u2029\u202a\u202e\u2066\u2069\ud800\udfff"


@pytest.mark.parametrize("character", STEERING)
def test_what_steers_a_terminal_is_spelled_out(character: str) -> None:
    assert one_line(f"a{character}b") == f"a{ascii(character)[1:-1]}b"


@pytest.mark.parametrize(
    "text", ["", "plain", "größer 漢字 😀", "no\u00a0break", "soft\u00adhyphen"]
)
def test_other_text_stays(text: str) -> None:
    assert one_line(text) == text


def test_long_text_is_cut() -> None:
    assert one_line("x" * 2 * MAX_MESSAGE) == "x" * (MAX_MESSAGE - 1) + "…"


def test_a_quoted_value_hides_nothing() -> None:
    assert quote("v1\u200b\u00a0größer") == '"v1\\u200b\\xa0größer"'
    assert quote("x" * 61) == '"' + "x" * 59 + '…"'
