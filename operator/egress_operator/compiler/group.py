"""A group: objects that are written together, the unit of order, settling and back-off."""

from dataclasses import dataclass

from egress_operator.compiler.object import Desired, Kind, ObjectKey


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
