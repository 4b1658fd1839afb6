"""Colours: red is for what goes wrong, and no scene prints that."""

import pytest

from demo.show import GREEN, PLAIN, RED, YELLOW, Show

EXPECTED = (
    ("shop/checkout GET http://stock.example.com/ blocked (502)", "blocked", YELLOW),
    ("shop/batch GET http://refunds.example.com/ denied (403)", "denied", YELLOW),
    ("Ready=False (Conflicted), the older policy", "Ready=False", YELLOW),
    ("shop/checkout GET http://stock.example.com/ 200 direct", "direct", GREEN),
    ("everything came out as expected", "everything came out as expected", GREEN),
)


@pytest.mark.parametrize(("text", "word", "colour"), EXPECTED)
def test_what_is_expected_is_never_red(
    text: str, word: str, colour: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Show(width=100, coloured=True).line("label", text)
    shown = capsys.readouterr().out
    assert f"{colour}{word}{PLAIN}" in shown
    assert RED not in shown
