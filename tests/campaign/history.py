"""Every change of policies and Istio objects, in the order in which etcd made them, without gaps.

The changes come from one watch of etcd itself. Watches of the API server are one stream for each
kind, and a restarted API server answers 410 to an older version: then changes would be missing.
"""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from testbed.client import Client, Object
from testbed.deadline import wait_until
from testbed.stoppable import Stoppable

POLICY = "EgressPolicy"
ENTRY = "ServiceEntry"
ROUTE = "VirtualService"
CHILDREN = (ENTRY, ROUTE)
TIMEOUT_S = 20.0
_FOLDERS = {
    "egress-operator.io/egresspolicies": POLICY,
    "networking.istio.io/serviceentries": ENTRY,
    "networking.istio.io/virtualservices": ROUTE,
}
"""Where etcd keeps the objects of custom kinds, as JSON."""


@dataclass(frozen=True, order=True)
class Key:
    """Identity of an object by name; a new object of the same name has the same."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Change:
    """An object was created, changed or deleted at a revision of etcd, its resourceVersion."""

    revision: int
    key: Key
    before: Object | None
    """None: it was created."""
    after: Object | None
    """None: it was deleted."""


def read_key(item: Object) -> Key:
    return Key(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])


class History(Stoppable):
    """Records from the first revision on. A context manager; `changes` may be read at any time."""

    def __init__(self, etcd_url: str) -> None:
        self._pool = urllib3.PoolManager(retries=False)
        self._response = self._pool.request(
            "POST",
            f"{etcd_url}/v3/watch",
            body=json.dumps(
                {
                    "create_request": {
                        "key": _encode("/registry/"),
                        "range_end": _encode("/registry0"),
                        "start_revision": 1,
                        "prev_kv": True,
                    }
                }
            ),
            timeout=urllib3.Timeout(connect=TIMEOUT_S, read=None),
            preload_content=False,
        )
        self._changes: list[Change] = []
        self._reached = 0
        self._stopping = False
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int:
        """How many changes were recorded so far."""
        return len(self._changes)

    def read(self, since: int = 0) -> tuple[Change, ...]:
        """Return the changes from a `length` on. Raises RuntimeError when some are missing."""
        if self._error:
            raise RuntimeError(f"the history has a gap: {self._error}")
        return tuple(self._changes[since:])

    def catch_up(self, client: Client) -> None:
        """Wait until everything that was written before this call is recorded."""
        marker = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"generateName": "marker-", "namespace": "default"},
        }
        path = client.path("v1", "ConfigMap", None, "default")
        revision = int(client.request("POST", path, body=marker)["metadata"]["resourceVersion"])
        wait_until(
            lambda: self._error or self._reached >= revision,
            TIMEOUT_S,
            f"the history has not come to revision {revision}",
        )
        self.read(self.length)

    def stop(self) -> None:
        self._stopping = True
        self._response.shutdown()
        self._thread.join(TIMEOUT_S)
        self._response.close()
        self._pool.clear()

    def _run(self) -> None:
        try:
            for line in self._read_lines():
                result = json.loads(line)["result"]
                if result.get("canceled"):
                    self._error = f"etcd ended the watch: {result}"
                    return
                for event in result.get("events", ()):
                    change = _parse_event(event)
                    if change is not None:
                        self._changes.append(change)
                    self._reached = int(event["kv"]["mod_revision"])
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
            self._error = repr(error)
            return
        if not self._stopping:
            self._error = "the watch of etcd ended"

    def _read_lines(self) -> Iterator[bytes]:
        buffer = b""
        for chunk in self._response.stream(amt=None):
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (line for line in lines if line)


def _parse_event(event: dict[str, Any]) -> Change | None:
    """Return the change, None when it is about an object of another kind."""
    path = base64.b64decode(event["kv"]["key"]).decode()
    group, resource, *rest = path.removeprefix("/registry/").split("/")
    kind = _FOLDERS.get(f"{group}/{resource}")
    if kind is None:
        return None
    namespace, name = rest
    deleted = event.get("type") == "DELETE"
    return Change(
        revision=int(event["kv"]["mod_revision"]),
        key=Key(kind, namespace, name),
        before=_parse_object(event.get("prev_kv")),
        after=None if deleted else _parse_object(event["kv"]),
    )


def _parse_object(value: dict[str, Any] | None) -> Object | None:
    if value is None:
        return None
    item: Object = json.loads(base64.b64decode(value["value"]))
    item["metadata"]["resourceVersion"] = value["mod_revision"]
    return item


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
