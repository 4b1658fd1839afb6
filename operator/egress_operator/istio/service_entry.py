"""The ServiceEntry of a host: it makes the name known to the sidecars of the policy's namespace.

Every endpoint that is a name is written out, with a dot at the end. Proxies resolve names as any
program of their pod does: a name with less than five dots is first looked for under the domains of
the cluster (`api.example.com.shop.svc.cluster.local`), unless it ends with a dot.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from egress_operator.istio.facts import (
    NOTHING,
    Facts,
    Port,
    Spec,
    read_export,
    read_hosts,
    read_ports,
    share_port,
)
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.route import PRIVATE_PORT, Route
from egress_operator.istio.traffic import (
    EXTERNAL,
    HTTP_LIKE,
    OPAQUE_TLS,
    BackendIntent,
    EndpointIntent,
    HostIntent,
    PortIntent,
)
from egress_operator.istio.upstream import Upstream
from egress_operator.istio.wildcard import is_wildcard

API_VERSION = NETWORKING
PLURAL = "serviceentries"
AS_DIALLED_PROTOCOL = "TCP"
DYNAMIC = "DYNAMIC_DNS"
SOCKET = "unix:"
"""Begins the address of an endpoint that is a socket of the pod that dials."""


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
    return share_port(number, protocol, f"{protocol.lower()}-{number}", target)


def build_port_list(ports: Iterable[Port]) -> list[dict[str, Any]]:
    """Return the ports as `spec.ports`, by number."""
    return [_build_port_entry(port) for port in sorted(ports)]


def build_service_entry_spec(
    host: str, settings: HostIntent, ports: tuple[Port, ...], *, resolves: bool
) -> dict[str, Any]:
    """Return the spec. `exportTo` is always there: Istio's default is the whole mesh.

    `resolves`: whether the proxy looks for the address; else it takes the one that was dialled.
    """
    spec: dict[str, Any] = {"exportTo": ["."], "hosts": [host]}
    if settings.addresses:
        spec["addresses"] = list(settings.addresses)
    spec["location"] = build_location(settings)
    spec["ports"] = build_port_list(ports)
    if not resolves:
        spec["resolution"] = "NONE"
        return spec
    return spec | _build_resolution(host, settings, Upstream("", host, settings.backends))


def close_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a ServiceEntry without endpoints, which leads nowhere by itself.

    The sidecars know the host and its ports, and resolve nothing. Without a route the answer is
    503 or a reset, also in a mesh that lets unknown hosts through.
    """
    kept = {name: value for name, value in spec.items() if name != "endpoints"}
    return {**kept, "resolution": "STATIC"}


def build_behind_spec(
    host: str, settings: HostIntent, route: Route, upstream: Upstream
) -> dict[str, Any]:
    """Return the spec of the ServiceEntry of a synthetic name: where the host really is.

    It is shown to those alone who dial: the gateway's namespace, or, when the sidecar dials, the
    policy's own.
    """
    target = 0 if route.port.target == route.number else route.port.target
    port = build_port(route.number, route.protocol, target)
    return {
        "exportTo": [route.export],
        "hosts": [upstream.host],
        "location": build_location(settings),
        "ports": build_port_list((port,)),
    } | _build_resolution(host, settings, upstream)


def build_socket_spec(route: Route) -> dict[str, Any]:
    """Return the spec of the ServiceEntry of a synthetic name that leads to a socket of the pod."""
    return {
        "exportTo": [route.export],
        "hosts": [route.host],
        "location": "MESH_EXTERNAL",
        "ports": build_port_list((build_port(PRIVATE_PORT, OPAQUE_TLS, 0),)),
        "resolution": "STATIC",
        "endpoints": [{"address": route.socket}],
    }


def build_location(settings: HostIntent) -> str:
    """Return the location as Istio spells it."""
    return "MESH_EXTERNAL" if settings.location == EXTERNAL else "MESH_INTERNAL"


def _build_resolution(host: str, settings: HostIntent, upstream: Upstream) -> dict[str, Any]:
    if is_wildcard(host):
        return {"resolution": DYNAMIC}
    own = tuple(EndpointIntent(address) for address in settings.addresses or (host,))
    backends = upstream.backends or (BackendIntent("", own),)
    fixed = all(_is_ip(endpoint.address) for backend in backends for endpoint in backend.endpoints)
    return {
        "resolution": "STATIC" if fixed else "DNS",
        "endpoints": [
            _build_endpoint(endpoint, upstream.find_labels(place))
            for place, backend in enumerate(backends)
            for endpoint in backend.endpoints
        ],
    }


def needs_address(spec: Mapping[str, Any], ports: Iterable[Port]) -> bool:
    """Whether a ServiceEntry with this spec and these ports needs an address that istiod allocates.

    It does when a port is told apart by address alone and there is none, and when the host leads
    elsewhere, because then its name need not be in any name server. Everywhere else an allocated
    address would only take the host's other ports away: the name resolves to it in proxies that
    resolve names, and nobody listens there on a port that the ServiceEntry does not have
    (pilot/pkg/networking/serviceentry/ip_autoallocation.go, pkg/dns/server/name_table.go).
    """
    if "addresses" in spec:
        return False
    by_name = {*HTTP_LIKE, OPAQUE_TLS}
    (host,) = spec["hosts"]
    own = _build_absolute(host)
    return any(endpoint["address"] != own for endpoint in spec.get("endpoints", ())) or any(
        port.protocol not in by_name for port in ports
    )


def is_closed(spec: Spec) -> bool:
    """Whether the ServiceEntry with this spec leads nowhere by itself."""
    return spec.get("resolution") == "STATIC" and not (
        spec.get("endpoints") or spec.get("workloadSelector")
    )


def _is_dynamic(spec: Spec, ports: Iterable[Port]) -> bool:
    """Whether it leads requests to any host and port that a client names, below a wildcard."""
    return spec.get("resolution") == DYNAMIC and any(port.protocol in HTTP_LIKE for port in ports)


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return what a ServiceEntry offers. Pure."""
    del key
    hosts, ports = spec.get("hosts") or (), read_ports(spec.get("ports") or ())
    return Facts(
        hosts=read_hosts(hosts),
        ports=ports,
        refs=frozenset(filter(None, map(find_gateway_label, hosts))) or NOTHING,
        export_to=read_export(spec),
        is_closed=is_closed(spec),
        is_dynamic=_is_dynamic(spec, ports),
        hazards=frozenset(_list_hazards(spec)) or NOTHING,
    )


def _list_hazards(spec: Spec) -> Iterator[str]:
    if spec.get("addresses"):
        yield "addresses"
    for endpoint in spec.get("endpoints") or ():
        if str(endpoint.get("address", "")).strip().lower().startswith(SOCKET):
            yield "endpoints"


def _build_port_entry(port: Port) -> dict[str, Any]:
    entry: dict[str, Any] = {"number": port.number, "protocol": port.protocol, "name": port.name}
    if port.target:
        entry["targetPort"] = port.target
    return entry


def _build_endpoint(endpoint: EndpointIntent, labels: Mapping[str, str]) -> dict[str, Any]:
    address = endpoint.address
    entry: dict[str, Any] = {"address": address if _is_ip(address) else _build_absolute(address)}
    if labels:
        entry["labels"] = dict(labels)
    if endpoint.locality:
        entry["locality"] = endpoint.locality
    if endpoint.service_account:
        entry["serviceAccount"] = endpoint.service_account
    return entry


def _build_absolute(name: str) -> str:
    """Return the name as no resolver completes it."""
    return f"{name}."


def _is_ip(address: str) -> bool:
    if ":" not in address and not address[-1:].isdigit():
        # Names are many, and an exception for each costs more than all else of their specs.
        return False
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
