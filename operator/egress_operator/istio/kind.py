"""The Istio kinds that we write, and the keys of their objects."""

from collections.abc import Mapping
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


PLURALS: Mapping[Kind, str] = {
    Kind.SERVICE_ENTRY: "serviceentries",
    Kind.DESTINATION_RULE: "destinationrules",
    Kind.GATEWAY: "gateways",
    Kind.AUTHORIZATION_POLICY: "authorizationpolicies",
    Kind.VIRTUAL_SERVICE: "virtualservices",
}

GATEWAY_KINDS = frozenset({Kind.GATEWAY, Kind.AUTHORIZATION_POLICY})
"""Kinds that only gateways need, and whose objects may stand in a gateway's namespace."""


def find_api_version(kind: Kind) -> str:
    """Return the group and version that a kind is served in."""
    return SECURITY if kind is Kind.AUTHORIZATION_POLICY else NETWORKING


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Identity of a namespaced Istio object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`ServiceEntry shop/api-example-com-hd0c43d3885064d9a`, as messages name it."""
        return f"{self.kind} {self.namespace}/{self.name}"
