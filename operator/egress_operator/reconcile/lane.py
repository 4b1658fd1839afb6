"""Whose turn a set or a write takes, and whether it goes before all others.

Anybody may write an AuthorizationPolicy that says to be of an EgressGateway in their own namespace
and name as many EgressGateways and tenants as they like. So what it says is believed only where an
EgressGateway of that name is, or was since the start.
"""

from collections import defaultdict

from egress_operator.engine.ready import Share
from egress_operator.istio.set_key import GatewaySet, SetKey
from egress_operator.rollout.write import Write, takes_permission


class Lanes:
    """Knows where EgressGateways are, and were since the start."""

    def __init__(self) -> None:
        self._places: defaultdict[str, set[str]] = defaultdict(set)
        """Namespaces, by the names of the EgressGateways."""

    def note_place(self, key: GatewaySet) -> None:
        """Record that an EgressGateway is here."""
        self._places[key.gateway].add(key.namespace)

    def is_place(self, key: GatewaySet) -> bool:
        """Whether an EgressGateway of this name is, or was, in this namespace."""
        return key.namespace in self._places.get(key.gateway, ())

    def find_of_set(self, key: SetKey) -> Share:
        """Return the share of a set: its namespace's, or one of its own at an EgressGateway.

        Elsewhere it is urgent only if there is, or was, an EgressGateway of that name, which may
        have been there before the start.
        """
        if not isinstance(key, GatewaySet):
            return Share(key.namespace, urgent=False)
        # A gateway is a lane of its own, whatever others are in its namespace.
        lane = key if self.is_place(key) else key.namespace
        return Share(lane, urgent=key.gateway in self._places)

    def find_of_write(self, key: SetKey, write: Write, tenant: str) -> Share:
        """Return the share of a write of a set: at an EgressGateway that of the tenant, if any."""
        is_believed = isinstance(key, GatewaySet) and self.is_place(key)
        lane = (tenant if is_believed else "") or key.namespace
        return Share(lane, urgent=takes_permission(write) and self.find_of_set(key).urgent)
