"""The words of a progress, and how it is shown on a terminal and elsewhere."""

import os
import pty
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from io import StringIO
from termios import TIOCSWINSZ
from typing import TextIO

import pytest

from testbed.build import Schedule, compute_progress
from testbed.program import ROOT, SETS, ProgramSet
from testbed.progress import (
    Progress,
    ProgressLine,
    estimate_remaining,
    format_minutes,
    format_time,
)

SET = ProgramSet("kube", "1.36.4", packages=2000, build_s=400.0)
HALF = Progress("kube", 1000, 2000, 200.0, 240.0)
SHOWN = "\rkube 1000 of about \x1b[K\r\x1b[Ketcd built\r\n\ristio 1 of about 2 \x1b[K\r\x1b[K"


@contextmanager
def open_terminal(columns: int) -> Iterator[tuple[TextIO, int]]:
    """Open a terminal of so many columns; yield its stream and where its output is read."""
    outer, inner = pty.openpty()
    ioctl(inner, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(inner, "w") as stream:
        yield stream, outer
    os.close(outer)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (HALF, "kube 1000 of about 2000 packages, about 4 min left"),
        (
            Progress("kube", 2003, 2000, 400.0, 59.0),
            "kube 2003 of about 2003 packages, less than a minute left",
        ),
        (
            Progress("kube", 0, 2000, 3.0, 780.0),
            "kube: downloading modules, about 13 min left",
        ),
        (Progress("kube", 5, 2000, 95.0, None), "kube 5 of about 2000 packages, 1 min 35 s so far"),
        (Progress("Go", 0, 0, 3.0, None), "Go: downloading, 3 s so far"),
    ],
)
def test_a_progress_reads_well(progress: Progress, words: str) -> None:
    assert str(progress) == words


def test_times_read_well() -> None:
    assert [format_time(s) for s in (0.2, 59.4, 150, 3600)] == [
        "0 s",
        "59 s",
        "2 min 30 s",
        "60 min 00 s",
    ]
    assert [format_minutes(s) for s in (0, 59.9, 60, 100, 840)] == [
        "less than a minute",
        "less than a minute",
        "about 1 min",
        "about 2 min",
        "about 14 min",
    ]


def test_docs_and_screen_tell_the_same_time_of_a_first_build() -> None:
    minutes = format_minutes(sum(owner.build_s for owner in SETS)).removesuffix("min") + "minutes"
    for name in ("README.md", "CONTRIBUTING.md", "testbed/program.py"):
        assert minutes in (ROOT / name).read_text(), name
    assert f"({minutes.removeprefix('about ')} the first time)" in (ROOT / "Makefile").read_text()


def test_the_estimate_goes_from_what_is_expected_to_what_is_measured() -> None:
    assert estimate_remaining(0, 0, 100) == 100
    assert estimate_remaining(60, 60, 100) == 100
    assert estimate_remaining(120, 60, 100) == 150
    assert estimate_remaining(8000, 4000, 100) == pytest.approx(200, rel=0.02)


def test_the_remaining_time_is_for_this_set_and_those_after_it() -> None:
    schedule = Schedule(started_at=1000.0, done_s=60.0, later_s=300.0)
    progress = compute_progress(SET, 1000, 0, schedule, now=1260.0)
    assert progress == Progress("kube", 1000, 2000, 260.0, 500.0)
    assert compute_progress(SET, 2100, 0, schedule, now=1460.0).remaining_s == 300.0


def test_what_was_compiled_before_is_neither_left_nor_tells_the_pace() -> None:
    progress = compute_progress(SET, 1000, 1000, Schedule(0.0), now=0.0)
    assert progress.remaining_s == 200.0


def test_a_set_without_packages_has_a_remaining_time() -> None:
    data = ProgramSet("data", "1", build_s=5.0)
    assert compute_progress(data, 0, 0, Schedule(0.0), now=0.0) == Progress("data", 0, 0, 0.0, 5.0)


def test_a_terminal_has_one_line_that_is_rewritten_and_cut() -> None:
    with open_terminal(columns=20) as (stream, outer):
        line = ProgressLine(stream)
        line.update(HALF)
        line.update(HALF)
        line.line("etcd built")
        line.close()
        line.update(Progress("istio", 1, 2, 0.0, 1.0))
        line.close()
        text = ""
        while len(text) < len(SHOWN):  # The terminal may hand it out in pieces.
            text += os.read(outer, 1000).decode()
    assert text == SHOWN


def test_elsewhere_there_is_a_line_every_half_minute() -> None:
    stream, now = StringIO(), [0.0]
    line = ProgressLine(stream, clock=lambda: now[0])
    for now[0] in range(0, 100, 10):
        if now[0] == 40:
            line.line("etcd built")
        line.update(Progress("kube", int(now[0]), 2000, now[0], 240.0))
    line.close()
    assert [text.split(",")[0] for text in stream.getvalue().splitlines()] == [
        "kube 30 of about 2000 packages",
        "etcd built",
        "kube 70 of about 2000 packages",
    ]
