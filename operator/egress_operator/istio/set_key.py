"""Keys of the sets in which objects are written, and where objects of a set may stand.

An object is a member of the set that would give it exactly its kind, namespace and name. Labels and
annotations tell which set to try, and are never believed alone: every tenant can write them.
"""

from dataclasses import dataclass

from egress_operator.istio.kind import UNOWNED, Kind, ObjectKey
from egress_operator.istio.name import (
    DIALLED,
    INNER,
    WAY,
    build_host_name,
    build_tenant_name,
    is_behind_name,
    is_label,
    is_opaque_name,
    is_restricted_name,
)
from egress_operator.istio.wildcard import is_wildcard

_ENDS = {Kind.DESTINATION_RULE: WAY}
_ENDS_OF_WILDCARD = {
    Kind.SERVICE_ENTRY: DIALLED,
    Kind.DESTINATION_RULE: DIALLED,
    Kind.GATEWAY: INNER,
    Kind.VIRTUAL_SERVICE: INNER,
}
"""What the names of some of these objects end with."""


@dataclass(frozen=True, slots=True, order=True)
class HostSet:
    """The objects of one host of a namespace."""

    namespace: str
    host: str
    """The host, or the synthetic name of an address without one."""

    def __str__(self) -> str:
        """Name the host."""
        return self.host


@dataclass(frozen=True, slots=True, order=True)
class TenantSet:
    """The objects that serve all hosts of a namespace at one gateway."""

    namespace: str
    gateway: str
    """The gateway's label."""

    def __str__(self) -> str:
        """Name the gateway."""
        return self.gateway


@dataclass(frozen=True, slots=True, order=True)
class GatewaySet:
    """The AuthorizationPolicies and EnvoyFilters of an EgressGateway in one namespace.

    Those that say to be of the EgressGateway and stand elsewhere are sets of their own: what is
    written there, by whomever, holds up and shows nothing at the gateway.
    """

    gateway: str
    """The name of the EgressGateway."""
    namespace: str
    """That of its pods, or one where they were before."""

    def __str__(self) -> str:
        """Name the gateway."""
        return self.gateway


SetKey = HostSet | TenantSet | GatewaySet


Scope = str | None
"""What is planned together: a namespace; or what belongs to none, the gateways as a whole."""


def find_scope(key: SetKey) -> Scope:
    """Return the namespace whose plan decides on a set; None: that of the gateways. Pure."""
    match key:
        case HostSet() | TenantSet():
            return key.namespace
        case GatewaySet():
            return None


def build_set_name(key: SetKey) -> str:
    """Return the name that the objects of a set have, or that their names are made of. Pure."""
    match key:
        case HostSet():
            return build_host_name(key.host)
        case TenantSet() | GatewaySet():
            return key.gateway


def sort_key(key: SetKey) -> tuple[bool, str, str]:
    """Order sets: those of gateways before hosts, each by namespace and name. Pure."""
    return isinstance(key, HostSet), find_scope(key) or "", str(key)


def is_expected(key: SetKey, at: ObjectKey, place: str, tenant: str = "") -> bool:
    """Whether a set would write an object of this kind under this very name. Pure.

    `place` and `tenant`: as of `Desired`. Whether the gateway is in that namespace is not known
    here.
    """
    match key:
        case HostSet():
            return _is_of_host(key, at, place)
        case TenantSet():
            return _is_of_tenant(key, at, place)
        case GatewaySet():
            if at.kind not in UNOWNED or at.namespace != key.namespace or not is_label(place):
                return False
            if at.kind is Kind.ENVOY_FILTER:
                return bool(tenant) and is_opaque_name(at.name, tenant, place)
            return _is_permission(at.name, place, tenant)


def _is_permission(name: str, label: str, tenant: str) -> bool:
    """Whether it is the name of the gateway's own, of a tenant's, or of one host's."""
    if not tenant:
        return name == label
    return name == build_tenant_name(tenant, label) or is_restricted_name(name, tenant, label)


def _is_of_host(key: HostSet, at: ObjectKey, place: str) -> bool:
    name, behind = build_host_name(key.host), _remove_end(key, at)
    if place:
        away = at.kind is Kind.GATEWAY
        return away and is_behind_name(behind, name, key.namespace, place)
    if at.namespace != key.namespace or at.kind in UNOWNED:
        return False
    shared = at.name == name and at.kind is not Kind.GATEWAY
    return shared or is_behind_name(behind, name)


def _remove_end(key: HostSet, at: ObjectKey) -> str:
    """Return what the name of an object is made of, if the set would give it that end."""
    ends = [_ENDS.get(at.kind, "")]
    if is_wildcard(key.host):
        ends.append(_ENDS_OF_WILDCARD.get(at.kind, ""))
    end = next((end for end in ends if end and at.name.endswith(end)), "")
    return at.name.removesuffix(end)


def _is_of_tenant(key: TenantSet, at: ObjectKey, place: str) -> bool:
    if not is_label(key.gateway):
        return False
    if place:
        named = at.name == build_tenant_name(key.namespace, key.gateway)
        return named and place == key.gateway and at.kind is Kind.GATEWAY
    if at.namespace != key.namespace:
        return False
    if at.name == key.gateway:
        return at.kind in {Kind.DESTINATION_RULE, Kind.GATEWAY}
    # Where Gateways stand in the namespaces of gateways, and this is one.
    return at.kind is Kind.GATEWAY and at.name == build_tenant_name(key.namespace, key.gateway)
