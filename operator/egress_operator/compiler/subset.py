"""DestinationRules on the Service of a gateway: the way of a tenant, or of one host, to it."""

from typing import Any

from egress_operator.compiler.gateway import Gateway


def build_subset_spec(
    gateway: Gateway, name: str, sni: str, export_to: tuple[str, ...]
) -> dict[str, Any]:
    """Return the spec for the way to a gateway, as one subset of its Service.

    `useClientProtocol` keeps HTTP/2 for those who speak it. `export_to` is that of a
    DestinationRule for the same Service that somebody wrote by hand (without any, ours has none
    either), else `.`: Istio merges only those with equal ones, and of unequal ones the routes of
    the younger break (pilot/pkg/model/destination_rule.go, mergeDestinationRule).
    """
    pool = gateway.intent.traffic.get("connectionPool", {})
    policy = {
        **gateway.intent.traffic,
        "connectionPool": {**pool, "http": {**pool.get("http", {}), "useClientProtocol": True}},
        "tls": {"mode": "ISTIO_MUTUAL", "sni": sni},
    }
    return {
        **({"exportTo": list(export_to)} if export_to else {}),
        "host": gateway.host,
        "subsets": [{"name": name, "trafficPolicy": policy}],
    }
