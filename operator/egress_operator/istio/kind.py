"""The Istio kinds that we write, and the keys of their objects."""

from enum import StrEnum
from typing import NamedTuple

NETWORKING = "networking.istio.io/v1"
NETWORKING_ALPHA = "networking.istio.io/v1alpha3"
"""The only version of EnvoyFilters."""
SECURITY = "security.istio.io/v1"


class Kind(StrEnum):
    """The Istio kinds that we write, in the order in which a new host needs them."""

    SERVICE_ENTRY = "ServiceEntry"
    DESTINATION_RULE = "DestinationRule"
    ENVOY_FILTER = "EnvoyFilter"
    GATEWAY = "Gateway"
    AUTHORIZATION_POLICY = "AuthorizationPolicy"
    VIRTUAL_SERVICE = "VirtualService"

    __hash__ = str.__hash__
    """That of `Enum` is no faster than Python, and every look-up by `ObjectKey` needs it."""


UNOWNED = frozenset({Kind.AUTHORIZATION_POLICY, Kind.ENVOY_FILTER})
"""What an EgressGateway has for its tenants. Nobody owns it: it must not go before what needs it,
and names and specs tell whose it is."""


class ObjectKey(NamedTuple):
    """Identity of a namespaced Istio object. A tuple, because every look-up hashes one."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`ServiceEntry shop/api-example-com-hd0c43d3885064d9a`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}"
