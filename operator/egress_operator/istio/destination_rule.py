"""DestinationRules: TLS to the outside, and the ways to a gateway as subsets of its Service."""

from collections.abc import Iterable, Mapping
from typing import Any

from egress_operator.istio.facts import Facts, Spec, build_subset_ref, read_export, read_hosts
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.route import Route
from egress_operator.istio.traffic import PortIntent, TlsIntent

API_VERSION = NETWORKING
PLURAL = "destinationrules"


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


def build_subset_spec(
    host: str, traffic: Mapping[str, Any], name: str, sni: str, export_to: tuple[str, ...]
) -> dict[str, Any]:
    """Return the spec for the way to a gateway, as one subset of its Service.

    `host` is the full name of the Service, `traffic` the gateway's settings, as Istio spells them.
    `useClientProtocol` keeps HTTP/2 for those who speak it. `export_to` is that of a
    DestinationRule for the same Service that somebody wrote by hand (without any, ours has none
    either), else `.`: Istio merges only those with equal ones, and of unequal ones the routes of
    the younger break (pilot/pkg/model/destination_rule.go, mergeDestinationRule).
    """
    pool = traffic.get("connectionPool", {})
    policy = {
        **traffic,
        "connectionPool": {**pool, "http": {**pool.get("http", {}), "useClientProtocol": True}},
        "tls": {"mode": "ISTIO_MUTUAL", "sni": sni},
    }
    return {
        **({"exportTo": list(export_to)} if export_to else {}),
        "host": host,
        "subsets": [{"name": name, "trafficPolicy": policy}],
    }


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return the subsets that a DestinationRule offers. Pure."""
    del key
    host = spec.get("host", "")
    return Facts(
        hosts=read_hosts([host] if host else []),
        refs=frozenset(
            build_subset_ref(host, subset.get("name", "")) for subset in spec.get("subsets") or ()
        ),
        export_to=read_export(spec),
    )


def _build_origination(tls: TlsIntent, tenant: str) -> dict[str, Any]:
    """Return TLS to the dependencies.

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
