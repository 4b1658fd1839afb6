"""A set: objects that are written together, the unit of order, settling and back-off."""

from dataclasses import dataclass, field

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Desired
from egress_operator.istio.set_key import HostSet, SetKey, build_set_name, find_scope


@dataclass(frozen=True, slots=True)
class Access:
    """The AuthorizationPolicies and EnvoyFilters that an EgressGateway should have."""

    baseline: Desired | None
    """Denies what no other ALLOW allows. None where nothing is to be written: the EgressGateway is
    not accepted, or gone, or has authorization `None` and nothing is there."""
    enforces: bool = False
    """Whether they deny anything: authorization `Managed`."""
    is_final: bool = True
    """Whether the baseline stays in the end; false with authorization `None`."""
    allows: tuple[Desired, ...] = ()
    """One for each permission, sorted by key."""
    filters: tuple[Desired, ...] = ()
    """The EnvoyFilters of tenants, sorted by key. They let nobody in."""
    kept: frozenset[ObjectKey] = frozenset()
    """Not wanted, but left as they are, because what they guard is still there."""
    denials: frozenset[ObjectKey] = frozenset()
    """Those of `kept` that are the baselines of places that the gateway has left. They allow
    nothing, though they may have been open, while they came into force, when it left."""
    withdrawn: frozenset[ObjectKey] = frozenset()
    """ALLOWs and EnvoyFilters of namespaces that may not use the gateway (any more), and
    EnvoyFilters of a gateway that has no use for them: these go first."""
    in_use: bool = False
    """Whether tenants have servers at the gateway, so that requests may be under way."""
    denied: tuple[str, ...] = ()
    """Namespaces that have a server at the gateway and no permission, sorted."""
    generation: int = field(default=0, compare=False)
    """Of the EgressGateway; 0 when it is gone."""

    @property
    def desired(self) -> tuple[Desired, ...]:
        """All that may be written."""
        baseline = () if self.baseline is None else (self.baseline,)
        return (*baseline, *self.allows, *self.filters)


@dataclass(frozen=True, slots=True)
class ObjectSet:
    """The objects of one set."""

    key: SetKey
    objects: tuple[Desired, ...] = ()
    """In the order of `Kind`. An observed object of the set that is not among them is pruned."""
    is_closing: bool = False
    """What is not wanted goes at once: the gateway is not open to the namespace, or lets no
    wildcards through, or the policy has expired."""
    allows: tuple[Desired, ...] = ()
    """The AuthorizationPolicies that let in who comes by these objects, and the EnvoyFilters of
    their listeners: the gateway has them."""
    permits: tuple[Desired, ...] = ()
    """All AuthorizationPolicies by which the clients of a host come in at gateways, and the
    EnvoyFilters that they need there. `Desired.after` names them: they have to be there as they are
    here."""
    access: Access | None = None
    """Of the set of a gateway: how its AuthorizationPolicies and EnvoyFilters change."""

    @property
    def name(self) -> str:
        """The name that the objects have or begin with."""
        return build_set_name(self.key)

    @property
    def service_entry_key(self) -> ObjectKey:
        """Where the ServiceEntry of a host stands; of another set nothing stands there."""
        return ObjectKey(Kind.SERVICE_ENTRY, find_scope(self.key) or "", self.name)

    @property
    def virtual_service_key(self) -> ObjectKey:
        """Where the VirtualService of a host's clients stands; of another set nothing does."""
        return ObjectKey(Kind.VIRTUAL_SERVICE, find_scope(self.key) or "", self.name)


def list_keys(object_set: ObjectSet) -> set[ObjectKey]:
    """List where objects of a set stand by their names, and where it wants one.

    Its other objects are those whose `Observed.set_key` is that of the set.
    """
    keys = {desired.key for desired in object_set.objects}
    if isinstance(object_set.key, HostSet):
        named = (Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE, Kind.VIRTUAL_SERVICE)
        name = object_set.name
        keys |= {ObjectKey(kind, object_set.key.namespace, name) for kind in named}
    return keys
