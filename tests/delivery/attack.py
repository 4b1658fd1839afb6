"""Every place of an object where a name may stand, and every way to spell a reserved one."""

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Place = Callable[[str], Object]
"""Makes a spec that holds the name in one place."""

NAMESPACE = "pay"
GATEWAY_SERVICE = "istio-egressgateway.istio-egress.svc.cluster.local"
TENANT = "shared-h5d0e771a0b1c2d3e.shop.egress.internal"
BEHIND = "api-example-com-h1f3a9c2d4b5e6f70-443-09bc41e2f3a4b5c6"
ISTIO = "networking.istio.io/v1"
GATEWAY_API = "gateway.networking.k8s.io/v1"
EXPERIMENTAL_API = "gateway.networking.x-k8s.io/v1alpha1"

EXACT = (
    "egress.internal",
    "direct.internal",
    "Egress.Internal",
    "EGRESS.INTERNAL",
    "egress.internal.",
    "egress.internal..",
    "direct.internal.",
    "egress.internal:443",
    TENANT,
    f"{TENANT}.",
    TENANT.upper(),
    TENANT.title(),
    TENANT.replace("internal", "iNTERNAL"),
    f"{TENANT}:443",
    f"{BEHIND}.{TENANT}",
    f"{BEHIND}.{TENANT}.",
    f"{BEHIND}.{TENANT}:80",
    f"{BEHIND}.{TENANT}.:80",
    f"{BEHIND.upper()}.{TENANT}",
    f"{BEHIND}.shared-h5d0e771a0b1c2d3e.shop.restricted.egress.internal",
    f"{BEHIND}.shop.direct.internal",
    f"{BEHIND}.shop.DIRECT.internal",
    f"{BEHIND}.shop.direct.internal.",
    "new.egress.internal",
    "a.b.c.d.e.f.direct.internal",
    "-.egress.internal",
    "_sip._tcp.egress.internal",
    "x.egress.internal\n",
    "\tx.egress.internal",
    " x.egress.internal ",
    "harmless.example.com x.egress.internal",
)
WILDCARD = (
    f"*.{TENANT}",
    f"*.{TENANT}.",
    "*.shop.egress.internal",
    "*.shop.EGRESS.internal",
    "*.restricted.egress.internal",
    "*.egress.internal",
    "*.Egress.Internal",
    "*.egress.internal.",
    "*egress.internal",
    "*ress.internal",
    "*s.internal",
    "*.direct.internal",
    "*ct.internal",
    "*.shop.direct.internal",
    "*.internal",
    "*.INTERNAL",
    "*.internal.",
    "*internal",
    "*nternal",
    "*l",
)
SPELLINGS = (*EXACT, *WILDCARD)
PREFIXED = (
    *(f"{namespace}/{name}" for namespace in ("*", ".", "shop", "pay") for name in EXACT[:4]),
    "*/*.internal",
    "./*.egress.internal",
    f"shop/*.{TENANT}",
    "pay/*.INTERNAL.",
)
NEAR = (
    "internal",
    "www.internal",
    "megress.internal",
    "xdirect.internal",
    "egress-internal",
    "egress.internals",
    "a.egress.internals",
    "egress.internal.example.com",
    "www.direct.internal.example.com",
    "egressxinternal",
    "egress.internal-a.com",
    "eu-west-1.compute.internal",
    "*.corp.internal",
    "*.xegress.internal",
    "*-egress.internal",
    "*x.internal",
    "*.local",
    "*.example.com",
    "*.net",
    "*.eternal",
    "*rnal.com",
)
"""Names that look like reserved ones and are not."""


def build_object(api_version: str, kind: str, spec: Object, name: str = "attempt") -> Object:
    """Make an object of the tenant."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def build_service_entry(**spec: object) -> Object:
    """Make an ordinary ServiceEntry with some fields replaced."""
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
    ordinary = {"hosts": ["api.example.com"], "ports": ports, "resolution": "DNS"}
    return {**ordinary, **spec}


def _destination(name: str) -> Object:
    return {"destination": {"host": name, "port": {"number": 443}}}


def _http(**rule: object) -> Object:
    return {"hosts": ["www.example.com"], "http": [{"route": [_destination("a.pay")]}, rule]}


def _headers(operation: str, header: str, name: str) -> Object:
    return {"request": {operation: {"x-first": "1", header: name}}}


def _rule(policy: Object) -> Object:
    return {"host": GATEWAY_SERVICE, "trafficPolicy": policy}


def _subset(policy: Object) -> Object:
    subsets = [{"name": "a"}, {"name": "b", "trafficPolicy": policy}]
    return {"host": GATEWAY_SERVICE, "subsets": subsets}


def _tls(**field: object) -> Object:
    return {"tls": {"mode": "ISTIO_MUTUAL", **field}}


def _port_level(**field: object) -> Object:
    return {"portLevelSettings": [{"port": {"number": 80}}, {"port": {"number": 443}, **field}]}


def _servers(*hosts: str) -> Object:
    port = {"number": 443, "name": "tls", "protocol": "TLS"}
    tls = {"mode": "ISTIO_MUTUAL"}
    servers = [
        {"port": port, "hosts": ["www.example.com"], "tls": tls},
        {"port": {**port, "name": "b"}, "hosts": list(hosts), "tls": tls},
    ]
    return {"selector": {"istio": "egressgateway"}, "servers": servers}


def _filtered(item: Object) -> Object:
    return {"rules": [{"filters": [item]}, {"backendRefs": [{"name": "a", "port": 80}]}]}


def _backend(**field: object) -> Object:
    return {"rules": [{"backendRefs": [{"name": "a"}, {"name": "b", **field}]}]}


def _hostname_backend(name: str) -> Object:
    return _backend(group="networking.istio.io", kind="Hostname", name=name, port=443)


PLACES: dict[tuple[str, str], dict[str, Place]] = {
    (ISTIO, "ServiceEntry"): {
        "hosts": lambda n: build_service_entry(hosts=["api.example.com", n]),
        "subjectAltNames": lambda n: build_service_entry(subjectAltNames=[n]),
        "endpoints": lambda n: build_service_entry(
            endpoints=[{"address": "a.com"}, {"address": n}]
        ),
    },
    (ISTIO, "VirtualService"): {
        "hosts": lambda n: {**_http(), "hosts": ["www.example.com", n]},
        "http route": lambda n: _http(route=[_destination("a.pay"), _destination(n)]),
        "http route without port": lambda n: _http(route=[{"destination": {"host": n}}]),
        "mirror": lambda n: _http(mirror={"host": n}),
        "mirrors": lambda n: _http(mirrors=[_destination("a.pay"), _destination(n)]),
        "rewrite": lambda n: _http(rewrite={"authority": n}),
        "redirect": lambda n: _http(redirect={"authority": n}),
        "headers set host": lambda n: _http(headers=_headers("set", "Host", n)),
        "headers set :authority": lambda n: _http(headers=_headers("set", ":authority", n)),
        "headers add": lambda n: _http(headers=_headers("add", "host", n)),
        "headers of a destination": lambda n: _http(
            route=[{**_destination("a.pay"), "headers": _headers("set", "host", n)}]
        ),
        "added by a destination": lambda n: _http(
            route=[{**_destination("a.pay"), "headers": _headers("add", "HOST", n)}]
        ),
        "sniHosts": lambda n: {
            "hosts": ["*"],
            "tls": [{"match": [{"sniHosts": ["a.com", n]}], "route": [_destination("a.pay")]}],
        },
        "tls route": lambda n: {
            "hosts": ["*"],
            "tls": [{"match": [{"sniHosts": ["a.com"]}], "route": [_destination(n)]}],
        },
        "tcp route": lambda n: {
            "hosts": ["*"],
            "gateways": ["mine"],
            "tcp": [{"route": [_destination("a.pay")]}, {"route": [_destination(n)]}],
        },
    },
    (ISTIO, "DestinationRule"): {
        "host": lambda n: {"host": n},
        "sni": lambda n: _rule(_tls(sni=n)),
        "subjectAltNames": lambda n: _rule(_tls(subjectAltNames=["a.com", n])),
        "sni of a port": lambda n: _rule(_port_level(**_tls(sni=n))),
        "subjectAltNames of a port": lambda n: _rule(_port_level(**_tls(subjectAltNames=[n]))),
        "tunnel": lambda n: _rule({"tunnel": {"targetHost": n, "targetPort": 443}}),
        "sni of a subset": lambda n: _subset(_tls(sni=n)),
        "subjectAltNames of a subset": lambda n: _subset(_tls(subjectAltNames=[n])),
        "sni of a subset's port": lambda n: _subset(_port_level(**_tls(sni=n))),
        "tunnel of a subset": lambda n: _subset({"tunnel": {"targetHost": n, "targetPort": 443}}),
    },
    (ISTIO, "Gateway"): {"hosts": lambda n: _servers("a.com", n)},
    (ISTIO, "WorkloadEntry"): {"address": lambda n: {"address": n}},
    (ISTIO, "WorkloadGroup"): {"address": lambda n: {"template": {"address": n}}},
    (GATEWAY_API, "Gateway"): {"listeners": lambda n: {"listeners": [{"hostname": n}]}},
    (GATEWAY_API, "ListenerSet"): {"listeners": lambda n: {"listeners": [{"hostname": n}]}},
    (GATEWAY_API, "HTTPRoute"): {
        "hostnames": lambda n: {"hostnames": ["a.com", n], "rules": []},
        "backend": _hostname_backend,
        "mirror": lambda n: _filtered({"requestMirror": {"backendRef": {"name": n}}}),
        "rewrite": lambda n: _filtered({"urlRewrite": {"hostname": n}}),
        "redirect": lambda n: _filtered({"requestRedirect": {"hostname": n}}),
        "headers set": lambda n: _filtered(
            {"requestHeaderModifier": {"set": [{"name": "Host", "value": n}]}}
        ),
        "headers of a backend": lambda n: _backend(
            filters=[{"requestHeaderModifier": {"add": [{"name": "Host", "value": n}]}}]
        ),
    },
    (GATEWAY_API, "GRPCRoute"): {
        "hostnames": lambda n: {"hostnames": [n]},
        "backend": _hostname_backend,
    },
    (GATEWAY_API, "TLSRoute"): {
        "hostnames": lambda n: {"hostnames": [n]},
        "backend": _hostname_backend,
    },
    (GATEWAY_API, "TCPRoute"): {"backend": _hostname_backend},
    (GATEWAY_API, "UDPRoute"): {"backend": _hostname_backend},
    (GATEWAY_API, "BackendTLSPolicy"): {
        "hostname": lambda n: {"validation": {"hostname": n}},
        "subjectAltNames": lambda n: {
            "validation": {"hostname": "a.com", "subjectAltNames": [{"hostname": n}]}
        },
    },
    (EXPERIMENTAL_API, "XListenerSet"): {"listeners": lambda n: {"listeners": [{"hostname": n}]}},
    (EXPERIMENTAL_API, "XBackend"): {
        "hostname": lambda n: {"externalHostname": {"hostname": n}},
        "server's name": lambda n: {"tls": {"validation": {"hostname": n}}},
    },
}
"""Where any spelling may stand; Sidecar and Service have rules of their own."""
