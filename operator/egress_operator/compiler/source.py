"""What the compiler reads: policies as the API server has them, settings, hand-written objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OutboundMode(StrEnum):
    """The mesh's `outboundTrafficPolicy.mode`, as far as it is known."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs between clusters and decides what is compiled. Durations in seconds."""

    cluster_domain: str = "cluster.local"
    synthetic_domains: tuple[str, ...] = ("egress.internal", "direct.internal")
    allowed_cidrs: tuple[str, ...] = ()
    """Literal addresses that policies may use beside public ones."""
    cluster_cidrs: tuple[str, ...] = ()
    """The cluster's own pod and service ranges: never a destination."""
    dns_capture: bool = False
    """Whether proxies resolve names through Istio (ISTIO_META_DNS_CAPTURE)."""
    outbound_mode: OutboundMode = OutboundMode.UNKNOWN
    settle: float = 2.0


@dataclass(frozen=True, slots=True)
class PolicySource:
    """One EgressPolicy. `created` is metadata.creationTimestamp (RFC 3339, sorts as text)."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: Mapping[str, Any] = field(compare=False, hash=False)
    """As written, not validated. (uid, generation) identify it, so it takes no part in equality."""
    paused: bool = False


@dataclass(frozen=True, slots=True, order=True)
class HandWritten:
    """An Istio object of the policy's namespace that is not ours and names outside hosts."""

    kind: str
    name: str
    created: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamespaceInput:
    """All that `plan_namespace` reads: the policies of one namespace and what surrounds them."""

    namespace: str
    policies: tuple[PolicySource, ...]
    settings: Settings = Settings()
    hand_written: tuple[HandWritten, ...] = ()
    namespaces: frozenset[str] = frozenset()
    """Names of all namespaces of the cluster (offline: of the input), for names that the proxy's
    resolver would complete inside the cluster."""
