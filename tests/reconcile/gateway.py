"""EgressGateways on the real API server: a Service, its endpoints, and what is made of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testbed.client import Client, Object
from testbed.deadline import wait_until

from .tenant import TIMEOUT_S

GATEWAY = ("egress-operator.io/v1alpha1", "EgressGateway")
NETWORKING = "networking.istio.io/v1"
KINDS = (
    (NETWORKING, "ServiceEntry"),
    (NETWORKING, "DestinationRule"),
    (NETWORKING, "Gateway"),
    ("security.istio.io/v1", "AuthorizationPolicy"),
    (NETWORKING, "VirtualService"),
)
PODS = {"istio": "egressgateway"}
SERVICE = "istio-egressgateway"
PORT = 443


@dataclass
class ManagedGateway:
    """A gateway and the namespace of its pods, both of this test alone."""

    client: Client
    name: str
    namespace: str

    def apply(self, **more: object) -> Object:
        """Write the EgressGateway; `more` are fields of its spec, None leaves one out."""
        spec: dict[str, Any] = {
            "namespace": self.namespace,
            "selector": PODS,
            "service": {"name": SERVICE, "port": PORT},
            "namespaces": {"matchLabels": {"egress": self.name}},
            "authorization": "Managed",
            **more,
        }
        return self.client.apply(
            {
                "apiVersion": GATEWAY[0],
                "kind": GATEWAY[1],
                "metadata": {"name": self.name},
                "spec": {key: value for key, value in spec.items() if value is not None},
            }
        )

    def delete(self) -> None:
        """Delete the EgressGateway."""
        self.client.delete(*GATEWAY, self.name)

    def apply_service(self, *ports: int) -> None:
        """Write the Service with these ports."""
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": SERVICE, "namespace": self.namespace},
                "spec": {
                    "selector": PODS,
                    "ports": [{"name": f"tls-{port}", "port": port} for port in ports or (PORT,)],
                },
            }
        )

    def apply_endpoints(self, *addresses: str) -> None:
        """Write the Service's endpoints, all of them ready."""
        self.client.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{SERVICE}-a",
                    "namespace": self.namespace,
                    "labels": {"kubernetes.io/service-name": SERVICE},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": [address], "conditions": {"ready": True}} for address in addresses
                ],
            }
        )

    def select(self, namespace: str, *, member: bool = True) -> None:
        """Let a namespace be among those that may use the gateway, or no longer."""
        value = self.name if member else "none"
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"egress": value}},
            }
        )

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Return a condition of the present generation, empty before."""
        gateway = self.client.get(*GATEWAY, self.name)
        for condition in gateway.get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                current = condition["observedGeneration"] == gateway["metadata"]["generation"]
                return condition if current else {}
        return {}

    def wait_condition(self, kind: str, status: str, reason: str, says: str = "") -> None:
        """Wait for a condition whose message says this."""

        def look() -> bool:
            found = self.condition(kind)
            assert (found.get("status"), found.get("reason")) == (status, reason), found
            assert says in found["message"]
            return True

        wait_until(look, TIMEOUT_S, f"{kind} of {self.name} is not {status}/{reason}")

    def wait_counts(self, *, namespaces: int, hosts: int) -> None:
        """Wait until the status counts so many; it follows the status of a policy by a moment."""

        def look() -> bool:
            status = self.status()
            assert (status["namespaces"], status["hosts"]) == (namespaces, hosts), status
            return True

        wait_until(look, TIMEOUT_S, f"the counts of {self.name} are not these")

    def status(self) -> Object:
        """Read the status."""
        return dict(self.client.get(*GATEWAY, self.name).get("status", {}))

    def objects(self, namespace: str = "") -> list[str]:
        """List `Kind name` of our objects in a namespace; by default in the gateway's own."""
        return sorted(
            f"{kind} {item['metadata']['name']}"
            for version, kind in KINDS
            for item in self.client.list_objects(version, kind, namespace or self.namespace)
        )


@contextmanager
def managed_gateway(client: Client, name: str, *, serving: bool = True) -> Iterator[ManagedGateway]:
    """Give a namespace for a gateway's pods, with Service and endpoints if it shall serve."""
    namespace = f"{name}-pods"
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    gateway = ManagedGateway(client, name, namespace)
    try:
        if serving:
            gateway.apply_service()
            gateway.apply_endpoints("192.0.2.10")
        yield gateway
    finally:
        if client.find(*GATEWAY, name) is not None:
            gateway.delete()
