"""The ServiceEntry of a host: it makes the name known to the sidecars of the policy's namespace."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from egress_operator.compiler.intent import EXTERNAL, EndpointIntent, HostIntent, PortIntent
from egress_operator.compiler.object import Port

AS_DIALLED_PROTOCOL = "TCP"


def build_ports(ports: Iterable[PortIntent], *, as_dialled: bool) -> tuple[Port, ...]:
    """Return the ports as they stand in the ServiceEntry, by number; names are unique and stable.

    `as_dialled`: the destination has no name. Then TLS is written as TCP: for a TLS port with a
    CIDR Istio matches the SNI with the ServiceEntry's host (pilot/pkg/networking/core/tls.go,
    buildSidecarOutboundTLSFilterChainOpts), which no client sends when the host is synthetic.
    """
    return tuple(
        build_port(
            port.number,
            AS_DIALLED_PROTOCOL if as_dialled else port.protocol,
            0 if port.target == port.number else port.target,
        )
        for port in sorted(ports, key=lambda port: port.number)
    )


def build_port(number: int, protocol: str, target: int) -> Port:
    """Return a port with the name that we give, such as `tls-443`. `target` 0: the same number."""
    return Port(number, protocol, f"{protocol.lower()}-{number}", target)


def build_port_list(ports: Iterable[Port]) -> list[dict[str, Any]]:
    """Return the ports as `spec.ports`, by number."""
    return [_build_port_entry(port) for port in sorted(ports)]


def build_service_entry_spec(
    host: str, settings: HostIntent, ports: tuple[Port, ...], *, as_dialled: bool
) -> dict[str, Any]:
    """Return the spec. `exportTo` is always there: Istio's default is the whole mesh."""
    spec: dict[str, Any] = {"exportTo": ["."], "hosts": [host]}
    if settings.addresses:
        spec["addresses"] = list(settings.addresses)
    spec["location"] = "MESH_EXTERNAL" if settings.location == EXTERNAL else "MESH_INTERNAL"
    spec["ports"] = build_port_list(ports)
    if as_dialled:
        spec["resolution"] = "NONE"
        return spec
    endpoints = settings.endpoints or tuple(
        EndpointIntent(address) for address in settings.addresses
    )
    if not endpoints:
        spec["resolution"] = "DNS"
        return spec
    fixed = all(_is_ip(endpoint.address) for endpoint in endpoints)
    spec["resolution"] = "STATIC" if fixed else "DNS"
    spec["endpoints"] = [_build_endpoint(endpoint) for endpoint in endpoints]
    return spec


def _build_port_entry(port: Port) -> dict[str, Any]:
    entry: dict[str, Any] = {"number": port.number, "protocol": port.protocol, "name": port.name}
    if port.target:
        entry["targetPort"] = port.target
    return entry


def _build_endpoint(endpoint: EndpointIntent) -> dict[str, Any]:
    entry = {"address": endpoint.address}
    if endpoint.locality:
        entry["locality"] = endpoint.locality
    if endpoint.service_account:
        entry["serviceAccount"] = endpoint.service_account
    return entry


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
