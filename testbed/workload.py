"""Workloads as the API server and istiod know them: objects that no kubelet would write here."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from testbed.client import Client, Object

NODE = "testbed"
"""Name of a node that does not exist: nobody asks for it."""
TOKEN_AUDIENCE = "istio-ca"  # noqa: S105 - the audience is public
TOKEN_LIFETIME_S = 24 * 3600


PATIENT = {"drainDuration": "600s"}
"""ProxyConfig of proxies that let TCP connections live on when what they belong to changes.

Envoy ends them after 45 s unless told otherwise; a test that runs for longer would be hit by it.
"""


class Role(StrEnum):
    """What the workload's proxy is to istiod."""

    SIDECAR = "sidecar"
    ROUTER = "router"
    """A gateway: its traffic is not captured, and others come to it."""


@dataclass(frozen=True)
class Workload:
    """One pod to have in the mesh."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Beside `app: NAME`, unless they say otherwise."""
    service_account: str = "default"
    dns_capture: bool = False
    """Whether the proxy answers the names, with automatic addresses for those that have none."""
    role: Role = Role.SIDECAR
    ports: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """What its Service offers: name → (port, target port). No ports, no Service.

    The names matter: Istio reads the protocol from them.
    """
    proxy_config: Mapping[str, object] = field(default_factory=dict)
    """More keys of the proxy's own ProxyConfig."""
    dual_stack: bool = False
    """Whether it has an IPv6 address too; istiod must be told to serve both."""

    @property
    def key(self) -> str:
        """`NAMESPACE/NAME`: how tests speak of it."""
        return f"{self.namespace}/{self.name}"

    @property
    def search(self) -> tuple[str, ...]:
        """The domains by which the resolver of a pod completes names, in their order."""
        return (f"{self.namespace}.svc.cluster.local", "svc.cluster.local", "cluster.local")

    @property
    def all_labels(self) -> dict[str, str]:
        return {"app": self.name, **self.labels}


def apply_workload(client: Client, workload: Workload, address: str) -> None:
    """Write namespace, service account and a pod that is Running and Ready at `address`.

    Then its Service, if it has ports, with the pod as the one endpoint.
    """
    client.apply(build_namespace(workload.namespace))
    client.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": workload.service_account, "namespace": workload.namespace},
        }
    )
    client.apply(pod := build_pod(workload))
    client.merge_patch(pod, {"status": build_pod_status(address)}, subresource="status")
    if workload.ports:
        client.apply(build_service(workload))
        client.apply(build_endpoint_slice(workload, {workload.name: address}))


def request_token(client: Client, workload: Workload) -> str:
    """Ask for a token of the workload's service account that istiod's CA accepts."""
    path = client.path(
        "v1", "ServiceAccount", workload.service_account, workload.namespace, "token"
    )
    answer = client.request(
        "POST",
        path,
        body={
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [TOKEN_AUDIENCE], "expirationSeconds": TOKEN_LIFETIME_S},
        },
    )
    return str(answer["status"]["token"])


def build_namespace(name: str) -> Object:
    """Build a Namespace. Pure."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def make_namespace(client: Client) -> str:
    """Make a namespace with a name of its own, and return the name."""
    name = f"t-{secrets.token_hex(5)}"
    client.create(build_namespace(name))
    return name


@contextmanager
def temporary_namespace(client: Client) -> Iterator[str]:
    """Make a namespace and give its name; its deletion is asked for afterwards."""
    name = make_namespace(client)
    yield name
    client.delete("v1", "Namespace", name, missing_ok=True)


def build_pod(workload: Workload) -> Object:
    """Build the Pod, bound to a node that does not exist. Pure."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": workload.name,
            "namespace": workload.namespace,
            "labels": workload.all_labels,
        },
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": workload.service_account,
            "containers": [{"name": "app", "image": "none.invalid/app"}],
        },
    }


def build_pod_status(address: str) -> Object:
    """Build the status that a kubelet would write. Pure."""
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }


def build_service(workload: Workload) -> Object:
    """Build the Service of a workload with ports. Pure."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": workload.name, "namespace": workload.namespace},
        "spec": {
            "selector": workload.all_labels,
            "ports": [
                {"name": name, "port": port, "targetPort": target}
                for name, (port, target) in workload.ports.items()
            ],
        },
    }


def build_endpoint_slice(workload: Workload, pods: Mapping[str, str]) -> Object:
    """Build the EndpointSlice of `build_service`; `pods` are name → address. Pure.

    Without targetRef istiod knows no service account for the endpoint and checks no identity.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": workload.name,
            "namespace": workload.namespace,
            "labels": {"kubernetes.io/service-name": workload.name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": name, "namespace": workload.namespace},
            }
            for name, address in pods.items()
        ],
        "ports": [{"name": name, "port": target} for name, (_, target) in workload.ports.items()],
    }
