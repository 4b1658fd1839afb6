"""What an explanation reads: policies, gateways, namespaces, and the call that is asked about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from egress_operator.api.check import check_gateway_spec, check_spec
from egress_operator.api.gateway import EgressGatewaySpec
from egress_operator.api.moment import parse_moment
from egress_operator.api.policy import EgressPolicySpec
from egress_operator.explain.sidecar import Sidecar, read_sidecar

Object = Mapping[str, Any]


class Payload(StrEnum):
    """What the client speaks."""

    HTTP = "HTTP"
    """Plain HTTP of any version, gRPC and WebSocket among it."""
    TLS = "TLS"
    """TLS from the first byte, with the host as server name."""
    BYTES = "bytes"
    """Anything else: Istio sees only the address."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A workload of the mesh."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    service_account: str = "default"


@dataclass(frozen=True, slots=True)
class Call:
    """One connection or request. `address` is what the caller dials, empty when not known."""

    caller: Caller
    payload: Payload
    host: str
    port: int
    address: str = ""
    method: str = "GET"
    """Of HTTP, as what follows."""
    path: str = "/"
    """With the query. One that is read in one way alone."""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """A valid EgressPolicy."""

    namespace: str
    name: str
    created: str
    """RFC 3339, sorts as text."""
    spec: EgressPolicySpec = field(compare=False)

    def has_expired(self, now: float) -> bool:
        """Whether its time is over; `now` in Unix time."""
        moment = parse_moment(self.spec.expires_at or "")
        return moment is not None and moment <= now


@dataclass(frozen=True, slots=True)
class World:
    """All that decides. Policies that are not valid are not in it: they never made anything."""

    policies: Mapping[str, tuple[Policy, ...]]
    """By namespace, the oldest first; of the same age by name."""
    gateways: Mapping[str, EgressGatewaySpec]
    labels: Mapping[str, Mapping[str, str]]
    """Of the namespaces."""
    open_by_default: bool = False
    """Whether the mesh lets through what nobody declared (ALLOW_ANY)."""
    direct_domain: str = "direct.internal"
    """The domain of the operator's own names for hosts that are reached directly."""
    gateway_domain: str = "egress.internal"
    """The same, for hosts behind gateways."""
    max_hosts: int = 500
    """How many hosts a namespace may have (setting max-hosts-per-namespace)."""
    expired: Mapping[str, tuple[Policy, ...]] = field(default_factory=dict)
    """The policies whose time is over, by namespace: they do nothing any more."""
    sidecars: tuple[Sidecar, ...] = ()
    root_namespace: str = "istio-system"
    """Of the mesh: a Sidecar there is the default of all namespaces without one."""
    cluster_domain: str = "cluster.local"
    """The end of the names of Services."""


def read_world(
    objects: Iterable[Object], *, open_by_default: bool = False, now: float = 0.0
) -> World:
    """Sort manifests of policies, gateways, Namespaces and Sidecars; others are not looked at.

    Pure. Gateways that share pods must not be among them: the younger one would not be accepted.
    `now`: Unix time, by which policies expire.
    """
    policies: dict[str, list[Policy]] = {}
    expired: dict[str, list[Policy]] = {}
    gateways: dict[str, EgressGatewaySpec] = {}
    labels: dict[str, Mapping[str, str]] = {}
    sidecars: list[Sidecar] = []
    for item in objects:
        metadata = item["metadata"]
        match item["kind"]:
            case "EgressPolicy":
                if (policy := _read_policy(item)) is not None:
                    found = expired if policy.has_expired(now) else policies
                    found.setdefault(policy.namespace, []).append(policy)
            case "EgressGateway":
                gateway, _ = check_gateway_spec(item["spec"])
                if gateway is not None:
                    gateways[metadata["name"]] = gateway
            case "Namespace":
                labels[metadata["name"]] = metadata.get("labels") or {}
            case "Sidecar":
                sidecars.append(read_sidecar(item))
    return World(
        _sort(policies),
        gateways,
        labels,
        open_by_default=open_by_default,
        expired=_sort(expired),
        sidecars=tuple(sidecars),
    )


def _sort(policies: Mapping[str, list[Policy]]) -> dict[str, tuple[Policy, ...]]:
    return {
        namespace: tuple(sorted(found, key=lambda policy: (policy.created, policy.name)))
        for namespace, found in policies.items()
    }


def _read_policy(item: Object) -> Policy | None:
    metadata = item["metadata"]
    spec, _ = check_spec(item["spec"])
    if spec is None:
        return None
    created = str(metadata.get("creationTimestamp") or "")
    return Policy(metadata["namespace"], metadata["name"], created, spec)
