"""The Istio kinds that we write, and the keys of their objects."""

from dataclasses import dataclass
from enum import StrEnum

NETWORKING = "networking.istio.io/v1"
SECURITY = "security.istio.io/v1"


class Kind(StrEnum):
    """The Istio kinds that we write, in the order in which a new host needs them."""

    SERVICE_ENTRY = "ServiceEntry"
    DESTINATION_RULE = "DestinationRule"
    GATEWAY = "Gateway"
    AUTHORIZATION_POLICY = "AuthorizationPolicy"
    VIRTUAL_SERVICE = "VirtualService"


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Identity of a namespaced Istio object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`ServiceEntry shop/api-example-com-hd0c43d3885064d9a`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}"
