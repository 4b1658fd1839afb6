"""VirtualServices: on the mesh for the clients of a host, on a gateway for what comes to it."""

from collections.abc import Iterator, Mapping
from typing import Any

from egress_operator.istio.facts import Facts, Spec, build_subset_ref, read_export, read_hosts
from egress_operator.istio.http import HttpIntent
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.name import find_gateway_label
from egress_operator.istio.route import GatewayHop, HostRoutes, Route
from egress_operator.istio.traffic import PortIntent

API_VERSION = NETWORKING
PLURAL = "virtualservices"

MESH = "mesh"
"""What VirtualServices call all sidecars."""

FORBIDDEN = 403
NO_RETRIES = {"attempts": 0}
"""Written, because an absent one means Istio's default of two, on each hop."""
HTTP_PORT, HTTPS_PORT = 80, 443

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
    buildSidecarVirtualHostsForVirtualService returns nothing for it). `gateways: [mesh]` is what an
    absent list means; it is written so that the object says it.
    """
    rules: Rules = {"http": [], "tls": [], "tcp": []}
    if routes.is_open:
        rules["http"] = [
            _build_open_rule(host, port.number, port.http)
            for port in routes.ports
            if port.http is not None
        ]
    for route in routes.routes:
        _add_rules(rules, host, route)
    kept = {name: found for name, found in rules.items() if found}
    return {"exportTo": ["."], "gateways": [MESH], "hosts": [host], **kept} if kept else None


def build_gateway_spec(host: str, route: Route, gateway: str) -> dict[str, Any]:
    """Return the spec for what comes to a gateway under a synthetic name.

    `gateway` is `namespace/name` of the object of kind Gateway that lets it in. For HTTP the host's
    own name comes back, with its port where HTTP wants it.
    """
    destination = {"host": route.host, "port": {"number": route.number}}
    spec: dict[str, Any] = {
        "exportTo": [route.export],
        "gateways": [gateway],
        "hosts": [route.host],
    }
    if not route.port.is_http:
        # Istio reads only `tcp` routes behind a server that ends TLS and carries no HTTP
        # (pilot/pkg/networking/core/gateway.go, buildGatewayNetworkFilters...).
        return {**spec, "tcp": [{"route": [{"destination": destination}]}]}
    rule = {
        "rewrite": {"authority": _build_authority(host, route.port)},
        "headers": {"request": {"remove": list(REMOVED_HEADERS)}},
        "retries": NO_RETRIES,
        "route": [{"destination": destination}],
    }
    return {**spec, "http": [rule]}


def build_closing_spec(host: str, route: Route) -> dict[str, Any]:
    """Return the spec that closes a private name, lest it be a way round `build_mesh_spec`.

    What is no HTTP is led to the closed ServiceEntry of the host, which resets it.
    """
    spec: dict[str, Any] = {"exportTo": ["."], "gateways": [MESH], "hosts": [route.host]}
    if route.port.is_http:
        return {**spec, "http": [_build_refusal(host, route.number)]}
    match = {"port": route.number, "sniHosts": [route.host]}
    destination = {"host": host, "port": {"number": route.port.number}}
    return {**spec, "tls": [{"match": [match], "route": [{"destination": destination}]}]}


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return what a VirtualService needs: ports of its own hosts, and everything else. Pure."""
    del key
    hosts = set(spec.get("hosts") or ())
    needs: set[int] = set()
    refs = {name for name in spec.get("gateways") or () if name != MESH}
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
    )


def _list_destinations(spec: Spec) -> Iterator[Mapping[str, Any]]:
    """List everything that a VirtualService sends requests to."""
    for rules in (spec.get("http"), spec.get("tls"), spec.get("tcp")):
        for rule in rules or ():
            for route in rule.get("route") or ():
                yield route.get("destination") or {}


def _add_rules(rules: Rules, host: str, route: Route) -> None:
    """Add what leads those who may use a port to its synthetic name, and turns away the others.

    Only HTTP has an answer for the others; anything else ends in the ServiceEntry without
    endpoints.
    """
    sources = [dict(source.workloads) for source in route.sources]
    everyone = not all(sources) or not sources
    sources = [] if everyone else sources
    way = {"route": [{"destination": _build_destination(route)}]}
    if route.port.is_http:
        match = _build_matches({"port": route.port.number}, sources)
        rules["http"].append({"match": match, **_build_http(route), **way})
        if not everyone:
            rules["http"].append(_build_refusal(host, route.port.number))
    elif route.port.protocol == "TLS":
        match = _build_matches({"port": route.port.number, "sniHosts": [host]}, sources)
        rules["tls"].append({"match": match, **way})
    else:
        rules["tcp"].append({"match": _build_matches({"port": route.port.number}, sources), **way})


def _build_matches(match: Mapping[str, Any], sources: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{**match, "sourceLabels": labels} for labels in sources] or [dict(match)]


def _build_http(route: Route) -> dict[str, Any]:
    rewrite = {} if route.hop is None else {"rewrite": {"authority": route.host}}
    return {**rewrite, **(route.port.http or HttpIntent()).build()}


def _build_destination(route: Route) -> dict[str, Any]:
    if route.hop is None:
        return {"host": route.host, "port": {"number": route.number}}
    return {
        "host": route.hop.host,
        "port": {"number": route.hop.port},
        "subset": _find_subset(route, route.hop),
    }


def _find_subset(route: Route, hop: GatewayHop) -> str:
    """Return the subset of the gateway's Service that a route uses: its own, or the tenant's."""
    return route.name if route.has_server else hop.label


def _build_refusal(host: str, port: int) -> dict[str, Any]:
    body = f"this workload is not among those that an EgressPolicy allows to call {host}\n"
    return {
        "match": [{"port": port}],
        "directResponse": {"status": FORBIDDEN, "body": {"string": body}},
    }


def _build_authority(host: str, port: PortIntent) -> str:
    """Return what the outside gets as `Host`: without the port where it is the scheme's own."""
    own = HTTP_PORT if port.tls is None else HTTPS_PORT
    return host if port.target == own else f"{host}:{port.target}"


def _build_open_rule(host: str, port: int, http: HttpIntent) -> dict[str, Any]:
    return {
        "match": [{"port": port}],
        "route": [{"destination": {"host": host, "port": {"number": port}}}],
        **http.build(),
    }
