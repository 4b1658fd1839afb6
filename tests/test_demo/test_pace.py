"""The recording shows what was printed, slowly enough to be read."""

from demo.pace import COMMAND, HEADING_S, LINE_S, pace


def test_lines_come_one_by_one_and_wait_before_a_heading() -> None:
    recorded = [(0.1, "o", "one\r\ntwo\r\n\x1b[1m-- he"), (0.2, "o", "ading\r\n"), (0.3, "i", "x")]
    paced = list(pace(recorded))
    assert "".join(text for _, _, text in paced) == COMMAND + "one\r\ntwo\r\n\x1b[1m-- heading\r\n"
    times = [time for time, _, _ in paced]
    assert times[1:4] == [LINE_S, 2 * LINE_S, 2 * LINE_S + HEADING_S]
