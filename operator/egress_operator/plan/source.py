"""What a plan is made from: policies as the API server has them, settings, hand-written objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Observed


class GatewayObjects(StrEnum):
    """Where the objects of kind Gateway are written."""

    TENANT = "Tenant"
    """Into the namespace of the policies."""
    GATEWAY_NAMESPACE = "GatewayNamespace"
    """Into the namespace of the gateway's pods: istiods that run with
    PILOT_SCOPE_GATEWAY_TO_NAMESPACE honour only those."""


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
    gateway_objects: GatewayObjects = GatewayObjects.TENANT
    root_namespace: str = "istio-system"
    """The mesh's: an AuthorizationPolicy there selects pods of every namespace."""
    settle: float = 2.0
    max_hosts_per_namespace: int = 500


@dataclass(frozen=True, slots=True)
class PolicySource:
    """One EgressPolicy. `created` is metadata.creationTimestamp (RFC 3339, sorts as text)."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: Mapping[str, Any] = field(compare=False, hash=False)
    """As written, not validated. (uid, generation, revision) identify it, so it takes no part in
    equality."""
    paused: bool = False
    revision: int = 0
    """Counts the specs that came under one generation: a restored etcd counts from lower ones."""


@dataclass(frozen=True, slots=True, order=True)
class HandWritten:
    """An Istio object of the policy's namespace that is not ours and names hosts."""

    kind: str
    name: str
    created: str
    hosts: tuple[str, ...]
    export_to: tuple[str, ...] = ()
    """Of a DestinationRule, as written there: empty is Istio's default."""


def build_hand_written(observed: Observed) -> HandWritten:
    """Tell what the plan reads of an object that is not ours."""
    return HandWritten(
        observed.key.kind,
        observed.key.name,
        observed.created,
        observed.facts.hosts,
        observed.facts.export_to if observed.key.kind is Kind.DESTINATION_RULE else (),
    )


@dataclass(frozen=True, slots=True)
class GatewaySource:
    """One EgressGateway. `created` is metadata.creationTimestamp (RFC 3339, sorts as text)."""

    name: str
    uid: str
    generation: int
    created: str
    spec: Mapping[str, Any] = field(compare=False, hash=False)
    """As written, not validated. (uid, generation, revision) identify it, so it takes no part in
    equality."""
    namespace: str = ""
    """Always empty: it stands in no namespace."""
    revision: int = 0
    """See PolicySource."""


@dataclass(frozen=True, slots=True)
class NamespaceInput:
    """All that `plan_namespace` reads: the policies of one namespace and what surrounds them."""

    namespace: str
    policies: tuple[PolicySource, ...]
    settings: Settings = Settings()
    hand_written: tuple[HandWritten, ...] = ()
    gateways: tuple[GatewaySource, ...] = ()
    """All EgressGateways."""
    labels: Mapping[str, str] | None = None
    """Of the namespace: they decide which gateways are open to it. None: not known."""
    unready: Mapping[str, str] = field(default_factory=dict)
    """Why a gateway cannot carry traffic now, in one line, by its name; what is left out can."""
