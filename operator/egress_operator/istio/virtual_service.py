"""VirtualServices: on the mesh for the clients of a host, on a gateway for what comes to it."""

from collections.abc import Iterator, Mapping
from typing import Any

from egress_operator.istio.facts import Facts, Spec, build_subset_ref, read_export, read_hosts
from egress_operator.istio.http import AMBIGUOUS_PATHS, HttpIntent
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.route import PRIVATE_PORT, GatewayHop, HostRoutes, Route
from egress_operator.istio.traffic import PortIntent
from egress_operator.istio.upstream import Upstream
from egress_operator.istio.wildcard import build_authority_pattern, is_wildcard

API_VERSION = NETWORKING
PLURAL = "virtualservices"

MESH = "mesh"
"""What VirtualServices call all sidecars."""

FORBIDDEN, UNAVAILABLE = 403, 503
NO_RETRIES = {"attempts": 0}
"""Written, because an absent one means Istio's default of two, on each hop."""
HTTP_PORT, HTTPS_PORT = 80, 443
HTTP, TLS, TCP = "http", "tls", "tcp"
_PARTS = (HTTP, TLS, TCP)
"""The lists of rules of a VirtualService."""

REMOVED_HEADERS = (
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-external-address",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
)
"""What the proxies tell each other and the outside is not to see: certificate, names and address of
the client (pilot/pkg/networking/core/gateway.go, buildGatewayConnectionManager). The last one
speaks of the hop to the gateway, and would call plain HTTP https."""

Rules = dict[str, list[dict[str, Any]]]


def build_mesh_spec(host: str, routes: HostRoutes) -> dict[str, Any] | None:
    """Return the spec for the clients of a host, or None when no port needs a rule.

    An open port without settings gets no rule: on a listener port for which no rule matches Istio
    keeps the service's own route (pilot/pkg/networking/core/route/route.go,
    buildSidecarVirtualHostsForVirtualService returns nothing for it). Below a wildcard it gets one:
    a service without a VirtualService of its own takes the most specific one over it
    (pilot/pkg/model/sidecar.go, computeWildcardHostVirtualServiceIndex). `gateways: [mesh]` is what
    an absent list means; it is written so that the object says it.
    """
    rules: Rules = {"http": [], "tls": [], "tcp": []}
    routed = {route.port.number for route in routes.routes}
    for port in routes.ports:
        if port.is_http and port.number not in routed and routes.is_covered and not routes.is_open:
            rules["http"].append(_build_nowhere(host, port.number))
    if routes.is_open:
        for port in routes.ports:
            if port.number in routed:
                continue
            if port.http is not None or (port.is_http and routes.is_covered):
                http = port.http or HttpIntent()
                way = {"host": host, "port": {"number": port.number}}
                rules["http"] += _build_allowed(
                    host,
                    port,
                    routes.policies[port.number],
                    [{"port": port.number}],
                    {
                        **http.build_limits(),
                        **http.build_changes(authority=_build_rewritten(port)),
                        "route": [{"destination": way}],
                    },
                )
    for route in routes.routes:
        _add_rules(rules, host, route)
    kept = {name: found for name, found in rules.items() if found}
    return {"exportTo": ["."], "gateways": [MESH], "hosts": [host], **kept} if kept else None


def build_gateway_spec(host: str, route: Route, gateway: str) -> dict[str, Any]:
    """Return the spec for what comes to a gateway under a synthetic name.

    `gateway` is `namespace/name` of the object of kind Gateway that lets it in. For HTTP the host's
    own name comes back, with its port where HTTP wants it.
    """
    spec = {"exportTo": [route.export], "gateways": [gateway], "hosts": [route.host]}
    if route.is_opaque:
        # Istio reads only `tcp` routes behind a server that ends TLS and carries no HTTP
        # (pilot/pkg/networking/core/gateway.go, buildGatewayNetworkFilters...).
        socket = {"destination": {"host": route.host, "port": {"number": PRIVATE_PORT}}}
        way = {"route": [socket]} if route.socket else _build_way(route)
        return {**spec, "tcp": [way]}
    http = route.port.http or HttpIntent()
    authority = _build_authority(http.host or host, route.port)
    return {**spec, "http": _build_last(host, route, {}, authority)}


def build_inner_spec(host: str, route: Route, gateway: str) -> dict[str, Any]:
    """Return the spec for what comes for a wildcard, behind the socket of the gateway.

    A request that names another port in its Host gets 404; the clients' own proxies refuse it too.
    TLS with a server name that is not below the wildcard finds no listener's filter chain.
    """
    spec = {"exportTo": [route.export], "gateways": [gateway], "hosts": [host]}
    if route.resolves_names:
        return {**spec, "tls": [{"match": [{"sniHosts": [host]}], **_build_way(route)}]}
    return {**spec, "http": _build_last(host, route, _build_guard(host, route.port))}


def _build_last(
    host: str, route: Route, match: dict[str, Any], authority: str = ""
) -> list[dict[str, Any]]:
    """Build the rules for HTTP on the last hop of a gateway."""
    http = route.port.http or HttpIntent()
    rule = {
        **http.build_changes(REMOVED_HEADERS, authority),
        "retries": NO_RETRIES,
        **_build_way(route),
    }
    return _build_allowed(host, route.port, route.policy, [match], rule)


def build_closing_spec(host: str, route: Route, upstream: Upstream) -> dict[str, Any]:
    """Return the spec that closes a private name, lest it be a way round `build_mesh_spec`.

    What is no HTTP is led to the closed ServiceEntry of the host, which resets it.
    """
    spec: dict[str, Any] = {"exportTo": ["."], "gateways": [MESH], "hosts": [upstream.host]}
    if route.port.is_http:
        return {**spec, "http": [_build_refusal(host, route.number)]}
    match = {"port": route.number, "sniHosts": [upstream.host]}
    destination = {"host": host, "port": {"number": route.port.number}}
    return {**spec, "tls": [{"match": [match], "route": [{"destination": destination}]}]}


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return what a VirtualService needs: ports of its own hosts, and everything else. Pure."""
    hosts = set(spec.get("hosts") or ())
    needs: set[int] = set()
    names = (str(name) for name in spec.get("gateways") or () if name != MESH)
    refs = {_resolve_gateway(name, key.namespace) for name in names}
    for destination in _list_destinations(spec):
        host, subset = destination.get("host", ""), destination.get("subset", "")
        if host not in hosts:
            refs.add(build_subset_ref(host, subset) if subset else host)
        elif destination.get("port"):
            needs.add(int(destination["port"].get("number", 0)))
    for rule in spec.get("http") or ():
        name = str((rule.get("rewrite") or {}).get("authority", ""))
        if find_gateway_label(name):
            refs.add(name)
    return Facts(
        hosts=read_hosts(spec.get("hosts") or ()),
        needs=frozenset(needs),
        refs=frozenset(refs),
        export_to=read_export(spec),
        parts=tuple(part for part in _PARTS if spec.get(part)),
    )


def _resolve_gateway(name: str, namespace: str) -> str:
    """Return a Gateway as `namespace/name` (resolveGatewayName in pilot/pkg/model/config.go).

    It may be named alone, after `./`, or as `name.namespace` with any domain behind it.
    """
    place, slash, own = name.partition("/")
    if not slash:
        own, _, rest = name.partition(".")
        place = rest.partition(".")[0]
    return f"{namespace if place in {'', '.'} else place}/{own}"


def _list_destinations(spec: Spec) -> Iterator[Mapping[str, Any]]:
    """List everything that a VirtualService sends requests to."""
    for part in _PARTS:
        for rule in spec.get(part) or ():
            for route in (*(rule.get("route") or ()), *(rule.get("mirrors") or ())):
                yield route.get("destination") or {}


def _add_rules(rules: Rules, host: str, route: Route) -> None:
    """Add what leads those who may use a port to its synthetic name, and turns away the others.

    Only HTTP has an answer for the others; anything else ends in the ServiceEntry without
    endpoints.
    """
    sources = [dict(source.workloads) for source in route.sources]
    everyone = not all(sources) or not sources
    sources = [] if everyone else sources
    way = _build_way(route) if route.hop is None else _build_hop(route, route.hop)
    if route.port.is_http:
        guard = _build_guard(host, route.port)
        match = _build_matches({"port": route.port.number, **guard}, sources)
        rules["http"] += _build_http(host, route, match, way)
        if guard or not everyone:
            rules["http"].append(_build_refusal(host, route.port.number))
    elif route.port.protocol == "TLS":
        match = _build_matches({"port": route.port.number, "sniHosts": [host]}, sources)
        rules["tls"].append({"match": match, **way})
    else:
        rules["tcp"].append({"match": _build_matches({"port": route.port.number}, sources), **way})


def _build_matches(match: Mapping[str, Any], sources: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{**match, "sourceLabels": labels} for labels in sources] or [dict(match)]


def _build_http(
    host: str, route: Route, matches: list[dict[str, Any]], way: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Build the rules for HTTP on the mesh: all that is asked for, or what begins at the client."""
    http = route.port.http or HttpIntent()
    if route.hop is None:
        changes = http.build_changes(authority=_build_rewritten(route.port))
        rule = {**http.build_limits(), **changes, **way}
        return _build_allowed(host, route.port, route.policy, matches, rule)
    # The names below a wildcard stay as they are.
    rewrite = {} if route.socket else {"rewrite": {"authority": route.host}}
    name = build_rule_name(host, route.port.number)
    return [{"name": name, "match": matches, **rewrite, **http.build_limits(), **way}]


def _build_allowed(
    host: str,
    port: PortIntent,
    policy: str,
    matches: list[dict[str, Any]],
    rule: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Build the rules for what a policy allows of these requests, and for the rest of them."""
    http = port.http or HttpIntent()
    name = build_rule_name(host, port.number)
    if not http.allow:
        return [{"name": name, **_name_matches(matches), **rule}]
    subject = f"EgressPolicy {policy} does not allow this"
    rules: list[dict[str, Any]] = []
    if http.allows_paths:
        ambiguous = [{**match, "uri": {"regex": AMBIGUOUS_PATHS}} for match in matches]
        body = f"{subject} path to {host}: servers read it in several ways\n"
        rules.append({"name": f"{name}/ambiguous", "match": ambiguous, **_refuse(body)})
    allowed = [
        {**match, **more}
        for match in matches
        for entry in http.allow
        for more in entry.build_matches()
    ]
    return [
        *rules,
        {"name": name, "match": allowed, **rule},
        {
            "name": f"{name}/refused",
            **_name_matches(matches),
            **_refuse(f"{subject} request to {host}\n"),
        },
    ]


def _refuse(body: str) -> dict[str, Any]:
    return {"directResponse": {"status": FORBIDDEN, "body": {"string": body}}}


def _name_matches(matches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `match`, without entries that hold always."""
    return {"match": matches} if all(matches) else {}


def build_rule_name(host: str, port: int) -> str:
    """Return the name of an HTTP rule, which access logs of both hops show as the route. Pure."""
    return f"{host}:{port}"


def _build_hop(route: Route, hop: GatewayHop) -> dict[str, Any]:
    """Return the member of a rule that leads to the gateway."""
    destination = {
        "host": hop.host,
        "port": {"number": hop.port},
        "subset": _find_subset(route, hop),
    }
    return {"route": [{"destination": destination}]}


def _build_way(route: Route) -> dict[str, Any]:
    """Return the members of a rule on the last hop: each upstream with its share, and copies."""
    shares = len(route.upstreams) > 1
    listed = [
        {
            "destination": _build_destination(route, upstream),
            **({"weight": upstream.weight} if shares else {}),
        }
        for upstream in route.upstreams
    ]
    mirror = None if route.port.http is None else route.port.http.mirror
    if mirror is None or route.mirror is None:
        return {"route": listed}
    copies = {
        "destination": _build_destination(route, route.mirror),
        "percentage": {"value": mirror.percentage},
    }
    return {"route": listed, "mirrors": [copies]}


def _build_destination(route: Route, upstream: Upstream) -> dict[str, Any]:
    return {"host": upstream.host, "port": {"number": route.number}}


def _find_subset(route: Route, hop: GatewayHop) -> str:
    """Return the subset of the gateway's Service that a route uses: its own, or the tenant's."""
    return route.name if route.has_server else hop.label


def _build_guard(host: str, port: PortIntent) -> dict[str, Any]:
    """Return what a request for a wildcard has to hold: its Host names no other port."""
    if not is_wildcard(host):
        return {}
    own = HTTP_PORT if port.tls is None else HTTPS_PORT
    return {"authority": {"regex": build_authority_pattern(host, own)}}


def _build_refusal(host: str, port: int) -> dict[str, Any]:
    what = "this workload is"
    if is_wildcard(host):
        what = "this workload, or the port in the Host header, is"
    body = f"{what} not among those that an EgressPolicy allows to call {host}\n"
    return {
        "name": f"{build_rule_name(host, port)}/refused",
        "match": [{"port": port}],
        **_refuse(body),
    }


def _build_nowhere(host: str, port: int) -> dict[str, Any]:
    """Return the rule of a port that leads nowhere: what its closed ServiceEntry would answer."""
    body = f"there is no way to {host} now\n"
    return {
        "name": f"{build_rule_name(host, port)}/closed",
        "match": [{"port": port}],
        "directResponse": {"status": UNAVAILABLE, "body": {"string": body}},
    }


def _build_rewritten(port: PortIntent) -> str:
    """Return what the outside gets as `Host` in place of what the client sent; empty: that."""
    return "" if port.http is None or not port.http.host else _build_authority(port.http.host, port)


def _build_authority(host: str, port: PortIntent) -> str:
    """Return what the outside gets as `Host`: without the port where it is the scheme's own."""
    own = HTTP_PORT if port.tls is None else HTTPS_PORT
    return host if port.target == own else f"{host}:{port.target}"
