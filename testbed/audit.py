"""The API server's audit log: who did what, and with what outcome."""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.client import Client
from testbed.deadline import wait_until

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""
"""Every request, without bodies."""

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Record:
    """One request. Empty strings where it has no object: `/readyz`, or a list's name."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    """URL path with its query."""
    code: int
    agent: str
    time: str
    """When the server received it, RFC 3339 with microseconds: sorts as text."""

    @property
    def permission(self) -> tuple[str, str, str]:
        """Verb, API group and resource (`pods/log` with a subresource), as a role names them."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return self.verb, self.group, resource

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES


@dataclass(frozen=True)
class Mark:
    """A moment in the log."""

    offset: int
    """Bytes of the log before it."""
    time: str
    """When it was, as `Record.time`."""


BEGINNING = Mark(0, "")
SETTLE_TIMEOUT_S = 10.0
LINE_MAX = 1024 * 1024
"""Bytes of a line; they hold no bodies."""
MARKER = "/version?marker="
"""Our own requests, which show that the log is complete up to them."""


class AuditLog:
    """Reads the log file of an API server; `client` is some user of that server."""

    def __init__(self, file: Path, client: Client) -> None:
        self._file = file
        self._client = client

    def position(self) -> Mark:
        """Return a mark for `records(since=…)`: what the server gets from now on is after it."""
        time = self._settle()
        return Mark(self._find_end(), time)

    def records(
        self, *, since: Mark = BEGINNING, user: str | None = None, writes: bool = False
    ) -> list[Record]:
        """Finished requests, and watches from when they begin, in the order of the log.

        Only those that the server got after the mark `since`, by `user`, and only writes when
        asked. The place in the log is not enough: a busy server may write the line of a request
        long after its answer, and then it is after a mark that was made later.
        """
        self._settle()
        return [
            record
            for record in self._read(since.offset)
            if record.time >= since.time
            and not record.path.startswith(MARKER)
            and (user is None or record.user == user)
            and (record.is_write or not writes)
        ]

    def _settle(self) -> str:
        """Wait for the log, as the server writes a line after the answer; when the last one was.

        The time is empty when nothing was asked: there is no log yet, or the server is down.
        """
        if not self._file.exists():
            return ""
        start = self._find_end()
        marker = f"{MARKER}{uuid.uuid4().hex}"
        try:
            self._client.request("GET", marker)
        except OSError:  # the server is down and writes no more
            return ""
        return wait_until(
            lambda: next((line.time for line in self._read(start) if line.path == marker), None),
            SETTLE_TIMEOUT_S,
            f"the audit log does not show {marker}",
        )

    def _find_end(self) -> int:
        """Find where the last whole line ends: the server may be in the middle of another."""
        if not self._file.exists():
            return 0
        with self._file.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - LINE_MAX)
            file.seek(start)
            return start + file.read().rfind(b"\n") + 1

    def _read(self, since: int) -> Iterator[Record]:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(since)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                # A watch has a record when it begins and one when it ends: the first counts.
                begins = event["stage"] == "ResponseStarted"
                if begins == (event["verb"] == "watch") or event["stage"] == "Panic":
                    yield _parse_record(event)


def _parse_record(event: dict[str, object]) -> Record:
    reference = event.get("objectRef") or {}
    user = event.get("user") or {}
    status = event.get("responseStatus") or {}
    assert isinstance(reference, dict)
    assert isinstance(user, dict)
    assert isinstance(status, dict)
    return Record(
        user=user.get("username", ""),
        verb=str(event["verb"]),
        group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        path=str(event["requestURI"]),
        code=status.get("code", 0),
        agent=str(event.get("userAgent", "")),
        time=str(event["requestReceivedTimestamp"]),
    )
