"""Makes sure that the policies of a namespace are still there.

When a policy is deleted the garbage collector deletes its objects, or takes it off their owners,
and that may be seen before the deletion of the policy: they come by different watches. Without a
look they would be made again, for a moment, for a policy that is gone; or get back an owner that is
gone, and be collected with it. So what somebody took away is given back only after one list of the
policies of its namespace, and only to owners that are still there then: the watch may have told of
a deletion in the meantime. However many objects wait, one list serves them all.
"""

import asyncio
from collections import defaultdict

from egress_operator.engine.transport import Transport
from egress_operator.reconcile.cluster import Cluster
from egress_operator.reconcile.listing import list_entries
from egress_operator.reconcile.resource import GATEWAYS, POLICIES


class OwnerCheck:
    """Lists the owners of objects and drops from the cache what is gone."""

    def __init__(self, transport: Transport, cluster: Cluster) -> None:
        self._transport = transport
        self._cluster = cluster
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._begun: defaultdict[str, int] = defaultdict(int)
        self._ended: defaultdict[str, int] = defaultdict(int)

    async def refresh(self, namespace: str) -> None:
        """Drop the policies of a namespace that are gone at the time of the call. Raises ApiError.

        Without a namespace the same for EgressGateways. A list that begins after the call serves it
        as well as an own one.
        """
        begun = self._begun[namespace]
        async with self._locks[namespace]:
            if self._ended[namespace] <= begun:
                self._begun[namespace] += 1
                number = self._begun[namespace]
                resource = POLICIES if namespace else GATEWAYS
                listing = await list_entries(self._transport, resource, namespace)
                cache = self._cluster.policies if namespace else self._cluster.gateways
                cache.drop_unlisted(listing, namespace)
                self._ended[namespace] = number
