"""Objects of kind Gateway: the servers by which a tenant comes into a gateway."""

from typing import Any

from egress_operator.istio.facts import NOTHING, Facts, Spec, build_gateway_ref, read_ports
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.traffic import Labels

API_VERSION = NETWORKING
PLURAL = "gateways"

_BOUND = frozenset({"bind"})

Place = tuple[Labels, int]
"""The labels of a gateway's pods, and the port of its Service."""


def build_tenant_server_spec(place: Place, namespace: str, domain: str) -> dict[str, Any]:
    """Return the spec of the server for all HTTP of a tenant: one filter chain, one pool.

    The namespace before the hosts keeps VirtualServices of other namespaces away from it.
    """
    return _build_spec(place, "HTTPS", [f"{namespace}/{domain}", f"{namespace}/*.{domain}"])


def build_host_server_spec(
    place: Place, namespace: str, host: str, *, is_http: bool
) -> dict[str, Any]:
    """Return the spec of the server for one synthetic name alone."""
    return _build_spec(place, "HTTPS" if is_http else "TLS", [f"{namespace}/{host}"])


def build_inner_server_spec(
    place: Place, namespace: str, host: str, socket: str, *, is_http: bool
) -> dict[str, Any]:
    """Return the spec of the server for what comes for a wildcard, behind a socket of the pod.

    TLS is handed on as it is, by the server name that the client sends.
    """
    protocol = "HTTP" if is_http else "TLS"
    server = {
        "bind": socket,
        "port": {"number": 0, "name": protocol.lower(), "protocol": protocol},
        "hosts": [f"{namespace}/{host}"],
        **({} if is_http else {"tls": {"mode": "PASSTHROUGH"}}),
    }
    return {"selector": dict(place[0]), "servers": [server]}


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return where a Gateway listens, and itself as what it offers to routes. Pure."""
    selector, servers = spec.get("selector") or {}, spec.get("servers") or ()
    return Facts(
        ports=read_ports(server.get("port") or {} for server in servers),
        refs=frozenset({build_gateway_ref(key)}),
        selector=tuple(sorted((str(label), str(value)) for label, value in selector.items())),
        hazards=_BOUND if any(server.get("bind") for server in servers) else NOTHING,
    )


def _build_spec(place: Place, protocol: str, hosts: list[str]) -> dict[str, Any]:
    selector, number = place
    port = {"number": number, "name": f"{protocol.lower()}-{number}", "protocol": protocol}
    return {
        "selector": dict(selector),
        "servers": [{"port": port, "hosts": hosts, "tls": {"mode": "ISTIO_MUTUAL"}}],
    }
