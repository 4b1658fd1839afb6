"""Makes sure that the policies of a namespace are still there.

When a policy is deleted the garbage collector deletes its objects, or takes it off their owners,
and that may be seen before the deletion of the policy: they come by different watches. Without a
look they would be made again, for a moment, for a policy that is gone; or get back an owner that is
gone, and be collected with it. So what somebody took away is given back only after one list of the
policies of its namespace, and only to owners that are still there then: the watch may have told of
a deletion in the meantime. However many objects wait, one list serves them all.
"""

import asyncio
from dataclasses import dataclass, field

from egress_operator.engine.transport import Transport
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.listing import list_entries
from egress_operator.reconcile.record import OwnKind

_Place = tuple[OwnKind, str]
"""A kind of owners, and their namespace; empty when they have none."""


@dataclass(slots=True)
class _Lists:
    """The lists of one place, while somebody waits for one."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0
    begun: int = 0
    ended: int = 0
    """The number of the last one that has ended well."""


class OwnerCheck:
    """Lists the owners of objects and drops from the cache what is gone."""

    def __init__(self, transport: Transport, cluster: Cluster) -> None:
        self._transport = transport
        self._cluster = cluster
        self._lists: dict[_Place, _Lists] = {}
        """Of the places that somebody waits for."""

    async def refresh(self, kind: OwnKind, namespace: str) -> None:
        """Drop the owners of objects of a namespace that are gone by now. Raises ApiError.

        A list that begins after the call serves it as well as an own one.
        """
        store = self._cluster.stores[kind]
        place = store.key(namespace, "")[:2]
        lists = self._lists.setdefault(place, _Lists())
        begun = lists.begun
        lists.callers += 1
        try:
            async with lists.lock:
                if lists.ended <= begun:
                    lists.begun += 1
                    number = lists.begun
                    # Before the request: the list may not show what comes meanwhile.
                    known = tuple(store.select(place[1]))
                    listing = await list_entries(self._transport, store.resource, place[1])
                    store.drop_unlisted(known, listing)
                    lists.ended = number
        finally:
            lists.callers -= 1
            if lists.callers == 0:
                del self._lists[place]
