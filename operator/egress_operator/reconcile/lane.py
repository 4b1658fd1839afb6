"""Whose turn a set or a write takes, and whether it goes before all others.

Anybody may write AuthorizationPolicies in their own namespace that claim to belong to an
EgressGateway, under as many names as they like. In a namespace that has an EgressGateway, or has
had one since the start, every claim is believed, because the EgressGateway of that name may have
been deleted before. Elsewhere a claim is urgent while the operator starts, if there is an
EgressGateway of that name, which may have moved before the start: a permission that it left behind
goes first. It takes the turns of its namespace all the same, and after the start it is not urgent.
"""

from egress_operator.engine.ready import Share
from egress_operator.istio.set_key import GatewaySet, SetKey
from egress_operator.rollout.write import Write, takes_permission


class Lanes:
    """Knows where EgressGateways are, and were since the start."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._namespaces: set[str] = set()
        self._is_starting = True

    def end_start(self) -> None:
        """Record that what was withdrawn before the start is gone, or was tried."""
        self._is_starting = False

    def note_place(self, key: GatewaySet) -> None:
        """Record that an EgressGateway is here."""
        self._names.add(key.gateway)
        self._namespaces.add(key.namespace)

    def is_place(self, key: GatewaySet) -> bool:
        """Whether an EgressGateway is, or was, in this namespace.

        It is trusted: only the platform team may write where a gateway runs.
        """
        return key.namespace in self._namespaces

    def find_set_share(self, key: SetKey) -> Share:
        """Return the share of a set: its namespace's, or one of its own at an EgressGateway.

        Elsewhere it is urgent only during the start, and if there is, or was, an EgressGateway of
        that name, which may have been there before.
        """
        if not isinstance(key, GatewaySet):
            return Share(key.namespace, urgent=False)
        # A gateway is a lane of its own, whatever others are in its namespace.
        is_place = self.is_place(key)
        lane = key if is_place else key.namespace
        is_former = self._is_starting and key.gateway in self._names
        return Share(lane, urgent=is_place or is_former)

    def find_write_share(self, key: SetKey, write: Write, tenant: str) -> Share:
        """Return the share of a write of a set: at an EgressGateway that of the tenant, if any."""
        is_believed = isinstance(key, GatewaySet) and self.is_place(key)
        lane = (tenant if is_believed else "") or key.namespace
        return Share(lane, urgent=takes_permission(write) and self.find_set_share(key).urgent)
