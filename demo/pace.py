"""`python -m demo.pace < RECORDED > PACED`: a recording of the demo, at the pace of a reader.

A real run prints most of its lines at once. Both files are asciicasts of version 2: a header, then
one event in a line, `[seconds, "o", text]`. CONTRIBUTING.md tells how the recording is made.
"""

import json
import sys
from collections.abc import Iterable, Iterator

COMMAND = "$ make demo\r\n"
LINE_S = 0.12
HEADING_S = 1.6
"""Before a heading: so long the part before it stays as it is."""
HEADINGS = ("-- ", "== ")
STYLE = "\x1b["


def pace(events: Iterable[tuple[float, str, str]]) -> Iterator[tuple[float, str, str]]:
    """Give each line a time of its own; what was printed stays the same. Pure."""
    clock = 0.0
    yield clock, "o", COMMAND
    for text in "".join(text for _, kind, text in events if kind == "o").splitlines(keepends=True):
        clock += HEADING_S if _strip_style(text).startswith(HEADINGS) else LINE_S
        yield round(clock, 2), "o", text
    yield round(clock + 2 * HEADING_S, 2), "o", ""


def _strip_style(text: str) -> str:
    while text.startswith(STYLE):
        text = text.partition("m")[2]
    return text


def main() -> None:
    """Copy from standard input to standard output."""
    header, *lines = sys.stdin.read().splitlines()
    print(header)
    for event in pace(json.loads(line) for line in lines):
        print(json.dumps(event))


if __name__ == "__main__":
    main()
