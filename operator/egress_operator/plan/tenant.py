"""A namespace at a gateway: its domain there, and the objects that serve all of its hosts."""

from dataclasses import dataclass
from functools import lru_cache

from egress_operator.istio.authorization_policy import (
    build_baseline_spec,
    build_restricted_access_spec,
    build_tenant_access_spec,
)
from egress_operator.istio.destination_rule import build_subset_spec
from egress_operator.istio.envoy_filter import LookupFamily, build_resolver_spec
from egress_operator.istio.facts import Spec
from egress_operator.istio.gateway import build_tenant_server_spec
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.name import build_tenant_domain, build_tenant_name
from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.object_set import ObjectSet
from egress_operator.istio.route import GatewayHop, Route
from egress_operator.istio.set_key import GatewaySet, SetKey, TenantSet
from egress_operator.istio.traffic import Labels
from egress_operator.plan.gateway import Gateway
from egress_operator.plan.intent import Authorization

ACCESS_LIMIT = 10_000
"""So many AuthorizationPolicies of tenants are remembered; plans hold the same values."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace that may use a gateway."""

    namespace: str
    gateway: Gateway
    export_to: tuple[str, ...]
    """`exportTo` of DestinationRules for the gateway's Service in this namespace; () for none."""
    is_scoped: bool
    """Whether objects of kind Gateway stand in the gateway's namespace."""
    lookup_family: LookupFamily = LookupFamily.V4_ONLY
    """Which addresses the gateway's proxies ask DNS for."""

    @property
    def domain(self) -> str:
        """Where the names end under which its hosts are known to the gateway."""
        return build_tenant_domain(self.gateway.label, self.namespace)

    @property
    def server_key(self) -> ObjectKey:
        """Where the Gateway for all of its HTTP stands."""
        return self.find_server_key(self._name_at_gateway if self.is_scoped else self.gateway.label)

    @property
    def subset_key(self) -> ObjectKey:
        """Where the DestinationRule for all of its HTTP stands."""
        return ObjectKey(Kind.DESTINATION_RULE, self.namespace, self.gateway.label)

    @property
    def hop(self) -> GatewayHop:
        """The way of its routes to the gateway."""
        gateway = self.gateway
        export = gateway.build_export(self.namespace)
        pool = gateway.intent.traffic.connection_pool
        return GatewayHop(gateway.label, gateway.host, gateway.intent.port, export, pool)

    def find_server_key(self, name: str) -> ObjectKey:
        """Return where a Gateway of this name stands."""
        namespace = self.gateway.namespace if self.is_scoped else self.namespace
        return ObjectKey(Kind.GATEWAY, namespace, name)

    def build_server(
        self,
        set_key: SetKey,
        key: ObjectKey,
        spec: Spec,
        owner: tuple[Owner, ...],
        after: frozenset[ObjectKey] = frozenset(),
    ) -> Desired:
        """Build a Gateway. In another namespace the EgressGateway alone can own it.

        `after`: what has to be there first, beside what denies strangers.
        """
        return build_desired(
            key,
            set_key,
            (self.gateway.owner,) if self.is_scoped else owner,
            spec,
            place=self.gateway.label if key.namespace != self.namespace else "",
            after=self._list_guards() | after,
        )

    def build_subset(
        self, set_key: SetKey, key: ObjectKey, subset: str, sni: str, owner: tuple[Owner, ...]
    ) -> Desired:
        """Build a DestinationRule on the gateway's Service."""
        spec = build_subset_spec(
            self.gateway.host, self.gateway.intent.traffic, subset, sni, self.export_to
        )
        return build_desired(key, set_key, owner, spec)

    def _list_guards(self) -> frozenset[ObjectKey]:
        """Return what denies strangers, and must do so before there is a server."""
        enforces = self.gateway.authorization is Authorization.MANAGED
        return frozenset({self.gateway.baseline_key} if enforces else ())

    @property
    def _name_at_gateway(self) -> str:
        return build_tenant_name(self.namespace, self.gateway.label)


def build_tenant_set(tenant: Tenant) -> ObjectSet:
    """Make the objects that serve all hosts of a tenant, owned by the EgressGateway. Pure."""
    gateway = tenant.gateway
    label, owner = gateway.label, (gateway.owner,)
    key = TenantSet(tenant.namespace, label)
    spec = build_tenant_server_spec(gateway.place, tenant.namespace, tenant.domain)
    objects = (
        tenant.build_subset(key, tenant.subset_key, label, tenant.domain, owner),
        tenant.build_server(key, tenant.server_key, spec, owner),
    )
    allows: tuple[Desired, ...] = ()
    if gateway.authorization is not Authorization.NONE:
        allows = (build_tenant_access(gateway, tenant.namespace),)
    return ObjectSet(key, objects, allows=allows)


def build_baseline(gateway: Gateway) -> Desired:
    """Build the AuthorizationPolicy that denies what no other one allows. Pure."""
    has_sockets = not gateway.refuses_wildcards
    spec = build_baseline_spec(gateway.intent.selector, sockets=has_sockets)
    return _build_access(gateway, gateway.baseline_key, spec)


def build_tenant_access(gateway: Gateway, namespace: str) -> Desired:
    """Build the AuthorizationPolicy that lets a namespace in under its domain. Pure.

    The last ones are remembered: each plan of the gateways asks for those of all tenants.
    """
    return _build_tenant_access(
        gateway.set_key, gateway.label, gateway.intent.selector, gateway.authorization, namespace
    )


@lru_cache(ACCESS_LIMIT)
def _build_tenant_access(
    set_key: GatewaySet,
    label: str,
    selector: Labels,
    authorization: Authorization,
    namespace: str,
) -> Desired:
    name = build_tenant_name(namespace, label)
    return build_desired(
        ObjectKey(Kind.AUTHORIZATION_POLICY, set_key.namespace, name),
        set_key,
        (),
        build_tenant_access_spec(selector, namespace, build_tenant_domain(label, namespace)),
        dry_run=authorization is Authorization.DRY_RUN,
        place=label,
        tenant=namespace,
    )


def build_restricted_access(tenant: Tenant, host: str, route: Route) -> Desired:
    """Build the AuthorizationPolicy that lets service accounts in by one route. Pure."""
    gateway = tenant.gateway
    key = ObjectKey(Kind.AUTHORIZATION_POLICY, gateway.namespace, route.name)
    spec = build_restricted_access_spec(
        gateway.intent.selector, tenant.namespace, route.host, route.accounts
    )
    return _build_access(gateway, key, spec, tenant.namespace, host)


def build_resolver(tenant: Tenant, host: str, route: Route) -> Desired:
    """Build the EnvoyFilter that finds the names of a wildcard by the server name of TLS. Pure."""
    gateway = tenant.gateway
    (upstream,) = route.upstreams
    spec = build_resolver_spec(
        gateway.intent.selector, route.socket, upstream.host, tenant.lookup_family
    )
    return build_desired(
        ObjectKey(Kind.ENVOY_FILTER, gateway.namespace, route.name),
        gateway.set_key,
        (),
        spec,
        place=gateway.label,
        tenant=tenant.namespace,
        host=host,
    )


def _build_access(
    gateway: Gateway, key: ObjectKey, spec: Spec, tenant: str = "", host: str = ""
) -> Desired:
    return build_desired(
        key,
        gateway.set_key,
        (),
        spec,
        dry_run=gateway.authorization is Authorization.DRY_RUN,
        place=gateway.label,
        tenant=tenant,
        host=host,
    )
