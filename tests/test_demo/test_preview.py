"""The part of the demo without a cluster, word by word.

To take over a change that is meant: delete the text file and run the test, which then writes it.
"""

from pathlib import Path

import pytest

from demo.preview import play_preview
from demo.show import Show

DIRECTORY = Path(__file__).parent


@pytest.mark.parametrize(
    ("file", "width", "beside"),
    [("preview-log.txt", 100, False), ("preview-terminal.txt", 100, True)],
)
def test_the_text_is_as_recorded(
    file: str, width: int, *, beside: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    play_preview(Show(width=width, coloured=False, beside=beside), everything=False)
    shown = capsys.readouterr().out
    recorded = DIRECTORY / file
    if not recorded.exists():
        recorded.write_text(shown)
        pytest.fail(f"{file} is written: read it, then run the test again")
    assert shown == recorded.read_text()


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_wider_than_it_may_be(
    width: int, *, beside: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    play_preview(Show(width=width, coloured=False, beside=beside), everything=True)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= width


def test_names_that_the_operator_makes_up_are_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play_preview(Show(width=100, coloured=False, beside=False), everything=True)
    assert ".internal" not in capsys.readouterr().out
