"""Lines and columns."""

from demo.tally import Tally, build_summary
from demo.text import NO_BREAK, find_right_width, join_columns, wrap


def test_a_wrapped_line_hangs_behind_its_label() -> None:
    assert wrap("one two three", 14, "label ", "      ") == ["label one two", "      three"]


def test_a_long_word_stays_whole() -> None:
    assert wrap("see /a-very-long-path/file", 10) == ["see", "/a-very-long-path/file"]


def test_a_time_stays_with_its_unit() -> None:
    assert wrap(f"ready [45{NO_BREAK}ms]", 10) == ["ready", "[45 ms]"]


def test_columns_of_unequal_height() -> None:
    assert join_columns(["a", "bbb"], ["1", "2", "3"]) == ["a     1", "bbb   2", "      3"]
    assert join_columns(["a", "b"], ["1"]) == ["a   1", "b"]


def test_a_column_that_is_too_narrow_is_none() -> None:
    assert find_right_width(["x" * 50], 100) == 47
    assert find_right_width(["x" * 60], 100) == 0


def test_the_summary_counts_requests_only_where_there_were_some() -> None:
    tally = Tally(policies=2, hosts={"a", "b", "c"}, blocked=3, reached=4, refused=5, repairs=1)
    tally.deleted = 1
    lines = dict(build_summary(tally, has_traffic=True))
    assert lines == {
        "policies": "2 written (1 deleted again), for 3 outside hosts",
        "before": "all 3 requests were blocked",
        "after": "all 4 requests reached their server",
        "others": "all 5 requests to other hosts, or of other pods, stayed blocked",
        "repairs": "1 change by hand was undone, with one write",
    }
    assert set(dict(build_summary(tally, has_traffic=False))) == {"policies", "repairs"}
