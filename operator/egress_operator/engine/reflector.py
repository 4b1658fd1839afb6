"""One resource of the API server, mirrored into a sink for as long as the process lives."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator
from typing import NoReturn

from egress_operator.engine.failure import ApiError
from egress_operator.engine.hearsay import Hearsay
from egress_operator.engine.peers import Peers
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import (
    Restart,
    RestartHook,
    RestartReason,
    build_restart,
    parse_error_event,
)
from egress_operator.engine.sink import Sink
from egress_operator.engine.timing import TICK, ReflectorState, ReflectorTiming
from egress_operator.engine.transport import JsonObject, Transport
from egress_operator.engine.version import parse_version

_LOG = logging.getLogger(__name__)

_STUBBORN = 3
"""After so many garbled answers in a row for one version, the version itself is given up."""
_STEADY = 5.0
"""Seconds after which a watch without any event counts as working."""
_SHORT = 1.0
"""A watch that ends in order, but sooner and without an event, must not become a busy loop."""


class Reflector:
    """Lists, then watches, for ever: `run` ends only by cancellation.

    Every list makes the sink hold what it shows and nothing else, whatever was known before: what
    a watch has lost, and what a restored etcd has taken back, is seen at the next list at the
    latest. While a call fails the sink keeps what it has. Waits between tries end early when
    one of the `peers` succeeds again, and by `poke`. All list when one of them notices that etcd
    was restored. Once a list is due nothing is watched until one has succeeded.
    """

    def __init__(
        self,
        transport: Transport,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str = "",
        peers: Peers | None = None,
        timing: ReflectorTiming | None = None,
        rng: random.Random | None = None,
        on_restart: RestartHook | None = None,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.state = ReflectorState.STARTING
        self.synced = asyncio.Event()
        """Set for good once the sink holds a whole list, or the resource is known to be missing."""
        self.last_event = asyncio.get_running_loop().time()
        """Loop time of the last sign of life of the API server: an answer of whatever kind, an
        event, a bookmark. The start, before the first one."""
        self.last_error = ""
        """One line; empty while all is well."""
        self._transport = transport
        self._sink = sink
        self._peers = peers or Peers()
        self._timing = timing or ReflectorTiming()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards no secret
        self._on_restart = on_restart
        self._wake = asyncio.Event()
        self._version = ""
        """Watch from here; empty: list first."""
        self._highest = 0
        """The newest version seen, to notice that it goes back."""
        self._hearsay = Hearsay()
        self._listed_at = 0.0
        self._limit: asyncio.Timeout | None = None
        """How long the watch may wait for the next event."""
        self._probe = False
        self._due = math.inf
        """Loop time from which a list is due, whatever the watch brings."""
        self._is_told = False
        """Whether it is due because a peer has told that etcd was restored."""
        self._failures = 0
        self._refusals = 0
        """How often the API server has answered 403, one after the other."""

    async def run(self) -> NoReturn:
        """Mirror until cancelled."""
        with self._peers.join(self._on_rollback):
            while True:
                try:
                    await self._step()
                except Exception:  # noqa: BLE001 - see below
                    # A bug of ours, or of a sink or hook, must not end the mirror of a resource.
                    _LOG.exception("%s: starting again", self.resource.label)
                    self._version = ""
                    self.state = ReflectorState.RETRYING
                    await asyncio.sleep(self._timing.retry_max)

    def poke(self, resource_version: str = "") -> None:
        """End the present pause, whatever it is for (say its CRD has appeared).

        With the version of an event that somebody else has seen: expect it, and list when the watch
        does not bring it in time.
        """
        self._wake.set()
        version = parse_version(resource_version) or 0
        if version > self._highest:
            now = asyncio.get_running_loop().time()
            self._hearsay.note(version, now)
            if self._limit is not None and not self._limit.expired():
                self._limit.reschedule(self._compute_limit(now))

    def doubt(self) -> None:
        """List when the watch has had its time: an answer says what no event has told yet.

        A 404 may be a proxy's; then what it denies is still there, and no event will ever say so.
        """
        self._set_due(asyncio.get_running_loop().time() + self._timing.lost)

    def _on_rollback(self) -> None:
        """List at once, and end the watch that is open."""
        self._is_told = True
        self._wake.set()
        self._set_due(asyncio.get_running_loop().time())

    def _set_due(self, due: float) -> None:
        self._due = min(self._due, due)
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._compute_limit(asyncio.get_running_loop().time()))

    async def _step(self) -> None:
        try:
            await self._mirror()
        except Restart as restart:
            await self._recover(restart)
        except ApiError as error:
            await self._recover(await self._judge(error))

    async def _mirror(self) -> None:
        """Do the one thing that is next; return when it ended in order."""
        now = asyncio.get_running_loop().time()
        if not self._version or self._is_due() or now >= self._listed_at + self._timing.relist:
            await self._list()
        elif self._probe:
            await self._compare()
        else:
            await self._watch()

    async def _list(self) -> None:
        if self.state is ReflectorState.STARTING:
            self.state = ReflectorState.LISTING
        due, self._due = self._due, math.inf
        was_told, self._is_told = self._is_told, False
        try:
            version = await self._read_list()
        except BaseException:
            # The list is still due.
            self._due, self._is_told = min(self._due, due), self._is_told or was_told
            raise
        number = parse_version(version)
        if number is not None and number < self._highest:
            self._tell(RestartReason.ROLLBACK)
            if not (was_told or self._is_told):
                self._peers.report_rollback(by=self._on_rollback)
        self._highest = number or 0
        self._hearsay.clear()
        self._listed_at = asyncio.get_running_loop().time()
        self._sink.finish(version)
        self._version, self._probe = version, False
        self.synced.set()
        self._enter(ReflectorState.WATCHING)

    async def _read_list(self) -> str:
        """Give the sink what a list shows; return the version of the list."""
        self._sink.begin()
        token = ""
        while True:
            page = await self._transport.list_page(
                self.resource, namespace=self.namespace, limit=self._timing.page, token=token
            )
            self._touch()
            for obj in page["items"]:
                self._sink.upsert(obj)
            token = page["metadata"].get("continue") or ""
            if not token:
                return str(page["metadata"]["resourceVersion"])

    async def _compare(self) -> None:
        """Find out whether the API server still knows our version.

        A watch from a version of the future is accepted and stays silent (seen on 1.36), so after
        an outage, in which a backup may have been restored, the present version is asked for.
        """
        page = await self._transport.list_page(self.resource, namespace=self.namespace, limit=1)
        self._touch()
        self._check_order(page["metadata"]["resourceVersion"])
        self._probe = False

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        seconds = int(self._timing.watch * self._rng.uniform(1.0, 1.2))
        start = self._version
        opened = loop.time()
        try:
            async with self._transport.watch(
                self.resource,
                namespace=self.namespace,
                resource_version=start,
                timeout_seconds=seconds,
            ) as events:
                self._touch()
                self._enter(ReflectorState.WATCHING)
                opened = loop.time()
                while (event := await self._next_event(events)) is not None:
                    self._take(event)
                    if self._is_due():
                        return
        finally:
            # Progress, or a while without trouble, is what makes the next failure a first one.
            if self._version != start or loop.time() - opened >= _STEADY:
                self._failures = 0
        if self._version == start and loop.time() - opened < _SHORT and not self._is_due():
            raise Restart(RestartReason.CLOSED, "the watch ended at once")

    async def _next_event(self, events: AsyncIterator[JsonObject]) -> JsonObject | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(self._compute_limit(loop.time())) as self._limit:
                return await anext(events, None)
        except TimeoutError as error:
            if self._is_due():
                return None
            awaited = self._hearsay.find_oldest(self._highest)
            if awaited is not None and loop.time() - awaited[1] >= self._timing.lost - TICK:
                text = f"version {awaited[0]} has not come after {self._timing.lost:g} s"
                raise Restart(RestartReason.LOST, text) from error
            text = f"no event for {self._timing.inactivity:g} s, so the watch is opened again"
            raise Restart(RestartReason.INACTIVE, text) from error
        finally:
            self._limit = None

    def _compute_limit(self, now: float) -> float:
        """Return the loop time until which the next event must have come."""
        limit = min(now + self._timing.inactivity, self._due)
        awaited = self._hearsay.find_oldest(self._highest)
        return limit if awaited is None else min(limit, awaited[1] + self._timing.lost)

    def _take(self, event: JsonObject) -> None:
        kind, obj = event["type"], event["object"]
        self._touch()
        if kind == "ERROR":
            raise parse_error_event(obj)
        metadata = obj.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not version:
            raise Restart(RestartReason.UNDECODABLE, f"{kind[:16]} event without a version")
        self._check_order(version)
        if kind in {"ADDED", "MODIFIED"}:
            self._sink.upsert(obj)
        elif kind == "DELETED":
            self._sink.delete(obj)
        elif kind == "BOOKMARK":
            self._sink.advance(version)
        else:
            raise Restart(RestartReason.UNDECODABLE, f"unknown event type {kind[:16]}")
        self._version = version

    def _is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._due - TICK

    def _check_order(self, version: str) -> None:
        number = parse_version(version)
        if number is None:
            return
        if number < self._highest:
            text = f"resource version went back from {self._highest} to {number}"
            raise Restart(RestartReason.ROLLBACK, text)
        self._highest = number

    async def _judge(self, error: ApiError) -> Restart:
        """Say what a failed request means; a 404 only after discovery agrees."""
        restart = build_restart(error)
        if error.status:
            self._touch()
        if restart.reason is not RestartReason.MISSING:
            return restart
        try:
            if await self._transport.serves(self.resource):
                return Restart(RestartReason.OTHER, str(error), error.retry_after)
        except ApiError as doubt:
            return build_restart(doubt)
        return restart

    async def _recover(self, restart: Restart) -> None:
        """Count, remember what the failure means, and wait as long as it asks for."""
        self._tell(restart.reason)
        self.last_error = str(restart)
        self._failures += 1
        self._probe = self._probe or restart.needs_probe
        if restart.needs_list or (restart.is_garbled and self._failures >= _STUBBORN):
            self._version = ""
        if restart.reason is RestartReason.ROLLBACK:
            self._highest = 0
            if not self._is_told:
                self._peers.report_rollback(by=self._on_rollback)
        if restart.reason is RestartReason.MISSING:
            self._empty()
            self._enter(ReflectorState.MISSING)
            self._failures = 0
            await self._pause(self._timing.missing)
        elif restart.reason is RestartReason.FORBIDDEN:
            # An API server that starts refuses until it has read its roles: soon again at first,
            # however often it did not answer before.
            refused_before = self.state is ReflectorState.FORBIDDEN
            self._refusals = self._refusals + 1 if refused_before else 1
            self._enter(ReflectorState.FORBIDDEN)
            await self._pause(self._compute_delay(self._timing.forbidden, self._refusals))
        else:
            # The API server sends nothing for a kind of which it has seen no event since its start.
            is_quiet = restart.reason is RestartReason.INACTIVE
            self._enter(ReflectorState.RETRYING, logging.INFO if is_quiet else logging.WARNING)
            await self._back_off(restart)

    async def _back_off(self, restart: Restart) -> None:
        if restart.needs_list and self._failures == 1:
            return
        delay = self._compute_delay(self._timing.retry_max, self._failures)
        if restart.retry_after is not None:
            # The server's wish: neither a peer nor a poke shortens it.
            wish = min(restart.retry_after, self._timing.retry_after_max)
            await asyncio.sleep(max(wish, delay))
            return
        with self._peers.listen(self._wake):
            await self._pause(delay)

    def _compute_delay(self, limit: float, failures: int) -> float:
        delay = min(self._timing.retry_min * 2.0 ** min(failures - 1, 16), limit)
        return delay * self._rng.uniform(0.5, 1.0)

    async def _pause(self, seconds: float) -> None:
        # Not cleared before: a poke that came during the last call may have been too late for it.
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _empty(self) -> None:
        """Without its CRD no object exists any more."""
        if self.state is not ReflectorState.MISSING:
            self._sink.begin()
            self._sink.finish("")
            self._highest = 0
        self.synced.set()

    def _enter(self, state: ReflectorState, level: int = logging.WARNING) -> None:
        if state is self.state:
            return
        before, self.state = self.state, state
        if state is ReflectorState.WATCHING:
            self.last_error = ""
            _LOG.info("%s: watching", self.resource.label)
            if before is ReflectorState.RETRYING:
                self._peers.report_success()
        else:
            _LOG.log(level, "%s: %s (%s)", self.resource.label, state, self.last_error)

    def _tell(self, reason: RestartReason) -> None:
        if self._on_restart is not None:
            self._on_restart(self.resource, reason)

    def _touch(self) -> None:
        self.last_event = asyncio.get_running_loop().time()
