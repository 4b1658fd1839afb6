"""The audit log is read while the API server writes it."""

import json
from pathlib import Path
from typing import cast

from testbed.audit import AuditLog
from testbed.client import Client, ConnectError


class Down:
    """A server that does not answer, so that nobody waits for its log."""

    def request(self, *_: object) -> None:
        raise ConnectError("down")


class Busy:
    """A server whose clock is at `time`, in seconds; it logs each request of ours at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.time = 0

    def request(self, _: str, path: str) -> None:
        with self._file.open("a") as file:
            file.write(build_line("", path, self.time) + "\n")


def build_line(name: str, path: str = "/", time: int = 0) -> str:
    event = {
        "stage": "ResponseComplete",
        "verb": "get",
        "requestURI": path,
        "requestReceivedTimestamp": f"2026-01-01T00:00:{time:02}.000000Z",
        "objectRef": {"name": name},
    }
    return json.dumps(event)


def test_a_mark_in_the_middle_of_a_line_is_at_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    first, second = f"{build_line('first')}\n", f"{build_line('second')}\n"
    file.write_text(first + second[:20])
    log = AuditLog(file, cast("Client", Down()))
    mark = log.position()
    file.write_text(first + second)
    assert [record.name for record in log.records(since=mark)] == ["second"]
    assert [record.name for record in log.records()] == ["first", "second"]


def test_a_line_that_is_late_is_before_a_mark_that_was_made_after_its_request(
    tmp_path: Path,
) -> None:
    file = tmp_path / "audit.log"
    file.touch()
    server = Busy(file)
    log = AuditLog(file, cast("Client", server))
    server.time = 5
    mark = log.position()
    with file.open("a") as lines:
        lines.write(build_line("late", time=4) + "\n" + build_line("next", time=6) + "\n")
    assert [record.name for record in log.records(since=mark)] == ["next"]
    assert [record.name for record in log.records()] == ["late", "next"]
