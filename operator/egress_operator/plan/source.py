"""What a plan is made from: policies as the API server has them, settings, hand-written objects."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import orjson

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import Observed
from egress_operator.istio.sidecar import Sidecar
from egress_operator.plan.option import PlanOptions
from egress_operator.plan.standing import HostStanding
from egress_operator.plan.visibility import UNCAPPED, EntryVisibility


class OutboundMode(StrEnum):
    """The mesh's `outboundTrafficPolicy.mode`, as far as it is known."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Settings(PlanOptions):
    """What differs between clusters and decides what is planned. Durations in seconds."""

    dns_capture: bool = False
    """Whether proxies resolve names through Istio (ISTIO_META_DNS_CAPTURE)."""
    outbound_mode: OutboundMode = OutboundMode.UNKNOWN
    istio_namespace: str = "istio-system"
    """Where istiod runs: the admission policies keep the operator out of it."""
    root_namespace: str = "istio-system"
    """The mesh's: an AuthorizationPolicy there selects pods of every namespace."""
    normalizes_paths: bool = True
    """Whether proxies resolve `..` before they look at a path (MeshConfig.pathNormalization)."""
    entry_visibility: EntryVisibility = UNCAPPED
    service_export: tuple[str, ...] = ()
    """Who sees a Service that does not say it (MeshConfig.defaultServiceExportTo). Empty: all."""


def build_settings(
    options: PlanOptions,
    *,
    dns_capture: bool,
    istio_namespace: str,
    root_namespace: str = "",
    outbound_mode: OutboundMode = OutboundMode.UNKNOWN,
    normalizes_paths: bool = True,
    entry_visibility: EntryVisibility = UNCAPPED,
    service_export: tuple[str, ...] = (),
) -> Settings:
    """Join what the user has set with what is known of the mesh. Pure.

    Istio's own namespace is the root where the mesh names no other one.
    """
    given = {row.name: getattr(options, row.name) for row in fields(PlanOptions)}
    return Settings(
        **given,
        dns_capture=dns_capture,
        istio_namespace=istio_namespace,
        root_namespace=root_namespace or istio_namespace,
        outbound_mode=outbound_mode,
        normalizes_paths=normalizes_paths,
        entry_visibility=entry_visibility,
        service_export=service_export,
    )


SENIOR = "(older, or first by name at the same age)"
"""Why a policy or gateway comes before another one: the order is that of (`created`, `name`)."""

Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value, from `spec` on."""

PAUSED_ANNOTATION = "egress-operator.io/paused"
REQUESTED_ANNOTATION = "egress-operator.io/reconcile-requested-at"
REQUEST_LENGTH = 128


def is_paused(metadata: Mapping[str, Any]) -> bool:
    """Whether the annotation of an EgressPolicy with these metadata pauses it. Pure."""
    return read_annotation(metadata, PAUSED_ANNOTATION).lower() == "true"


def read_request(metadata: Mapping[str, Any]) -> str:
    """Return the token by which somebody asks for another look at it, empty for none. Pure.

    Any text, such as a time; of a long one the beginning. While it is paused it is not looked at,
    so a request counts from the end of the pause on.
    """
    if is_paused(metadata):
        return ""
    return read_annotation(metadata, REQUESTED_ANNOTATION)[:REQUEST_LENGTH]


def read_annotation(metadata: Mapping[str, Any], name: str) -> str:
    """Return the text of an annotation, empty for none. Pure."""
    annotations = metadata.get("annotations")
    value = annotations.get(name) if isinstance(annotations, Mapping) else None
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class PackedSpec:
    """A spec as JSON: a fifth of what it takes as objects, and each policy is read once."""

    text: bytes


GATEWAY_FIELD = b'"gatewayRef"'
EXPIRY_FIELD = b'"expiresAt"'


@dataclass(frozen=True, slots=True)
class PolicySource:
    """One EgressPolicy. `created` is metadata.creationTimestamp (RFC 3339, sorts as text)."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: Any = field(compare=False, hash=False)
    """As written, not validated, so perhaps not even a mapping; or a PackedSpec. (uid, generation,
    revision) identify it, so it takes no part in equality."""
    paused: bool = False
    requested: str = ""
    """The token of the last request to look at it again, see `read_request`."""
    revision: int = 0
    """Counts the specs that came under one generation: a restored etcd counts from lower ones."""
    nulls: tuple[Place, ...] = ()
    """Of keys that `kubectl apply` left out because they had no value."""

    @property
    def names_gateway(self) -> bool:
        """Whether it says to go through a gateway, readable or not."""
        if not self._may_hold(GATEWAY_FIELD):
            return False
        spec = self.read_spec()
        return isinstance(spec, Mapping) and bool(spec.get("gatewayRef"))

    @property
    def names_expiry(self) -> bool:
        """Whether it may say when it expires; of most policies that is known without a reading."""
        return self._may_hold(EXPIRY_FIELD)

    def _may_hold(self, field: bytes) -> bool:
        return not isinstance(self.spec, PackedSpec) or field in self.spec.text

    def read_spec(self) -> Any:  # noqa: ANN401 - not validated
        """Return the spec, read anew if it is packed."""
        return orjson.loads(self.spec.text) if isinstance(self.spec, PackedSpec) else self.spec


@dataclass(frozen=True, slots=True, order=True)
class HandWritten:
    """An Istio object of the policy's namespace that is not ours and names hosts."""

    kind: str
    name: str
    created: str
    hosts: tuple[str, ...]
    export_to: tuple[str, ...] = ()
    """Of a DestinationRule, as written there: empty is Istio's default."""
    parts: tuple[str, ...] = ()
    """Of a DestinationRule, see `Facts.parts`."""
    is_damaged: bool = False
    """It was one of ours, and is to be again."""


def build_hand_written(observed: Observed) -> HandWritten:
    """Tell what the plan reads of an object that is not ours."""
    is_rule = observed.key.kind is Kind.DESTINATION_RULE
    return HandWritten(
        observed.key.kind,
        observed.key.name,
        observed.created,
        observed.facts.hosts,
        export_to=observed.facts.export_to if is_rule else (),
        parts=observed.facts.parts,
        is_damaged=observed.is_damaged,
    )


def find_rule_ages(observed: Collection[Observed]) -> dict[str, str]:
    """Return since when our DestinationRules of a namespace are there, by name. Pure.

    Empty without any of others: then it does not matter.
    """
    rules = [item for item in observed if item.key.kind is Kind.DESTINATION_RULE]
    if all(item.ours for item in rules):
        return {}
    return {item.key.name: item.created for item in rules if item.ours}


@dataclass(frozen=True, slots=True)
class GatewaySource:
    """One EgressGateway. `created` is metadata.creationTimestamp (RFC 3339, sorts as text)."""

    name: str
    uid: str
    generation: int
    created: str
    spec: Any = field(compare=False, hash=False)
    """As written, not validated, so perhaps not even a mapping. (uid, generation, revision)
    identify it, so it takes no part in equality."""
    namespace: str = ""
    """Always empty: it stands in no namespace."""
    revision: int = 0
    """See PolicySource."""

    @property
    def place(self) -> str:
        """The namespace that it names, empty when that cannot be read."""
        named = self.spec.get("namespace") if isinstance(self.spec, Mapping) else None
        return named if isinstance(named, str) else ""


@dataclass(frozen=True, slots=True)
class NamespaceInput:
    """All that `plan_namespace` reads: the policies of one namespace and what surrounds them."""

    namespace: str
    policies: tuple[PolicySource, ...]
    settings: Settings = Settings()
    hand_written: tuple[HandWritten, ...] = ()
    rule_ages: Mapping[str, str] = field(default_factory=dict)
    """The creationTimestamp of our DestinationRules that are there, by name; only if there are
    others."""
    gateways: tuple[GatewaySource, ...] = ()
    """All EgressGateways."""
    labels: Mapping[str, str] | None = None
    """Of the namespace: they decide which gateways are open to it. None: not known."""
    standing: tuple[HostStanding, ...] = ()
    """What there is of its hosts: it counts towards the limits, and policies on hold keep it."""
    unready: Mapping[str, str] = field(default_factory=dict)
    """Why a gateway cannot carry traffic now, in one line, by its name; what is left out can."""
    guards_sockets: bool = True
    """Whether the admission policies keep tenants from the sockets of the gateways' pods."""
    now: float = 0.0
    """The time of day (Unix time), by which policies expire; by 1970 none has."""
    sidecars: tuple[Sidecar, ...] = ()
    """Those that hold in the namespace, in the order in which Istio looks at them."""
