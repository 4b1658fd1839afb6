"""DestinationRules: TLS that the mesh opens to the outside."""

from collections.abc import Iterable
from typing import Any

from egress_operator.istio.route import Route
from egress_operator.istio.traffic import PortIntent, TlsIntent


def build_open_spec(host: str, ports: Iterable[PortIntent]) -> dict[str, Any] | None:
    """Return the spec for a host that is reached openly; None when no port opens TLS."""
    settings = [
        {"port": {"number": port.number}, "tls": _build_origination(port.tls, "")}
        for port in ports
        if port.tls is not None
    ]
    if not settings:
        return None
    return {"exportTo": ["."], "host": host, "trafficPolicy": {"portLevelSettings": settings}}


def build_behind_spec(route: Route) -> dict[str, Any] | None:
    """Return the spec for a synthetic name; None when its port opens no TLS."""
    if route.port.tls is None:
        return None
    tenant = "" if route.hop is None else route.namespace
    return {
        "exportTo": [route.export],
        "host": route.host,
        "trafficPolicy": {"tls": _build_origination(route.port.tls, tenant)},
    }


def _build_origination(tls: TlsIntent, tenant: str) -> dict[str, Any]:
    """Return TLS to the outside.

    `sni` and `subjectAltNames` stand always together: with `sni` alone Istio checks the chain and
    not the name, so that any public certificate would do
    (pilot/pkg/networking/core/cluster_tls.go).

    `tenant`: through a gateway, the namespace whose Secrets are used; in the gateway's namespace
    they have its name before theirs, which no other namespace can have. Without it, files.
    """
    settings: dict[str, Any] = {
        "mode": "MUTUAL" if tls.certificate else "SIMPLE",
        "sni": tls.server_name,
        "subjectAltNames": list(tls.names),
    }
    if tenant:
        secret = tls.certificate or tls.ca
        return {**settings, "credentialName": f"{tenant}.{secret}"} if secret else settings
    files = {
        "caCertificates": tls.ca,
        "clientCertificate": tls.certificate,
        "privateKey": tls.key,
    }
    return {**settings, **{name: path for name, path in files.items() if path}}
