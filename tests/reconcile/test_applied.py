"""A key without a value that kubectl leaves out: the policy is refused, as by the API server."""

import json

from testbed.deadline import wait_until

from .tenant import TenantNamespace, hosts

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def test_a_gateway_without_a_value_is_no_way_round_it(tenant: TenantNamespace) -> None:
    destination = hosts("a.example.com")
    spec = {"destinations": [destination]}
    written = json.dumps({"spec": {**spec, "gatewayRef": None}}, separators=(",", ":"))
    tenant.apply("payments", destination, annotations={APPLIED: written})

    def is_refused() -> bool:
        found = tenant.condition("payments", "Accepted")
        assert (found.get("status"), found.get("reason")) == ("False", "NullValue"), found
        return "spec.gatewayRef" in found["message"]

    wait_until(is_refused, 10, "it is refused")
    assert tenant.entry("a.example.com") is None

    tenant.apply("payments", destination, annotations={APPLIED: json.dumps({"spec": spec})})
    tenant.wait_ready("payments")
    tenant.wait_hosts("a.example.com")
