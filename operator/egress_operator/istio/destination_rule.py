"""DestinationRules: how the outside is dialled, and ways to a gateway as subsets of its Service."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from egress_operator.istio.facts import (
    NOTHING,
    Facts,
    Spec,
    build_subset_ref,
    read_export,
    read_hosts,
)
from egress_operator.istio.kind import NETWORKING, ObjectKey
from egress_operator.istio.route import Route
from egress_operator.istio.traffic import HostIntent, PortIntent, TlsIntent
from egress_operator.istio.traffic_policy import (
    NO_POOL,
    PoolIntent,
    TrafficIntent,
)
from egress_operator.istio.upstream import TIERS, Upstream

API_VERSION = NETWORKING
PLURAL = "destinationrules"
TRAFFIC, SELECTOR = "trafficPolicy", "workloadSelector"
"""What decides which of several rules for a host counts."""
_PARTS = {
    (False, False): (),
    (True, False): (TRAFFIC,),
    (False, True): (SELECTOR,),
    (True, True): (TRAFFIC, SELECTOR),
}
"""One tuple for all rules that have the same."""
_FILES = frozenset({"files"})
UNREACHABLE_AFTER = 5
"""Connections in a row that fail, or answers 502, 503 and 504."""
ALL_BUT_ONE = 99
"""Percent of the endpoints, rounded down: all but one of up to 100."""


def build_open_spec(
    host: str, settings: HostIntent, ports: Iterable[PortIntent]
) -> dict[str, Any] | None:
    """Return the spec for a host that is reached openly; None when there is nothing to say.

    A port with settings of its own takes none from the host (`TrafficPolicy.port_level_settings` in
    Istio's API), so it repeats them. The host has them too: times of TCP connections count there
    alone (pilot/pkg/networking/core/networkfilter.go).
    """
    common = _build_policy(settings, Upstream("", host, settings.backends))
    own = [
        {"port": {"number": port.number}, **common, "tls": _build_origination(port.tls, "")}
        for port in ports
        if port.tls is not None
    ]
    policy = {**common, **({"portLevelSettings": own} if own else {})}
    return {"exportTo": ["."], "host": host, "trafficPolicy": policy} if policy else None


def build_behind_spec(
    settings: HostIntent, route: Route, upstream: Upstream
) -> dict[str, Any] | None:
    """Return the spec for a synthetic name; None when there is nothing to say."""
    limits = NO_POOL if route.socket else _find_connection_limits(route)
    policy = _build_policy(settings, upstream, limits)
    if route.port.tls is not None:
        tenant = "" if route.hop is None else route.namespace
        policy["tls"] = _build_origination(route.port.tls, tenant)
    if route.is_upgraded:
        pool = policy.get("connectionPool", {})
        upgraded = {**pool.get("http", {}), "h2UpgradePolicy": "UPGRADE"}
        policy["connectionPool"] = {**pool, "http": upgraded}
    if not policy:
        return None
    return {"exportTo": [route.export], "host": upstream.host, "trafficPolicy": policy}


def build_socket_spec(route: Route) -> dict[str, Any] | None:
    """Return the spec for the name that leads to a socket; None when there is nothing to say.

    The inner server of TLS sees no more of a connection than the outer one, which ends it here.
    """
    pool = _find_connection_limits(route).build()
    if not pool:
        return None
    policy = {"connectionPool": pool}
    return {"exportTo": [route.export], "host": route.host, "trafficPolicy": policy}


def _find_connection_limits(route: Route) -> PoolIntent:
    """Return the times of a connection to the gateway that its proxy has to keep.

    It passes on what is no HTTP byte by byte, so one connection is as long as the other; the
    sidecar does not read these times from a subset (pilot/pkg/networking/core/networkfilter.go).
    """
    if route.hop is None or route.port.is_http or route.hop.connection_pool is None:
        return NO_POOL
    pool = route.hop.connection_pool
    return PoolIntent(
        idle_timeout=pool.idle_timeout, max_connection_duration=pool.max_connection_duration
    )


def _build_policy(
    settings: HostIntent, upstream: Upstream, limits: PoolIntent = NO_POOL
) -> dict[str, Any]:
    """Return the traffic policy of a host but for TLS.

    Istio prefers near endpoints, or those of one backend, only where those that fail are left out
    (pilot/pkg/networking/core/loadbalancer/loadbalancer.go, ApplyLocalityLoadBalancer). Where
    nobody has asked for that, only those count that cannot be reached, and one always stays.
    """
    traffic = settings.traffic
    if limits != NO_POOL:
        pool = (traffic.connection_pool or NO_POOL).shorten(limits)
        traffic = replace(traffic, connection_pool=pool)
    policy = traffic.build()
    if not upstream.has_order and not upstream.has_localities:
        return policy
    order = {"failoverPriority": [f"{label}=true" for label in TIERS]} if upstream.has_order else {}
    first = {"localityLbSetting": {"enabled": True, **order}}
    unreachable = {
        "consecutive5xxErrors": 0,
        "consecutiveGatewayErrors": UNREACHABLE_AFTER,
        "maxEjectionPercent": ALL_BUT_ONE,
    }
    return {
        "outlierDetection": unreachable,
        **policy,
        "loadBalancer": {**policy.get("loadBalancer", {}), **first},
    }


def build_subset_spec(
    host: str, traffic: TrafficIntent, name: str, sni: str, export_to: tuple[str, ...]
) -> dict[str, Any]:
    """Return the spec for the way to a gateway, as one subset of its Service.

    `host` is the full name of the Service, `traffic` the gateway's settings.
    `useClientProtocol` keeps HTTP/2 for those who speak it. `export_to` is that of a
    DestinationRule for the same Service that somebody wrote by hand (without any, ours has none
    either), else `.`: Istio merges only those with equal ones, and of unequal ones the routes of
    the younger break (pilot/pkg/model/destination_rule.go, mergeDestinationRule).
    """
    settings = traffic.build()
    pool = settings.get("connectionPool", {})
    policy = {
        **settings,
        "connectionPool": {**pool, "http": {**pool.get("http", {}), "useClientProtocol": True}},
        "tls": {"mode": "ISTIO_MUTUAL", "sni": sni},
    }
    return {
        **({"exportTo": list(export_to)} if export_to else {}),
        "host": host,
        "subsets": [{"name": name, "trafficPolicy": policy}],
    }


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return what a DestinationRule offers, and what decides whether it counts. Pure."""
    del key
    host = spec.get("host", "")
    return Facts(
        hosts=read_hosts([host] if host else []),
        refs=frozenset(
            build_subset_ref(host, subset.get("name", "")) for subset in spec.get("subsets") or ()
        ),
        export_to=read_export(spec),
        parts=_PARTS[spec.get(TRAFFIC) is not None, spec.get(SELECTOR) is not None],
        hazards=_FILES if _names_file(spec) else NOTHING,
    )


def _names_file(spec: Spec) -> bool:
    """Whether every proxy that sees the rule opens a file; a rule for chosen pods has no others."""
    if "workloadSelector" in spec:
        return False
    policies = [spec, *(spec.get("subsets") or ())]
    return any(
        settings.get(field)
        for item in policies
        for settings in _list_tls(item.get("trafficPolicy") or {})
        for field in ("clientCertificate", "privateKey", "caCertificates", "caCrl")
    )


def _list_tls(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield policy.get("tls") or {}
    for port in policy.get("portLevelSettings") or ():
        yield port.get("tls") or {}


def _build_origination(tls: TlsIntent, tenant: str) -> dict[str, Any]:
    """Return TLS to the dependencies.

    `sni` and `subjectAltNames` stand always together: with `sni` alone Istio checks the chain and
    not the name, so that any public certificate would do
    (pilot/pkg/networking/core/cluster_tls.go). A wildcard has neither: then the name of each
    request is sent and demanded.

    `tenant`: through a gateway, the namespace whose Secrets are used; in the gateway's namespace
    they have its name before theirs, which no other namespace can have. Without it, files.
    """
    settings: dict[str, Any] = {
        "mode": "MUTUAL" if tls.certificate else "SIMPLE",
        **({"sni": tls.server_name, "subjectAltNames": list(tls.names)} if tls.names else {}),
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
