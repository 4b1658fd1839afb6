"""Kubernetes events about our objects, within a budget: they are told, never waited for."""

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport
from egress_operator.istio.object import MANAGED_BY, POLICY_API_VERSION
from egress_operator.reconcile.record import OwnKey
from egress_operator.status.event import Event

logger = logging.getLogger(__name__)

EVENTS = Resource("events.k8s.io", "v1", "events")
BURST = 50
PERIOD_S = 0.2
"""One event in this time once the burst is used up."""
WAITING_LIMIT = 200
"""Events that wait; the oldest is dropped for a new one. Statuses hold the same in full."""
CLUSTER_NAMESPACE = "default"
"""Where the API server wants events about an object without a namespace."""
NOTE_LIMIT = 1024
"""Bytes of a note that the API server takes."""


class EventRecorder:
    """Posts events one after the other. Implements `reconcile.dependencies.EventRecorder`."""

    def __init__(self, transport: Transport, *, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        self._waiting: deque[tuple[OwnKey, str, Event, datetime]] = deque(maxlen=WAITING_LIMIT)
        self._wake = asyncio.Event()
        self._instance = socket.gethostname()[:128] or MANAGED_BY

    def announce(self, key: OwnKey, uid: str, event: Event) -> None:
        """Put an event in line; at the limit the oldest gives way."""
        self._waiting.append((key, uid, event, datetime.now(UTC)))
        self._wake.set()

    async def run(self) -> NoReturn:
        """Post until cancelled."""
        budget, at = float(BURST), self._clock()
        while True:
            await self._wake.wait()
            while self._waiting:
                now = self._clock()
                budget, at = min(float(BURST), budget + (now - at) / PERIOD_S), now
                if budget < 1:
                    await asyncio.sleep(PERIOD_S)
                    continue
                budget -= 1
                await self._post(*self._waiting.popleft())
            self._wake.clear()

    async def _post(self, key: OwnKey, uid: str, event: Event, at: datetime) -> None:
        body = build_event(key, uid, event, at, self._instance)
        try:
            await self._transport.create(EVENTS, body["metadata"]["namespace"], body)
        except ApiError as error:
            # An event tells what the status says too: it is not worth a second try.
            logger.debug("event about %s %s/%s: %s", *key, error)


def build_event(key: OwnKey, uid: str, event: Event, at: datetime, instance: str) -> dict[str, Any]:
    """Make an events.k8s.io/v1 Event about an object of ours."""
    kind, reason, message = event
    place = {"namespace": key.namespace} if key.namespace else {}
    return {
        "apiVersion": f"{EVENTS.group}/{EVENTS.version}",
        "kind": "Event",
        "metadata": {
            "name": f"{key.name[:230]}.{secrets.token_hex(8)}",
            "namespace": key.namespace or CLUSTER_NAMESPACE,
        },
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": MANAGED_BY,
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": kind,
        "reason": reason,
        "note": message.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "regarding": {
            "apiVersion": POLICY_API_VERSION,
            "kind": str(key.kind),
            **place,
            "name": key.name,
            "uid": uid,
        },
    }
