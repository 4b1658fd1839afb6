"""What stands is read from the names of objects, also of those that somebody else wrote."""

import pytest

from egress_operator.istio.name import build_behind_name, build_gateway_label, build_host_name
from egress_operator.istio.observed import read_observed
from egress_operator.plan.standing import build_host_standings

WILDCARD = "*.example.com"
LABEL = build_gateway_label("shared")
NAME = build_behind_name(build_host_name(WILDCARD), 80, "shop", LABEL, "opaque")


@pytest.mark.parametrize(("suffix", "servers"), [("", {(LABEL, 80)}), ("-in", set())])
def test_a_server_counts_by_the_form_of_its_name(suffix: str, servers: set[object]) -> None:
    """An inner server has no port in its name, and counts with the outer one."""
    item = read_observed(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {
                "name": f"{NAME}{suffix}",
                "namespace": "shop",
                "labels": {"app.kubernetes.io/managed-by": "egress-operator"},
                "annotations": {"egress-operator.io/host": WILDCARD},
            },
            "spec": {
                "selector": {"istio": "egress"},
                "servers": [
                    {
                        "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                        "hosts": [f"x.{LABEL}.shop.egress.internal"],
                        "tls": {"mode": "ISTIO_MUTUAL"},
                    }
                ],
            },
        }
    )
    assert item.label == LABEL
    (standing,) = build_host_standings([item], [])
    assert standing.servers == servers
