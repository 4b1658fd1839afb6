"""EnvoyFilters on a gateway: each asks DNS for the server names of one wildcard of a tenant.

Istio adds this filter to sidecars alone (pilot/pkg/networking/core/networkfilter.go,
buildOutboundNetworkFiltersWithSingleDestination); without it the gateway closes the connection.
"""

from enum import StrEnum
from typing import Any

from egress_operator.istio.facts import NOTHING, Facts, Spec
from egress_operator.istio.kind import NETWORKING_ALPHA, ObjectKey
from egress_operator.istio.name import find_gateway_label, find_tenant
from egress_operator.istio.traffic import Labels
from egress_operator.istio.wildcard import is_wildcard

API_VERSION = NETWORKING_ALPHA
PLURAL = "envoyfilters"

TLS_PORT = 443
ANYBODY = "*"

_TCP_PROXY = "envoy.filters.network.tcp_proxy"
_RESOLVER = "envoy.filters.network.sni_dynamic_forward_proxy"
_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig"
)
_CACHE = "_dfp_dns_cache"
"""Ends the name of the cache, after the host of the ServiceEntry: as Istio calls it
(pilot/pkg/model, BuildDNSCacheName)."""


class LookupFamily(StrEnum):
    """Which addresses the proxies of gateways ask DNS for, as Envoy spells it."""

    V4_ONLY = "V4_ONLY"
    V6_ONLY = "V6_ONLY"
    ALL = "ALL"


def build_resolver_spec(
    selector: Labels, socket: str, host: str, family: LookupFamily
) -> dict[str, Any]:
    """Return the spec for the listener on a socket whose connections go on to `host`, a wildcard.

    Name and family of the cache are those of the cluster that Istio makes of `host`: Envoy refuses
    a listener that says something else of the same cache.
    """
    config = {
        "@type": _TYPE,
        "port_value": TLS_PORT,
        "dns_cache_config": {"name": f"{host}{_CACHE}", "dns_lookup_family": str(family)},
    }
    # Istio names a listener by its address and the port of the server, which is 0 of a socket.
    listener = {"name": f"{socket}_0", "filterChain": {"filter": {"name": _TCP_PROXY}}}
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "GATEWAY", "listener": listener},
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": _RESOLVER, "typed_config": config},
        },
    }
    return {"workloadSelector": {"labels": dict(selector)}, "configPatches": [patch]}


def read_facts(key: ObjectKey, spec: Spec) -> Facts:
    """Return whose an EnvoyFilter is, and for which pods. Pure."""
    del key
    _, tenant = read_names(spec)
    return Facts(
        refs=frozenset({tenant or ANYBODY}) if spec.get("configPatches") else NOTHING,
        selector=_read_selector(spec),
    )


def read_names(spec: Spec) -> tuple[str, str]:
    """Return the gateway label and the namespace that an EnvoyFilter is for. Pure.

    Its own patch tells them, if it has the form of those that are built here; else both are empty.
    """
    try:
        (patch,) = spec["configPatches"]
        config = patch["patch"]["value"]["typed_config"]["dns_cache_config"]
        socket = patch["match"]["listener"]["name"].removesuffix("_0")
        host = config["name"].removesuffix(_CACHE)
        family = LookupFamily(config["dns_lookup_family"])
        own = build_resolver_spec(_read_selector(spec), socket, host, family)
    except (KeyError, ValueError, TypeError, AttributeError):
        return "", ""
    if own != spec or not is_wildcard(host):
        return "", ""
    return find_gateway_label(host), find_tenant(host)


def _read_selector(spec: Spec) -> Labels:
    labels = (spec.get("workloadSelector") or {}).get("labels") or {}
    return tuple(sorted((str(label), str(value)) for label, value in labels.items()))
