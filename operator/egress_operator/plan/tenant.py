"""A namespace at a gateway: its domain there, and the objects that serve all of its hosts."""

from dataclasses import dataclass, replace

from egress_operator.istio.authorization_policy import build_tenant_access_spec
from egress_operator.istio.destination_rule import build_subset_spec
from egress_operator.istio.facts import Spec
from egress_operator.istio.gateway import build_tenant_server_spec
from egress_operator.istio.group import Group
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.name import build_tenant_domain, build_tenant_name
from egress_operator.istio.object import Desired, Owner
from egress_operator.istio.route import GatewayHop
from egress_operator.istio.set_key import SetKey, TenantSet
from egress_operator.plan.gateway import Authorization, Gateway


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace that may use a gateway."""

    namespace: str
    gateway: Gateway
    export_to: tuple[str, ...]
    """`exportTo` of DestinationRules for the gateway's Service in this namespace; () for none."""
    is_scoped: bool
    """Whether objects of kind Gateway stand in the gateway's namespace."""

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
    def access_key(self) -> ObjectKey:
        """Where the AuthorizationPolicy that lets it in stands."""
        return self.gateway.find_access_key(self.namespace)

    @property
    def hop(self) -> GatewayHop:
        """The way of its routes to the gateway."""
        gateway = self.gateway
        export = gateway.build_export(self.namespace)
        return GatewayHop(gateway.label, gateway.host, gateway.intent.port, export)

    def find_server_key(self, name: str) -> ObjectKey:
        """Return where a Gateway of this name stands."""
        namespace = self.gateway.namespace if self.is_scoped else self.namespace
        return ObjectKey(Kind.GATEWAY, namespace, name)

    def find_access_key(self, name: str) -> ObjectKey:
        """Return where an AuthorizationPolicy of this name stands."""
        return ObjectKey(Kind.AUTHORIZATION_POLICY, self.gateway.namespace, name)

    def build_server(
        self, group: SetKey, key: ObjectKey, spec: Spec, owner: tuple[Owner, ...]
    ) -> Desired:
        """Build a Gateway. In another namespace the EgressGateway alone can own it."""
        return build_desired(
            key,
            group,
            (self.gateway.owner,) if self.is_scoped else owner,
            spec,
            place=self.gateway.label if key.namespace != self.namespace else "",
        )

    def build_subset(
        self, group: SetKey, key: ObjectKey, subset: str, sni: str, owner: tuple[Owner, ...]
    ) -> Desired:
        """Build a DestinationRule on the gateway's Service."""
        spec = build_subset_spec(
            self.gateway.host, self.gateway.intent.traffic, subset, sni, self.export_to
        )
        return build_desired(key, group, owner, spec)

    def build_access(self, group: SetKey, key: ObjectKey, spec: Spec) -> Desired:
        """Build an AuthorizationPolicy that lets this tenant in."""
        return build_desired(
            key,
            group,
            (self.gateway.owner,),
            spec,
            dry_run=self.gateway.authorization is Authorization.DRY_RUN,
            place=self.gateway.label,
            after=frozenset({self.gateway.baseline_key}),
        )

    @property
    def _name_at_gateway(self) -> str:
        return build_tenant_name(self.namespace, self.gateway.label)


def build_tenant_group(tenant: Tenant) -> Group:
    """Make the objects that serve all hosts of a tenant, owned by the EgressGateway. Pure."""
    gateway = tenant.gateway
    label, owner = gateway.label, (gateway.owner,)
    key = TenantSet(tenant.namespace, label)
    objects = [
        tenant.build_subset(key, tenant.subset_key, label, tenant.domain, owner),
        tenant.build_server(
            key,
            tenant.server_key,
            build_tenant_server_spec(gateway.place, tenant.namespace, tenant.domain),
            owner,
        ),
    ]
    if gateway.authorization is Authorization.NONE:
        # For `next_step`: what lets the tenant in goes after the gateway has stopped denying.
        objects[1] = replace(objects[1], after=frozenset({gateway.baseline_key}))
    else:
        spec = build_tenant_access_spec(gateway.intent.selector, tenant.namespace, tenant.domain)
        objects.append(tenant.build_access(key, tenant.access_key, spec))
    return Group(key, tuple(objects))
