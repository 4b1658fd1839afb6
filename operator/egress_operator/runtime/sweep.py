"""Finds what kopf's watch missed: it lists again after an outage, but never reports what is gone.

A sweep lists our kind and the namespaces once and drops what is not there any more. It never adds:
only kopf's events do, so a sweep also notices a watch that has stopped delivering.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import Transport
from egress_operator.reconcile.listing import Listing, list_entries
from egress_operator.reconcile.policy import RecordCache
from egress_operator.reconcile.reconciler import Reconciler
from egress_operator.reconcile.resource import GATEWAYS, POLICIES

logger = logging.getLogger(__name__)

NAMESPACES = Resource("", "v1", "namespaces")

INTERVAL_S = 300.0
PROBE_S = 15.0
"""How often the number of policies is compared; a list of one object tells it."""
DEBOUNCE_S = 0.5
"""After a sign that kopf listed again: its other events of that list come at the same time."""
RETRY_S = 2.0
POLL_S = 0.02
GRACE_S = 20.0
"""What a list shows and kopf has not delivered after this long was lost by its watch."""


class LostWatchError(Exception):
    """kopf delivers nothing of what is there."""


@dataclass(frozen=True, slots=True)
class _Lists:
    """What the API server shows now; None: not watched."""

    policies: Listing
    gateways: Listing | None = None
    namespaces: Listing | None = None


class Sweeper:
    """Compares kopf's view with lists: until both agree at the start, then now and again."""

    def __init__(
        self,
        transport: Transport,
        reconciler: Reconciler,
        *,
        scopes: Sequence[str],
        watch_namespaces: bool,
        clock: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._reconciler = reconciler
        self._scopes = scopes
        self._watch_namespaces = watch_namespaces
        self._clock = clock
        self._wake = asyncio.Event()
        self._namespaces: dict[str, tuple[str, int]] = {}
        self.synced = False
        self.waiting_for = "kopf's first list"
        """What the first comparison lacks, for /readyz."""
        self.lost_since: float | None = None
        """Since when a list has shown what kopf's watch did not deliver."""

    def note_listing(self) -> None:
        """Kopf, or a watch of ours, listed again: deletions may have been missed."""
        if self.synced:
            self._wake.set()

    def observe_namespace(
        self, name: str, uid: str, version: int, *, labels: Mapping[str, str], terminating: bool
    ) -> None:
        """Take over that a namespace is there."""
        known = self._namespaces.get(name)
        if known is None or version > known[1]:
            self._namespaces[name] = (uid, version)
            self._reconciler.observe_namespace(name, labels, terminating=terminating)

    def forget_namespace(self, name: str, uid: str) -> None:
        """Take over that a namespace is gone."""
        known = self._namespaces.get(name)
        if known is not None and known[0] == uid:
            del self._namespaces[name]
            self._reconciler.forget_namespace(name)

    async def sync(self) -> None:
        """Return when kopf has delivered all that a list shows.

        Raises LostWatchError when kopf does not get there: it does not notice a CRD that comes
        later where it may not watch CRDs.
        """
        said = ""
        lost_at = float("inf")
        while True:
            try:
                policies = await list_entries(self._transport, POLICIES, self._scopes)
                lists = await self._list_rest(policies)
            except ApiError as error:
                self.waiting_for = _explain(error)
                lost_at = float("inf")
                if said != self.waiting_for:
                    said = self.waiting_for
                    logger.warning("not ready: %s", said)
                await asyncio.sleep(RETRY_S)
                continue
            lost_at = min(lost_at, self._clock() + GRACE_S)
            deadline = self._clock() + RETRY_S
            while missing := self._count_missing(lists):
                self.waiting_for = f"{missing} objects of kopf's first list"
                if self._clock() > lost_at:
                    raise LostWatchError(f"the watch does not deliver: {missing} objects lack")
                if self._clock() > deadline:
                    break
                await asyncio.sleep(POLL_S)
            else:
                self.synced = True
                self.waiting_for = ""
                self._drop(lists)
                return

    async def run(self) -> None:
        """Sweep for ever, after `sync`.

        Raises LostWatchError when kopf's watch has stopped delivering. It does so, for one, when
        discovery lags behind the event that tells of a new CRD.
        """
        swept_at = self._clock()
        while True:
            woken = await self._wait(PROBE_S if self.lost_since is None else GRACE_S / 4)
            try:
                due = woken or self.lost_since is not None or self._clock() - swept_at > INTERVAL_S
                if due or await self._has_other_count():
                    swept_at = self._clock()
                    await self.sweep()
            except ApiError as error:
                logger.debug("sweep failed: %s", error)
                await asyncio.sleep(RETRY_S)
                self._wake.set()
            if self.lost_since is not None and self._clock() - self.lost_since > GRACE_S:
                raise LostWatchError("the watch of policies has stopped delivering")

    async def _wait(self, seconds: float) -> bool:
        """Wait for a sign that a list was repeated; False when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(DEBOUNCE_S)
        self._wake.clear()
        return True

    async def _has_other_count(self) -> bool:
        """Whether the API server has another number of policies than the cache. Raises ApiError."""
        count = 0
        for scope in self._scopes:
            try:
                page = await self._transport.list_page(POLICIES, namespace=scope, limit=1)
            except ApiError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    continue
                raise
            metadata = page["metadata"]
            if metadata.get("continue") and "remainingItemCount" not in metadata:
                return False
            count += len(page["items"]) + int(metadata.get("remainingItemCount") or 0)
        return count != sum(1 for _ in self._reconciler.cluster.policies)

    async def sweep(self) -> None:
        """List once, drop what is gone, and note what kopf has not delivered. Raises ApiError."""
        try:
            policies = await list_entries(self._transport, POLICIES, self._scopes)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            # Our CRD was removed, and every policy with it.
            policies = Listing(2**63, {})
        lists = await self._list_rest(policies)
        self._drop(lists)
        if not self._count_missing(lists):
            self.lost_since = None
        elif self.lost_since is None:
            self.lost_since = self._clock()

    async def _list_rest(self, policies: Listing) -> _Lists:
        """List what belongs to no namespace, where that is watched. Raises ApiError."""
        if not self._watch_namespaces:
            return _Lists(policies)
        everywhere = ("",)
        namespaces = await list_entries(self._transport, NAMESPACES, everywhere, terminating=True)
        try:
            gateways = await list_entries(self._transport, GATEWAYS, everywhere)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            gateways = Listing(2**63, {})
        return _Lists(policies, gateways, namespaces)

    def _drop(self, lists: _Lists) -> None:
        cluster = self._reconciler.cluster
        dropped = cluster.policies.drop_unlisted(lists.policies)
        if lists.gateways is not None:
            dropped += cluster.gateways.drop_unlisted(lists.gateways)
        if lists.namespaces is not None:
            dropped += self._drop_namespaces(lists.namespaces)
        if dropped:
            logger.info("dropped %d objects whose deletion the watch had missed", dropped)

    def _drop_namespaces(self, listing: Listing) -> int:
        gone = [
            (name, uid)
            for name, (uid, version) in self._namespaces.items()
            if version <= listing.version and listing.entries.get(("", name), ("", 0))[0] != uid
        ]
        for name, uid in gone:
            self.forget_namespace(name, uid)
        return len(gone)

    def _count_missing(self, lists: _Lists) -> int:
        cluster = self._reconciler.cluster
        missing = _count_undelivered(lists.policies, cluster.policies)
        if lists.gateways is not None:
            missing += _count_undelivered(lists.gateways, cluster.gateways)
        if lists.namespaces is not None:
            missing += sum(name not in self._namespaces for _, name in lists.namespaces.entries)
        return missing


def _count_undelivered(listing: Listing, cache: RecordCache[Any]) -> int:
    missing = 0
    for key, (uid, version) in listing.entries.items():
        record = cache.get(key)
        if record is None or (record.source.uid != uid and record.version < version):
            missing += 1
    return missing


def _explain(error: ApiError) -> str:
    if error.status == HTTPStatus.NOT_FOUND:
        return (
            "the cluster has no EgressPolicy kind: install the CRDs (egressctl crds | "
            "kubectl apply --server-side -f -)"
        )
    return str(error)
