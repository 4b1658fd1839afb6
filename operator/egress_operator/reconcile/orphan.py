"""Finds objects of ours whose policies and gateways are all gone: the garbage collector left them.

It does so for good when a policy is deleted and another one made under its name while the
collector's watch is interrupted, as by a restart of the API server. Its informer then reports one
policy that has changed, so it never looks at what the first one owned
(kubernetes/pkg/controller/garbagecollector/graph_builder.go). A host would stay allowed by nobody's
policy. An object that a policy on hold owns too is no leftover: it goes with its last owner.

An object without owners is a leftover as well: `kubectl delete --cascade=orphan` leaves it. A
policy that claims it adopts it at once; the time between two looks is there for such a policy to be
made anew.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from egress_operator.engine.failure import ApiError
from egress_operator.engine.transport import Transport
from egress_operator.istio.kind import UNOWNED
from egress_operator.istio.object import Observed, Owner
from egress_operator.istio.set_key import SetKey
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.listing import list_entries
from egress_operator.reconcile.record import OwnKind

logger = logging.getLogger(__name__)

_Place = tuple[OwnKind, str]
"""A kind of owners, and their namespace; empty when they have none."""


class OrphanCollector:
    """Knows which owners are gone, and which objects have none; looks when it is told to."""

    def __init__(self, transport: Transport, cluster: Cluster) -> None:
        self._transport = transport
        self._cluster = cluster
        self._suspects: set[tuple[SetKey, Observed]] = set()
        self._unlisted: set[_Place] = set()
        """Places that could not be listed at the last look."""

    async def look(self) -> set[SetKey]:
        """Return the sets with something to delete, and note its owners in `Cluster.gone`.

        What the last look found too is left over: between two looks the garbage collector has had
        its time, and a policy that claims an object without owners has adopted it. Owners count as
        gone only when a list shows it; where none can be had, they count as there. Without such
        owners nothing is read from the API server.
        """
        found: set[tuple[SetKey, Observed]] = set()
        objects = self._cluster.objects
        for namespace in objects.find_namespaces():
            # Everything else has a turn after each.
            await asyncio.sleep(0)
            found |= {pair for pair in objects.select_ours(namespace) if self._is_suspect(pair[1])}
        left, self._suspects = self._suspects & found, found
        owners = {
            (owner, self._cluster.find_owner(owner, item.key.namespace)[:2])
            for _, item in left
            for owner in item.owners
        }
        there = await self._list({place for _, place in owners})
        gone = frozenset(
            owner for owner, place in owners if place in there and owner.uid not in there[place]
        )
        for owner in sorted(gone - self._cluster.gone):
            logger.warning(
                "%s %s (uid %s) is gone and the garbage collector left its objects; they are "
                "deleted now",
                owner.kind,
                owner.name,
                owner.uid,
            )
        self._cluster.gone = gone
        self._cluster.orphans = frozenset(item.key for _, item in left if not item.owners)
        return {set_key for set_key, item in left if item.owners <= gone}

    def _is_suspect(self, item: Observed) -> bool:
        """Whether an object has no owner that is there; those of gateways never have one."""
        if item.key.kind in UNOWNED:
            return False
        return not any(self._is_known(item, owner) for owner in item.owners)

    def _is_known(self, item: Observed, owner: Owner) -> bool:
        """Whether an owner is there, or nobody can tell; also while its deletion is under way."""
        key = self._cluster.find_owner(owner, item.key.namespace)
        store = self._cluster.stores[key.kind]
        return not store.is_watched or store.find(key, owner.uid) is not None

    async def _list(self, places: Iterable[_Place]) -> Mapping[_Place, set[str]]:
        """Return the uids of the owners that are there, without the places that fail."""
        found: dict[_Place, set[str]] = {}
        unlisted: set[_Place] = set()
        for place in sorted(places):
            kind, namespace = place
            resource = self._cluster.stores[kind].resource
            try:
                listing = await list_entries(self._transport, resource, namespace, terminating=True)
            except ApiError as error:
                unlisted.add(place)
                where = f" in namespace {namespace}" if namespace else ""
                level = logging.DEBUG if place in self._unlisted else logging.WARNING
                logger.log(
                    level,
                    "%s%s cannot be listed, so objects that the garbage collector left are kept: "
                    "%s; tried again",
                    resource.plural,
                    where,
                    error,
                )
                continue
            found[place] = set(listing.entries.values())
        self._unlisted = unlisted
        return found
