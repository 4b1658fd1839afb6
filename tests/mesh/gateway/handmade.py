"""The objects of docs/design/gateways.md, written by hand: what the compiler has to come to.

tenant = Tenant("shop")
mesh.apply(*build_gateway_floor(), *build_tenant(tenant))
mesh.apply(*build_http(tenant, "api.example"))
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from egress_operator.istio.name import build_host_name
from testbed.client import Object
from testbed.gateway import EGRESS
from testbed.workload import Workload

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
LABEL = "shared-h5d0e771a0b1c2d3e"
SYNTHETIC = "egress.internal"
PORT = 443
"""Of the gateway's Service, and of every server."""
SELECTOR = {"istio": "egressgateway"}
REMOVED = [
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-envoy-external-address",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
]
HTTP_PORT = {"number": 80, "name": "http-80", "protocol": "HTTP"}
TLS_PORT = {"number": 443, "name": "tls-443", "protocol": "TLS"}


@dataclass(frozen=True)
class Tenant:
    """A namespace that uses a gateway."""

    namespace: str
    label: str = LABEL
    gateway: Workload = EGRESS

    @property
    def service(self) -> str:
        """The gateway's name in the mesh."""
        return f"{self.gateway.name}.{self.gateway.namespace}.svc.cluster.local"

    @property
    def domain(self) -> str:
        """The T of the page."""
        return f"{self.label}.{self.namespace}.{SYNTHETIC}"


@dataclass(frozen=True)
class Behind:
    """A host and port of a tenant, in one mode: the X of the page."""

    tenant: Tenant
    host: str
    port: Mapping[str, object]
    mode: str

    @property
    def group(self) -> str:
        """The G of the page."""
        return build_host_name(self.host)

    @property
    def number(self) -> object:
        return self.port["number"]

    @property
    def name(self) -> str:
        covered = f"{self.tenant.namespace}/{self.tenant.label}/{self.mode}"
        return f"{self.group}-{self.number}-{hashlib.sha256(covered.encode()).hexdigest()[:16]}"

    @property
    def domain(self) -> str:
        """The name under which the next proxy knows it."""
        namespace = self.tenant.namespace
        if self.mode == "direct":
            return f"{self.name}.{namespace}.direct.internal"
        if self.mode.startswith("restricted"):
            return f"{self.name}.{self.tenant.label}.{namespace}.restricted.{SYNTHETIC}"
        return f"{self.name}.{self.tenant.domain}"


def build_item(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """Build an Istio object. Pure."""
    version = SECURITY if kind == "AuthorizationPolicy" else NETWORKING
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def build_baseline(*rules: Object) -> Object:
    """Build the gateway's own AuthorizationPolicy: without rules it denies what no other allows."""
    spec = {"selector": {"matchLabels": SELECTOR}, **({"rules": list(rules)} if rules else {})}
    return build_item("AuthorizationPolicy", LABEL, EGRESS.namespace, spec)


def build_allow(tenant: Tenant, name: str, source: Object, server_names: Sequence[str]) -> Object:
    """Build an AuthorizationPolicy for a source when the SNI is one of these."""
    rule = {
        "from": [{"source": source}],
        "when": [{"key": "connection.sni", "values": list(server_names)}],
    }
    spec = {"selector": {"matchLabels": SELECTOR}, "rules": [rule]}
    return build_item("AuthorizationPolicy", name, tenant.gateway.namespace, spec)


def build_tenant(tenant: Tenant) -> list[Object]:
    """Build what a tenant has once: server, subset, permission."""
    namespace, domain = tenant.namespace, tenant.domain
    names = [domain, f"*.{domain}"]
    return [
        build_server(tenant, tenant.label, "HTTPS", names),
        build_subset(tenant, tenant.label, tenant.label, domain),
        build_allow(tenant, f"{namespace}-{tenant.label}", {"namespaces": [namespace]}, names),
    ]


def build_server(tenant: Tenant, name: str, protocol: str, names: Sequence[str]) -> Object:
    """Build a Gateway with one server."""
    server = {
        "port": {"number": PORT, "name": f"{protocol.lower()}-{PORT}", "protocol": protocol},
        "tls": {"mode": "ISTIO_MUTUAL"},
        "hosts": [f"{tenant.namespace}/{entry}" for entry in names],
    }
    return build_item(
        "Gateway", name, tenant.namespace, {"selector": SELECTOR, "servers": [server]}
    )


def build_subset(tenant: Tenant, name: str, subset: str, server_name: str) -> Object:
    """Build a DestinationRule with one subset of the gateway's Service."""
    policy = {
        "tls": {"mode": "ISTIO_MUTUAL", "sni": server_name},
        "connectionPool": {"http": {"useClientProtocol": True}},
    }
    spec = {
        "host": tenant.service,
        "exportTo": ["."],
        "subsets": [{"name": subset, "trafficPolicy": policy}],
    }
    return build_item("DestinationRule", name, tenant.namespace, spec)


def build_closed(behind: Behind, **more: object) -> Object:
    """Build the host's own ServiceEntry without endpoints: no route, no way."""
    spec = {
        "hosts": [behind.host],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [without_target(behind.port)],
        **more,
    }
    return build_item("ServiceEntry", behind.group, behind.tenant.namespace, spec)


def build_entry(behind: Behind, port: Mapping[str, object], endpoint: str = "") -> Object:
    """Build the ServiceEntry of the name behind; the endpoint is the host itself."""
    spec = {
        "hosts": [behind.domain],
        "exportTo": ["." if behind.mode == "direct" else behind.tenant.gateway.namespace],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [dict(port)],
        "endpoints": [{"address": endpoint or behind.host}],
    }
    return build_item("ServiceEntry", behind.name, behind.tenant.namespace, spec)


def build_http(
    tenant: Tenant,
    host: str,
    port: Mapping[str, object] = HTTP_PORT,
    *,
    accounts: Sequence[str] = (),
) -> list[Object]:
    """Build a host with an HTTP payload, restricted to service accounts where some are given."""
    behind = Behind(tenant, host, port, "restricted-http" if accounts else "http")
    server = behind.name if accounts else tenant.label
    objects = build_door(behind, "HTTPS", accounts) if accounts else []
    return [
        *objects,
        build_entry(behind, port),
        build_return_route(behind, server),
        build_mesh_http(behind, server),
        build_closed(behind),
    ]


def build_opaque(
    tenant: Tenant,
    host: str,
    port: Mapping[str, object] = TLS_PORT,
    *,
    accounts: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> list[Object]:
    """Build a host whose bytes nobody reads: TLS by its SNI, TCP by its address."""
    behind = Behind(tenant, host, port, "restricted-opaque" if accounts else "opaque")
    more = {"addresses": list(addresses)} if addresses else {}
    return [
        *build_door(behind, "TLS", accounts),
        build_entry(behind, {**port, "protocol": "TLS"}),
        build_return_tcp(behind),
        build_mesh_opaque(
            behind, {"host": behind.tenant.service, "subset": behind.name, "port": {"number": PORT}}
        ),
        build_closed(behind, **more),
    ]


def build_door(behind: Behind, protocol: str, accounts: Sequence[str]) -> list[Object]:
    """Build server and subset of one host alone, and who may come in."""
    tenant, name, domain = behind.tenant, behind.name, behind.domain
    principals = [f"cluster.local/ns/{tenant.namespace}/sa/{account}" for account in accounts]
    allow = [build_allow(tenant, name, {"principals": principals}, [domain])] if accounts else []
    return [
        build_server(tenant, name, protocol, [domain]),
        build_subset(tenant, f"{name}-c", name, domain),
        *allow,
    ]


def build_return_route(behind: Behind, server: str) -> Object:
    """Build the gateway's route of an HTTP payload: the host's own name again."""
    default = behind.number == 80
    rule = {
        "rewrite": {"authority": behind.host if default else f"{behind.host}:{behind.number}"},
        "headers": {"request": {"remove": REMOVED}},
        "retries": {"attempts": 0},
        "route": [{"destination": {"host": behind.domain, "port": {"number": behind.number}}}],
    }
    return build_gateway_route(behind, server, {"http": [rule]})


def build_return_tcp(behind: Behind) -> Object:
    """Build the gateway's route of opaque bytes."""
    destination = {"host": behind.domain, "port": {"number": behind.number}}
    return build_gateway_route(
        behind, behind.name, {"tcp": [{"route": [{"destination": destination}]}]}
    )


def build_gateway_route(behind: Behind, server: str, rules: Object) -> Object:
    """Build a VirtualService on one of the tenant's Gateways."""
    spec = {
        "hosts": [behind.domain],
        "gateways": [server],
        "exportTo": [behind.tenant.gateway.namespace],
        **rules,
    }
    return build_item("VirtualService", behind.name, behind.tenant.namespace, spec)


def build_mesh_http(behind: Behind, subset: str) -> Object:
    """Build the clients' route of an HTTP payload to the gateway."""
    destination = {"host": behind.tenant.service, "subset": subset, "port": {"number": PORT}}
    rule = {
        "match": [{"port": behind.number}],
        "rewrite": {"authority": behind.domain},
        "retries": {"attempts": 0},
        "route": [{"destination": destination}],
    }
    return build_mesh_route(behind, {"http": [rule]})


def build_mesh_opaque(behind: Behind, destination: Object, labels: Object | None = None) -> Object:
    """Build the clients' route of opaque bytes, for workloads with these labels."""
    is_tls = behind.port["protocol"] == "TLS"
    match = {
        "port": behind.number,
        **({"sniHosts": [behind.host]} if is_tls else {}),
        **({"sourceLabels": labels} if labels else {}),
    }
    rule = {"match": [match], "route": [{"destination": destination}]}
    return build_mesh_route(behind, {"tls" if is_tls else "tcp": [rule]})


def build_mesh_route(behind: Behind, rules: Object, *, private: bool = False) -> Object:
    """Build a VirtualService for sidecars, of the host or of its private name."""
    name, host = (behind.name, behind.domain) if private else (behind.group, behind.host)
    spec = {"hosts": [host], "gateways": ["mesh"], "exportTo": ["."], **rules}
    return build_item("VirtualService", name, behind.tenant.namespace, spec)


def build_direct_http(
    tenant: Tenant, host: str, labels: Object, port: Mapping[str, object] = HTTP_PORT
) -> list[Object]:
    """Build a host that workloads with these labels reach directly, by HTTP on port 80."""
    behind = Behind(tenant, host, port, "direct")
    denied = {"directResponse": {"status": 403, "body": {"string": "not from this workload\n"}}}
    allowed = {
        "match": [{"port": 80, "sourceLabels": labels}],
        "route": [{"destination": {"host": behind.domain, "port": {"number": 80}}}],
    }
    closing = {"match": [{"port": 80}], **denied}
    return [
        build_entry(behind, port),
        build_mesh_route(behind, {"http": [denied]}, private=True),
        build_mesh_route(behind, {"http": [allowed, closing]}),
        build_closed(behind),
    ]


def build_direct_opaque(
    tenant: Tenant,
    host: str,
    port: Mapping[str, object],
    labels: Object,
    addresses: Sequence[str] = (),
) -> list[Object]:
    """Build a host that workloads with these labels reach directly, by TLS or TCP.

    The private name is TLS on 443 whatever the payload, so no listener opens on the host's port.
    """
    behind = Behind(tenant, host, port, "direct")
    target = port.get("targetPort", port["number"])
    private = {**TLS_PORT, "targetPort": target}
    nowhere = {"host": host, "port": {"number": port["number"]}}
    close = {
        "match": [{"port": 443, "sniHosts": [behind.domain]}],
        "route": [{"destination": nowhere}],
    }
    inside = {"host": behind.domain, "port": {"number": 443}}
    more = {"addresses": list(addresses)} if addresses else {}
    return [
        build_entry(behind, private),
        build_mesh_route(behind, {"tls": [close]}, private=True),
        build_mesh_opaque(behind, inside, labels),
        build_closed(behind, **more),
    ]


def build_origination(behind: Behind, tls: Object) -> Object:
    """Build the DestinationRule that opens TLS on the way out."""
    settings = {"port": {"number": behind.number}, "tls": tls}
    spec = {
        "host": behind.domain,
        "exportTo": ["." if behind.mode == "direct" else behind.tenant.gateway.namespace],
        "trafficPolicy": {"portLevelSettings": [settings]},
    }
    return build_item("DestinationRule", behind.name, behind.tenant.namespace, spec)


def without_target(port: Mapping[str, object]) -> Object:
    """Leave out the real port: a closed host has nobody there."""
    return {key: value for key, value in port.items() if key != "targetPort"}
