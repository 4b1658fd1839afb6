"""ServiceEntries as they are for a while: with the ports that routes still need."""

from collections.abc import Iterable
from dataclasses import replace

from egress_operator.istio.facts import Port
from egress_operator.istio.kinds import replace_spec
from egress_operator.istio.object import Desired
from egress_operator.istio.service_entry import build_port_list, needs_address


def replace_ports(desired: Desired, ports: Iterable[Port]) -> Desired:
    """Return the same ServiceEntry with other ports; an address that it has or needs is kept."""
    listed = tuple(sorted(ports))
    spec = {**desired.spec, "ports": build_port_list(listed)}
    allocate = desired.allocate or needs_address(spec, listed)
    return replace(replace_spec(desired, spec), allocate=allocate)
