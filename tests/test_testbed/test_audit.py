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


def build_line(name: str) -> str:
    event = {
        "stage": "ResponseComplete",
        "verb": "get",
        "requestURI": "/",
        "requestReceivedTimestamp": "",
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
