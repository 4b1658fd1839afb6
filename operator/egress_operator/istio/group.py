"""A group: objects that are written together, the unit of order, settling and back-off."""

from dataclasses import dataclass

from egress_operator.istio.name import build_group_name
from egress_operator.istio.object import Desired, Kind, ObjectKey, Observed


@dataclass(frozen=True, slots=True)
class Group:
    """The objects of one host; of one tenant of a gateway; or of a gateway itself."""

    namespace: str
    """Whose plan it is of; empty for a gateway."""
    key: str
    """The host (or the synthetic name of an address), or the gateway's label: unique in the
    plan."""
    name: str
    """`build_group_name(key)`: the name that the objects have or begin with."""
    objects: tuple[Desired, ...] = ()
    """In the order of `Kind`. An observed object of the group that is not among them is pruned."""
    is_closing: bool = False
    """Permission is withdrawn: what is not wanted goes at once, authorization first."""

    @property
    def entry_key(self) -> ObjectKey:
        """Where the ServiceEntry of the host stands."""
        return ObjectKey(Kind.SERVICE_ENTRY, self.namespace, self.name)

    @property
    def route_key(self) -> ObjectKey:
        """Where the VirtualService of the host's clients stands."""
        return ObjectKey(Kind.VIRTUAL_SERVICE, self.namespace, self.name)


def build_empty_group(namespace: str, key: str) -> Group:
    """Return a group of which nothing is wanted (any more), so that it is pruned."""
    return Group(namespace, key, build_group_name(key))


def list_keys(group: Group) -> set[ObjectKey]:
    """List where objects of a group stand by their names; others are found by `is_member`."""
    named = {
        ObjectKey(kind, group.namespace, group.name)
        for kind in (Kind.SERVICE_ENTRY, Kind.DESTINATION_RULE, Kind.VIRTUAL_SERVICE)
    }
    return named | {desired.key for desired in group.objects}


def is_member(item: Observed, group: Group) -> bool:
    """Whether an object of ours is of a group: by its annotations, and by its name.

    An object of another name is a copy or was tampered with, and is left alone. In the namespace of
    a gateway names say less, because two tenants meet there.
    """
    if item.group != group.key or item.part != group.namespace:
        return False
    name = item.key.name
    return (
        item.key.namespace != group.namespace
        or item.key.kind is Kind.AUTHORIZATION_POLICY
        or name == group.name
        or name.startswith(f"{group.name}-")
    )
