"""What crosses the border of a namespace, row by row: an object, and at which level it is refused.

Every field that names, binds, selects, or reads a file or a socket has a row, with its spellings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from delivery.admission import COMPATIBLE, OUR_NAME, STRICT, build_ours
from delivery.attack import (
    EXPERIMENTAL_API,
    GATEWAY_API,
    GATEWAY_SERVICE,
    ISTIO,
    TENANT,
    build_object,
    build_service_entry,
)

Object = dict[str, Any]

HOME = {"exportTo": ["."]}
OUTSIDE_HOST = "api.example.com"
OWN_SERVICE = "reviews.pay.svc.cluster.local"
ABROAD: Mapping[str, Object] = {
    "without exportTo": {},
    "exportTo empty": {"exportTo": []},
    "exportTo *": {"exportTo": ["*"]},
    "exportTo another": {"exportTo": ["shop"]},
    "exportTo several": {"exportTo": [".", "pay", "shop"]},
    "exportTo all and none": {"exportTo": ["~", "*"]},
    "exportTo a blank": {"exportTo": [". "]},
}
AT_HOME: Mapping[str, Object] = {
    "exportTo .": {"exportTo": ["."]},
    "exportTo its own": {"exportTo": ["pay"]},
    "exportTo none": {"exportTo": ["~"]},
    "exportTo several of its own": {"exportTo": [".", "pay", "~"]},
}
SOCKETS = (
    "unix:///var/run/secrets/workload-spiffe-uds/socket",
    "unix://@abstract",
    "UNIX:///run/a",
    "Unix:///run/a",
    " unix:///run/a",
    "\tunix:///run/a ",
    "\nunix:///run/a",
    "unix:/run/a",
)
OURS: Object = {"istio": "egressgateway", "app": "egress"}
"""The labels of the gateway that `build_gateway` makes."""
MAY_SELECT: Mapping[str, Object] = {
    "all of its labels": OURS,
    "one of its labels": {"istio": "egressgateway"},
    "its other label": {"app": "egress"},
    "a label more": {"istio": "egressgateway", "team": "pay"},
    "all and a label more": {**OURS, "pod-template-hash": "5d9c7b8f6"},
    "no label": {},
}
FOREIGN_LABEL: Object = {"pod-template-hash": "5d9c7b8f6"}
CONTRADICTING: Mapping[str, Object] = {
    "other value": {"istio": "ingressgateway"},
    "one of both has another": {"istio": "egressgateway", "app": "web"},
    "another and a label more": {"app": "web", "team": "pay"},
}
BINDS = (
    "0.0.0.0",  # noqa: S104 - nobody gets it
    "192.0.2.1",
    "::",
    "unix:///run/a",
    "unix://@any-example-com-h47287a8f16ec75e6-80-658aeeb5924a9340",
    " ",
)
SERVER: Object = {
    "port": {"number": 443, "name": "a", "protocol": "HTTPS"},
    "tls": {"mode": "ISTIO_MUTUAL"},
    "hosts": ["a.example.com"],
}
TLS_FIELDS: Mapping[str, object] = {
    "caCertificates": "/no/such/file",
    "caCrl": "/no/such/file",
    "credentialName": "missing",
    "credentialNames": ["missing"],
    "caCertCredentialName": "missing",
    "privateKey": "/no/such/file",
    "serverCertificate": "/no/such/file",
    "tlsCertificates": [{"privateKey": "/no/such/file", "serverCertificate": "/no/such/file"}],
    "httpsRedirect": True,
    "verifyCertificateSpki": ["a"],
    "verifyCertificateHash": ["a"],
    "insecureSkipVerify": True,
}


@dataclass(frozen=True)
class Crossing:
    """An object, from which level it is refused, and words of the message: the field, the fix."""

    name: str
    item: Object
    words: tuple[str, ...]
    level: str = COMPATIBLE
    """Compatible: refused at both."""

    def at(self, version: str) -> Object:
        """Return the object in another version of its group."""
        group = self.item["apiVersion"].partition("/")[0]
        return {**self.item, "apiVersion": f"{group}/{version}"}


def list_crossings() -> list[Crossing]:
    """List every attack; the words are those of the level named, or of one of both policies."""
    return [
        *_list_entries(),
        *_list_virtual_services(),
        *_list_destination_rules(),
        *_list_files(),
        *_list_headers(),
        *_list_unusable(),
        *_list_routes(),
        *_list_gateways(),
        *_list_workloads(),
        *_list_others(),
    ]


def list_harmless() -> dict[str, Object]:
    """List what every level lets through: it stays at home, or is about the tenant's own."""
    found = {f"{kind} {name}": item for kind, name, item in _list_at_home()}
    for name, selector in CONTRADICTING.items():
        server = {**SERVER, "tls": {"mode": "SIMPLE", "credentialName": "shop.example"}}
        found[f"Gateway {name}"] = build_istio_gateway(selector, server)
    found["Gateway for everything"] = build_istio_gateway(
        {"istio": "ingressgateway"}, {**SERVER, "hosts": ["*/*"]}
    )
    own = {"exportTo": ["*"], "hosts": [OWN_SERVICE, "ratings.pay.svc"]}
    for protocol in ("HTTP", "http2", "GRPC", "GRPC-Web"):
        ports = [{"number": 443, "name": "a", "protocol": protocol}]
        found[f"ServiceEntry for its own Service, {protocol}"] = _entry(**own, ports=ports)
    for host in (
        "reviews",
        "reviews.pay.svc",
        OWN_SERVICE,
        "*.pay.svc.cluster.local",
        "*.reviews.pay.svc.cluster.local",
        "reviews-0.reviews.pay.svc.cluster.local",
        "reviews.pay.svc.clusterset.local",
    ):
        found[f"VirtualService for {host}"] = _service([host])
        found[f"DestinationRule for {host}"] = _rule(host)
    found["VirtualService that is a delegate"] = _service([])
    found["TCPRoute at a Gateway"] = build_object(
        GATEWAY_API, "TCPRoute", {"parentRefs": [{"name": "web"}], "rules": [{"backendRefs": []}]}
    )
    command = {"x-a": "%START_TIME%"}
    found["VirtualService with a command at its own Gateway"] = _service(
        [OUTSIDE_HOST],
        gateways=["web"],
        http=[
            {
                "route": [{"destination": {"host": OWN_SERVICE}}],
                "headers": {"request": {"set": command}},
            }
        ],
    )
    for gateway in ("web", "./web", "pay/web", "pay/web.v1"):
        found[f"VirtualService at {gateway}"] = _service(["*.example.com"], gateways=[gateway])
    at_own: Object = {"gateways": ["web"], "tls": [_tls_route(OUTSIDE_HOST)], "http": []}
    found["VirtualService for TLS at its own Gateway"] = _service([OUTSIDE_HOST], **at_own)
    found["DestinationRule for its own pods"] = _rule(
        OUTSIDE_HOST, workloadSelector={"matchLabels": {"app": "a"}}
    )
    for address in ("vm1.example.com", "10.1.2.3.example.com", "010.1.2.3"):
        item = build_object(ISTIO, "WorkloadEntry", {"address": address})
        found[f"WorkloadEntry {address}"] = item
    found["WorkloadEntry of a network"] = build_object(ISTIO, "WorkloadEntry", {"network": "vm"})
    template = {"template": {"address": "10.1.2.3"}}
    found["WorkloadGroup"] = build_object(ISTIO, "WorkloadGroup", template)
    listener: Object = {"hostname": OUTSIDE_HOST, "port": 443, "protocol": "TLS"}
    found["Gateway of the Gateway API"] = build_object(
        GATEWAY_API,
        "Gateway",
        {"listeners": [listener], "addresses": [{"value": "web.pay.svc.cluster.local"}]},
    )
    return found


def build_istio_gateway(selector: Object, *servers: Object) -> Object:
    """Make a Gateway of Istio's with this selector; no label: without one."""
    spec: Object = {"servers": list(servers)}
    if selector:
        spec["selector"] = selector
    return build_object(ISTIO, "Gateway", spec)


def _entry(**spec: object) -> Object:
    return build_object(ISTIO, "ServiceEntry", build_service_entry(**spec))


def _service(hosts: list[str], **spec: object) -> Object:
    route = {"destination": {"host": "reviews"}}
    return build_object(
        ISTIO, "VirtualService", {"hosts": hosts, "http": [{"route": [route]}], **spec}
    )


def _rule(host: str, **spec: object) -> Object:
    return build_object(ISTIO, "DestinationRule", {"host": host, **spec})


def _tls_route(host: str) -> Object:
    route = {"destination": {"host": "reviews", "port": {"number": 443}}}
    return {"match": [{"sniHosts": [host]}], "route": [route]}


def _list_at_home() -> Iterator[tuple[str, str, Object]]:
    for name, home in AT_HOME.items():
        addresses = {"addresses": ["192.0.2.7"], "resolution": "STATIC"}
        yield "ServiceEntry", name, _entry(**addresses, **home)
        yield "VirtualService", name, _service([OUTSIDE_HOST], **home)
        tls = {"mode": "MUTUAL", "credentialName": "bank"}
        yield "DestinationRule", name, _rule(OUTSIDE_HOST, trafficPolicy={"tls": tls}, **home)


def _list_entries() -> Iterator[Crossing]:
    fix = ('set exportTo: ["."]',)
    for name, abroad in ABROAD.items():
        yield Crossing(f"ServiceEntry {name}", _entry(**abroad), fix, STRICT)
    addresses = {"addresses": ["192.0.2.7"], "resolution": "STATIC"}
    yield Crossing("ServiceEntry addresses", _entry(**addresses), fix, STRICT)
    own = {"hosts": [OWN_SERVICE]}
    yield Crossing("addresses of an own Service", _entry(**own, **addresses), fix, STRICT)
    hosts = {
        "short": ["reviews"],
        "of another namespace": ["cart.shop.svc.cluster.local"],
        "of a pod": ["web-0.reviews.pay.svc.cluster.local"],
        "wildcard": ["*.pay.svc.cluster.local"],
        "upper case": ["Reviews.pay.svc.cluster.local"],
        "upper case namespace": ["reviews.PAY.svc.cluster.local"],
        "a dot": [f"{OWN_SERVICE}."],
        "of another domain": ["reviews.pay.svc.example.com"],
        "any dot": ["reviewsxpay.svc.cluster.local"],
        "two lines": [f"{OWN_SERVICE}\napi.example.com"],
        "beside its own": [OWN_SERVICE, OUTSIDE_HOST],
    }
    for name, found in hosts.items():
        yield Crossing(f"ServiceEntry host {name}", _entry(hosts=found), fix, STRICT)
    for protocol in ("TCP", "tcp", "TLS", "HTTPS", "MONGO", "MYSQL", "UDP", "", "HTTP_PROXY"):
        ports = [{"number": 443, "name": "a", "protocol": protocol}]
        item = _entry(**own, ports=ports, resolution="STATIC")
        yield Crossing(f"own Service, {protocol or 'no protocol'}", item, fix, STRICT)
    item = _entry(**own, resolution="NONE", workloadSelector={"labels": {"app": "a"}})
    yield Crossing("own Service by workloads", item, fix, STRICT)
    ports = [{"number": number, "name": f"a{number}", "protocol": "HTTP"} for number in (80, 81)]
    ports[-1]["protocol"] = "TCP"
    yield Crossing("own Service, two ports", _entry(**own, ports=ports), fix, STRICT)
    for address in SOCKETS:
        item = _entry(endpoints=[{"address": "192.0.2.7"}, {"address": address}])
        words = ("is a socket of every pod", *fix)
        yield Crossing(f"ServiceEntry endpoint {address!r}", item, words)
        item = {**item, "spec": {**item["spec"], **HOME}}
        yield Crossing(f"ServiceEntry endpoint {address!r} at home", item, words, STRICT)
    yield from _list_names_of_service()
    words = ("exportTo names istio-egress", *fix)
    for targets in (["istio-egress"], [".", "istio-egress"], ["istio-egress", "*"]):
        yield Crossing(f"ServiceEntry to {targets}", _entry(exportTo=targets), words)
    item = _entry(hosts=[OUTSIDE_HOST, TENANT], **HOME)
    yield Crossing("ServiceEntry reserved", item, (f"{TENANT} is reserved",))


def _list_names_of_service() -> Iterator[Crossing]:
    words = ("is the Service of the EgressGateway shared",)
    for host in (GATEWAY_SERVICE, GATEWAY_SERVICE.title(), f"{GATEWAY_SERVICE}."):
        yield Crossing(f"ServiceEntry {host}", _entry(hosts=[host], **HOME), words)
    for address in (GATEWAY_SERVICE, GATEWAY_SERVICE.upper(), f"{GATEWAY_SERVICE}."):
        addresses = [{"type": "Hostname", "value": "web.pay.svc.cluster.local"}, {"value": address}]
        spec = {"listeners": [{"port": 443, "protocol": "HTTP"}], "addresses": addresses}
        item = build_object(GATEWAY_API, "Gateway", spec)
        yield Crossing(f"Gateway API address {address}", item, words)


def _list_virtual_services() -> Iterator[Crossing]:
    fix = ('set exportTo: ["."]',)
    for name, abroad in ABROAD.items():
        yield Crossing(f"VirtualService {name}", _service([OUTSIDE_HOST], **abroad), fix, STRICT)
    for gateway in (
        "shop/web",
        "web.shop",
        "web.shop.svc.cluster.local",
        "istio-ingress/public",
        "*/web",
        "mesh",
        " mesh",
        "/web",
    ):
        item = _service(["*"], gateways=["web", gateway])
        cause = f"gateways names {gateway}, a Gateway of another namespace: ask the platform team"
        if gateway == "mesh":
            cause = "remove mesh from gateways, and write the route for calls inside the mesh apart"
        # A name with a blank is nobody's: Istio looks for a Gateway of this namespace.
        if gateway != " mesh":
            yield Crossing(f"VirtualService at {gateway}", item, (cause,), STRICT)
    specs: dict[str, Object] = {
        "tcp": {"tcp": [{"route": [{"destination": {"host": "reviews"}}]}]},
        "tcp by address": {
            "tcp": [
                {
                    "match": [{"destinationSubnets": ["192.0.2.7"]}],
                    "route": [{"destination": {"host": "reviews"}}],
                }
            ]
        },
        "tls": {"tls": [_tls_route(OUTSIDE_HOST)]},
    }
    for name, spec in specs.items():
        item = _service([OWN_SERVICE], **spec)
        yield Crossing(f"VirtualService for its own, {name}", item, fix, STRICT)
    for hosts in (
        ["*"],
        ["*.svc.cluster.local"],
        ["*pay.svc.cluster.local"],
        ["*.shop.svc.cluster.local"],
        ["pay.svc.cluster.local"],
        ["reviews.pay.svc.clusterset.local.example.com"],
        ["Reviews"],
        ["reviews", OUTSIDE_HOST],
        ["reviews.pay", OUTSIDE_HOST],
        ["cart.shop.svc.cluster.local"],
        ["reviews.shop"],
    ):
        yield Crossing(f"VirtualService for {hosts}", _service(hosts), fix, STRICT)
    half = ("write reviews, or reviews.pay.svc.cluster.local",)
    yield Crossing("VirtualService for half a name", _service(["reviews.pay"]), half, STRICT)
    yield Crossing("DestinationRule for half a name", _rule("reviews.pay"), half, STRICT)
    words = ("exportTo names istio-egress", *fix)
    item = _service([OUTSIDE_HOST], exportTo=[".", "istio-egress"])
    yield Crossing("VirtualService to istio-egress", item, words)
    yield from _list_own_gateways_of_ours()
    for header in ("host", "Host", "HOST", ":authority"):
        for operation in ("set", "add"):
            headers = {"request": {operation: {header: TENANT}}}
            item = _service(["web"], http=[{"headers": headers}], **HOME)
            yield Crossing(f"VirtualService {operation} {header}", item, (f"{TENANT} is reserved",))


def _list_own_gateways_of_ours() -> Iterator[Crossing]:
    for gateway in (
        OUR_NAME,
        f"shop/{OUR_NAME}",
        f"./{OUR_NAME}",
        f"istio-egress/{OUR_NAME}",
        f"{OUR_NAME}.shop",
        f"{OUR_NAME}-443-3107f64f8374da8f",
        f"shop/{OUR_NAME}-443-3107f64f8374da8f",
        f"{OUR_NAME}-80-3107f64f8374da8f-in",
        f"shop/{OUR_NAME}-80-3107f64f8374da8f-in",
    ):
        item = _service(["*"], gateways=["mine", gateway], **HOME)
        words = (f"the Gateway {gateway} is egress-operator's own",)
        yield Crossing(f"VirtualService at {gateway}", item, words)


def _list_destination_rules() -> Iterator[Crossing]:
    fix = ('set exportTo: ["."]',)
    for name, abroad in ABROAD.items():
        yield Crossing(f"DestinationRule {name}", _rule(OUTSIDE_HOST, **abroad), fix, STRICT)
    for host in (
        "*",
        "*.local",
        "*.svc.cluster.local",
        "*.shop.svc.cluster.local",
        "reviews.shop",
        "Reviews",
        GATEWAY_SERVICE,
        f"{OWN_SERVICE}.",
    ):
        yield Crossing(f"DestinationRule for {host}", _rule(host), fix, STRICT)
    words = ("exportTo names istio-egress", *fix)
    item = _rule(OUTSIDE_HOST, exportTo=["istio-egress"])
    yield Crossing("DestinationRule to istio-egress", item, words)
    tls = {"mode": "MUTUAL", "credentialName": "shop.bank"}
    words = ("the Secret shop.bank", *fix)
    for host in (OUTSIDE_HOST, OWN_SERVICE):
        item = _rule(host, trafficPolicy={"tls": tls}, exportTo=["*"])
        yield Crossing(f"DestinationRule with a Secret for {host}", item, words)
    tls = {"mode": "ISTIO_MUTUAL", "sni": TENANT}
    item = _rule(GATEWAY_SERVICE, subsets=[{"name": "a", "trafficPolicy": {"tls": tls}}], **HOME)
    yield Crossing("DestinationRule reserved", item, (f"{TENANT} is reserved",))


def _list_files() -> Iterator[Crossing]:
    for field in ("clientCertificate", "privateKey", "caCertificates", "caCrl"):
        policy = {"tls": {"mode": "SIMPLE", field: "/dev/zero"}}
        by_port = {"portLevelSettings": [{"port": {"number": 443}, **policy}]}
        specs: dict[str, Object] = {
            "": {"trafficPolicy": policy},
            "portLevelSettings": {"trafficPolicy": by_port},
            "subsets": {"subsets": [{"name": "a", "trafficPolicy": policy}]},
            "subsets, portLevelSettings": {"subsets": [{"name": "a", "trafficPolicy": by_port}]},
        }
        for name, spec in specs.items():
            start = "subsets.trafficPolicy" if "subsets" in spec else "trafficPolicy"
            path = f"{start}.portLevelSettings" if "portLevelSettings" in name else start
            words = (f"pay/attempt: {path}.tls.{field} /dev/zero: every proxy that sees",)
            item = _rule(OWN_SERVICE, **spec)
            yield Crossing(f"DestinationRule {field} {name}", item, words, STRICT)


def _list_headers() -> Iterator[Crossing]:
    value = "%NOT_A_COMMAND%"
    words = (f"the header x-a has the value {value}: values with % are commands of Envoy",)
    for direction in ("request", "response"):
        for operation in ("set", "add"):
            headers = {direction: {operation: {"x-a": value}}}
            name = f"VirtualService, {direction} {operation} with a command"
            route = {"route": [{"destination": {"host": OWN_SERVICE}}]}
            item = _service([OWN_SERVICE], http=[{**route, "headers": headers}])
            yield Crossing(name, item, words, STRICT)
            inner = {"route": [{"destination": {"host": OWN_SERVICE}, "headers": headers}]}
            item = _service([], http=[inner])
            yield Crossing(f"{name} of a delegate", item, words, STRICT)
    for header in ("Host", ":path"):
        rule = {**route, "headers": {"request": {"remove": ["x-a", header]}}}
        item = _service([OWN_SERVICE], http=[rule])
        words = (f"headers.remove names {header.lower()}: Envoy refuses",)
        yield Crossing(f"VirtualService without {header}", item, words, STRICT)


BREAK = "a\nb"
LONG_NAME, LONG_VALUE = "a" * 257, "a" * 4097


def _list_unusable() -> Iterator[Crossing]:
    """List what sidecars refuse with all routes of a port, though istiod's webhook takes it."""
    route = {"route": [{"destination": {"host": OWN_SERVICE}}]}
    heavy = {"destination": {"host": OWN_SERVICE}, "weight": 2147483647}
    fields = {
        "rewrite.uri": {**route, "rewrite": {"uri": f"/{BREAK}"}},
        "rewrite.authority": {**route, "rewrite": {"authority": BREAK}},
        "rewrite.uriRegexRewrite.rewrite": {
            **route,
            "rewrite": {"uriRegexRewrite": {"match": "/a", "rewrite": BREAK}},
        },
        "redirect.uri": {"redirect": {"uri": f"/{BREAK}"}},
        "redirect.authority": {"redirect": {"authority": BREAK}},
        "directResponse.status": {"directResponse": {"status": 600}},
        "fault.abort.httpStatus": {
            **route,
            "fault": {"abort": {"httpStatus": 600, "percentage": {"value": 1}}},
        },
        "the weights": {"route": [heavy, heavy, heavy]},
        "match.queryParams": {**route, "match": [{"queryParams": {"": {"exact": "a"}}}]},
        "headers.remove": {**route, "headers": {"request": {"remove": [BREAK]}}},
    }
    for direction in ("request", "response"):
        for operation in ("set", "add"):
            headers = {direction: {operation: {BREAK: "a"}}}
            name = f"headers.{direction}.{operation}"
            fields[name] = {**route, "headers": headers}
            inner = {"destination": {"host": OWN_SERVICE}, "headers": headers}
            item = _service([], http=[{"route": [inner]}])
            yield Crossing(f"{name} of a delegate with a line break", item, (name,), STRICT)
    refused = "Envoy refuses that for the routes of every namespace"
    for name, rule in fields.items():
        item = _service([OWN_SERVICE], http=[rule])
        yield Crossing(f"{name} with what Envoy refuses", item, (name, refused), STRICT)
    long: dict[str, Object] = {
        "a value in headers.request.set": {"headers": {"request": {"set": {"a": LONG_VALUE}}}},
        "a value in headers.response.add": {"headers": {"response": {"add": {"a": LONG_VALUE}}}},
        "a name in headers.request.set": {"headers": {"request": {"set": {LONG_NAME: "a"}}}},
        "a name in match.queryParams": {"match": [{"queryParams": {LONG_NAME: {"exact": "a"}}}]},
        "redirect.redirectCode": {"redirect": {"redirectCode": 309}},
    }
    for name, rule in long.items():
        base = {} if "redirect" in rule else route
        item = _service([OWN_SERVICE], http=[{**base, **rule}])
        yield Crossing(f"{name} beyond what Envoy takes", item, (name, refused), STRICT)
    item = _service([OWN_SERVICE], http=[{"directResponse": {"status": 199}}])
    words = ("pay/attempt: directResponse.status", refused)
    yield Crossing("directResponse.status below what Envoy takes", item, words, STRICT)
    for name in ("httpHeaderName", "httpQueryParameterName"):
        for value in ("", BREAK):
            policy = {"loadBalancer": {"consistentHash": {name: value}}}
            by_port = {"portLevelSettings": [{"port": {"number": 80}, **policy}]}
            specs: dict[str, Object] = {
                "": {"trafficPolicy": policy},
                "portLevelSettings": {"trafficPolicy": by_port},
                "subsets": {"subsets": [{"name": "a", "trafficPolicy": policy}]},
            }
            for place, spec in specs.items():
                title = f"{name} {place} {value!r}"
                found = (f"consistentHash.{name} is empty, has a control character",)
                yield Crossing(title, _rule(OWN_SERVICE, **spec), found, STRICT)
    cookies: dict[str, Object] = {
        "name": {"name": BREAK, "ttl": "0s"},
        "path": {"name": "a", "path": BREAK, "ttl": "0s"},
        "ttl": {"name": "a", "ttl": "-5s"},
        "attributes": {"name": "a", "ttl": "0s", "attributes": [{"name": BREAK, "value": "a"}]},
        "attributes, a value": {
            "name": "a",
            "ttl": "0s",
            "attributes": [{"name": "a", "value": BREAK}],
        },
    }
    for name, cookie in cookies.items():
        hashed: Object = {"loadBalancer": {"consistentHash": {"httpCookie": cookie}}}
        item = _rule(OWN_SERVICE, trafficPolicy=hashed)
        found = (f"consistentHash.httpCookie.{name.partition(',')[0]} ",)
        yield Crossing(f"DestinationRule with a cookie's {name}", item, found, STRICT)
    parents = [{"group": "", "kind": "Service", "name": "a"}]
    for path in ("replaceFullPath", "replacePrefixMatch"):
        filters = [{"type": "URLRewrite", "urlRewrite": {"path": {path: f"/{BREAK}"}}}]
        spec = {"parentRefs": parents, "rules": [{"filters": filters}]}
        item = build_object(GATEWAY_API, "HTTPRoute", spec)
        reasons = (f"urlRewrite.path.{path} has a control character",)
        yield Crossing(f"HTTPRoute with a line break in {path}", item, reasons, STRICT)


def _list_routes() -> Iterator[Crossing]:
    parents: dict[str, Object] = {
        "a ServiceEntry": {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "a"},
        "a Service of another": {"group": "", "kind": "Service", "name": "a", "namespace": "shop"},
        "its own Service": {"group": "", "kind": "Service", "name": "a"},
    }
    for kind in ("TCPRoute", "TLSRoute", "UDPRoute"):
        for name, parent in parents.items():
            spec = {"parentRefs": [{"name": "web"}, parent], "rules": [{"backendRefs": []}]}
            item = build_object(GATEWAY_API, kind, spec)
            yield Crossing(f"{kind} on {name}", item, ("name a Gateway",), STRICT)
    for kind in ("HTTPRoute", "GRPCRoute"):
        for field in ("requestHeaderModifier", "responseHeaderModifier"):
            for operation in ("set", "add"):
                filters = [{field: {operation: [{"name": "x-a", "value": "%A%"}]}}]
                spec = {"parentRefs": [parents["its own Service"]], "rules": [{"filters": filters}]}
                item = build_object(GATEWAY_API, kind, spec)
                name = f"{kind} on a Service, {field} {operation} with a command"
                yield Crossing(name, item, ("header x-a has the value %A%",), STRICT)


def _list_gateways() -> Iterator[Crossing]:
    for name, selector in MAY_SELECT.items():
        yield from _list_servers(name, selector)
    may = ("selector may select the pods of the EgressGateway shared",)
    remove = ("remove bind", *may)
    for bind in BINDS:
        server = {**SERVER, "bind": bind}
        item = build_istio_gateway(FOREIGN_LABEL, server)
        yield Crossing(f"bind {bind!r} by a foreign label", item, remove, STRICT)
        item = build_istio_gateway({"istio": "ingressgateway"}, server)
        yield Crossing(f"bind {bind!r} elsewhere", item, remove, STRICT)
    for name, selector in {**MAY_SELECT, "a foreign label": FOREIGN_LABEL}.items():
        item = build_istio_gateway(selector, {**SERVER, "hosts": ["*"]})
        yield Crossing(f"all names, {name}", item, may, STRICT)
    words = ("a server has */* beside other hosts", "remove the others")
    for hosts in (["*/*", "*/a.example"], ["a.example", "*/*"], ["*/*/x", "b.example"]):
        item = build_istio_gateway({"istio": "ingressgateway"}, {**SERVER, "hosts": hosts})
        yield Crossing(f"hosts {hosts}", item, words)
    item = build_istio_gateway({"istio": "ingressgateway"}, {**SERVER, "hosts": [TENANT]})
    yield Crossing("Gateway reserved", item, (f"{TENANT} is reserved",))


def _list_servers(name: str, selector: Object) -> Iterator[Crossing]:
    """List what is wrong on the pods of the gateway; all of it for one selector, else one each."""
    may = ("selector may select the pods",)
    full = selector == OURS
    for bind in BINDS if full else BINDS[:1]:
        for number in (443, 8443, 80) if full else (80,):
            port = {**SERVER["port"], "number": number}
            item = build_istio_gateway(selector, {**SERVER, "bind": bind, "port": port})
            yield Crossing(f"bind {bind!r} {number}, {name}", item, ("remove bind", *may))
    protocols = ("HTTP", "http", "HTTP2", "GRPC", "TCP", "MONGO", "") if full else ("HTTP",)
    for number in (443, 8443, 15443, 31400):
        for protocol in protocols:
            port = {"number": number, "name": "a", "protocol": protocol}
            item = build_istio_gateway(selector, {"port": port, "hosts": ["a.example.com"]})
            words = (f"port {number}", "a protocol other than HTTPS and TLS", *may)
            yield Crossing(f"{protocol or 'no protocol'} on {number}, {name}", item, words)
    for mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "AUTO_PASSTHROUGH"):
        for number in (443, 8443) if full else (8443,):
            port = {**SERVER["port"], "number": number}
            item = build_istio_gateway(selector, {**SERVER, "port": port, "tls": {"mode": mode}})
            words = (f"port {number}", "a mode other than", *may)
            yield Crossing(f"{mode} on {number}, {name}", item, words)
    for field, value in TLS_FIELDS.items():
        if full or field == "caCrl":
            item = build_istio_gateway(selector, {**SERVER, "tls": {**SERVER["tls"], field: value}})
            yield Crossing(f"tls.{field}, {name}", item, (f"tls: {field}", *may))
    hosts = ("A.example.com", "pay/a.example.com", "./a.example.com", "shop/*", "*/A.example.com")
    for host in hosts if full else hosts[:1]:
        item = build_istio_gateway(selector, {**SERVER, "hosts": ["b.example.com", host]})
        yield Crossing(f"host {host}, {name}", item, (f"{host} on a port of", *may))


def _list_workloads() -> Iterator[Crossing]:
    words: tuple[str, ...] = ("is a socket of every pod",)
    for address in SOCKETS:
        item = build_object(ISTIO, "WorkloadEntry", {"address": address})
        yield Crossing(f"WorkloadEntry {address!r}", item, words)
        item = build_object(ISTIO, "WorkloadGroup", {"template": {"address": address}})
        yield Crossing(f"WorkloadGroup {address!r}", item, words)
    words = ("may be that of a pod", "use a name")
    for address in ("10.1.2.3", "192.0.2.7", "2001:db8::1"):
        item = build_object(ISTIO, "WorkloadEntry", {"address": address})
        yield Crossing(f"WorkloadEntry {address}", item, words, STRICT)


def _list_others() -> Iterator[Crossing]:
    spec = {"externalHostname": {"hostname": OUTSIDE_HOST}}
    item = build_object(EXPERIMENTAL_API, "XBackend", spec)
    yield Crossing("XBackend", item, ("write an EgressPolicy",), STRICT)
    reserved: dict[str, Object] = {
        "XBackend": {"externalHostname": {"hostname": TENANT}},
        "XListenerSet": {"listeners": [{"hostname": TENANT}]},
    }
    for kind, spec in reserved.items():
        item = build_object(EXPERIMENTAL_API, kind, spec)
        words = (f"{TENANT} is reserved", "write an EgressPolicy")
        yield Crossing(f"{kind} reserved", item, words)
    reserved = {
        "ListenerSet": {"listeners": [{"hostname": TENANT}]},
        "BackendTLSPolicy": {"validation": {"hostname": TENANT}},
        "Gateway": {"listeners": [{"hostname": f"*.{TENANT}"}]},
    }
    for kind, spec in reserved.items():
        item = build_object(GATEWAY_API, kind, spec)
        yield Crossing(f"{kind} reserved, Gateway API", item, (f"{TENANT} is reserved",))
    item = build_object("v1", "Service", {"type": "ExternalName", "externalName": TENANT})
    yield Crossing("Service reserved", item, (f"{TENANT} is reserved",))
    yield from _list_marks()


def _list_marks() -> Iterator[Crossing]:
    specs: dict[str, Object] = {
        "ServiceEntry": build_service_entry(**HOME),
        "VirtualService": {"hosts": ["reviews"]},
        "DestinationRule": {"host": "reviews"},
        "Gateway": {"selector": {"istio": "ingressgateway"}},
        "AuthorizationPolicy": {"selector": {"matchLabels": {"app": "a"}}},
        "EnvoyFilter": {"workloadSelector": {"labels": {"app": "a"}}},
    }
    mark = "internal.istio.io/gateway-service"
    for kind, spec in specs.items():
        label = ("the label app.kubernetes.io/managed-by",)
        yield Crossing(f"{kind} with our label", build_ours(kind, spec), label)
        item = build_ours(kind, spec)
        item["metadata"] |= {"labels": {}, "annotations": {mark: ""}}
        words = (f"{mark} is istiod's own; remove it",)
        yield Crossing(f"{kind} with a mark of istiod's", item, words)
