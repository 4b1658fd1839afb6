"""DestinationRules on the Service of a gateway: the way of a tenant, or of one host, to it."""

from collections.abc import Mapping
from typing import Any


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
