"""An EgressGateway with the namespace, the Service and the endpoints of its pods."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from testbed.client import Client, Object
from testbed.deadline import wait_until

GATEWAY = ("egress-operator.io/v1alpha1", "EgressGateway")
PODS = {"istio": "egressgateway"}
SERVICE = "istio-egressgateway"
PORT = 443
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Gateway:
    """What the platform writes. A namespace with the label `egress: NAME` may use it."""

    client: Client
    name: str

    @property
    def namespace(self) -> str:
        """The namespace of its pods, where its AuthorizationPolicies are."""
        return f"{self.name}-pods"

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
        """Delete the EgressGateway, if it is there."""
        self.client.delete(*GATEWAY, self.name, missing_ok=True)

    def apply_pods(self, namespace: str = "", selector: Mapping[str, str] | None = None) -> None:
        """Write a namespace with a Service and one ready endpoint: pods that serve."""
        namespace = namespace or self.namespace
        apply_namespace(self.client, namespace)
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": SERVICE, "namespace": namespace},
                "spec": {
                    "selector": dict(selector or PODS),
                    "ports": [{"name": f"tls-{PORT}", "port": PORT}],
                },
            }
        )
        self.client.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{SERVICE}-a",
                    "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": SERVICE},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["192.0.2.10"], "conditions": {"ready": True}}],
            }
        )

    def status(self) -> Object:
        """Read the status, empty before there is one."""
        found = self.client.find(*GATEWAY, self.name)
        return dict((found or {}).get("status") or {})

    def condition(self, kind: str) -> Mapping[str, Any]:
        """Return a condition of the present generation, empty before."""
        gateway = self.client.get(*GATEWAY, self.name)
        for condition in gateway.get("status", {}).get("conditions", ()):
            if condition["type"] == kind:
                current = condition["observedGeneration"] == gateway["metadata"]["generation"]
                return condition if current else {}
        return {}

    def wait_serving(self) -> None:
        """Wait for Ready=True of the present generation."""
        wait_until(
            lambda: self.condition("Ready").get("status") == "True",
            TIMEOUT_S,
            f"EgressGateway {self.name} does not become Ready",
        )


@contextmanager
def serving_gateway(client: Client, name: str, **more: object) -> Iterator[Gateway]:
    """Give a gateway that serves; `more` are fields of its spec. It is deleted afterwards."""
    gateway = Gateway(client, name)
    gateway.apply_pods()
    gateway.apply(**more)
    try:
        gateway.wait_serving()
        yield gateway
    finally:
        gateway.delete()


def apply_namespace(client: Client, name: str, **labels: str) -> None:
    """Write a namespace with these labels; labels that were applied before are taken off."""
    metadata = {"name": name, "labels": labels}
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
