"""A gateway: one Service and as many pods as there shall be, which come and go at run time."""

import base64
import itertools
from contextlib import ExitStack
from dataclasses import replace

from testbed.certificate import KeyPair
from testbed.client import Client, Object
from testbed.identity import Identity, apply_identity
from testbed.member import Member
from testbed.rig import Rig
from testbed.stoppable import Stoppable
from testbed.workload import Role, Workload, build_endpoint_slice, build_service

SERVICE = "istio-egressgateway"
EGRESS = Workload(
    "istio-egress",
    SERVICE,
    labels={"app": SERVICE, "istio": "egressgateway"},
    service_account=SERVICE,
    role=Role.ROUTER,
    ports={"http": (80, 8080), "https": (443, 8443)},
)
"""What `Mesh.start_gateway` starts; its pods are called like it, with a number."""
QUIET = {
    "proxyHeaders": {
        "envoyDebugHeaders": {"disabled": True},
        "forwardedClientCert": "SANITIZE",
    }
}
"""ProxyConfig of a gateway that tells the outside nothing, as docs/operate/gateways.md has it."""
SAME_PORTS = {"http": (80, 80), "https": (443, 443)}
"""Ports of a Service that leads to the very same ones."""
READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}


class Gateway(Stoppable):
    """A gateway that runs; `stop` takes it away with its Service.

    Its service account may read the Secrets of its namespace, or istiod would not send the proxies
    what a credentialName names.
    """

    def __init__(self, template: Workload, rig: Rig) -> None:
        self.template = template
        self._rig = rig
        self._client: Client = rig.control_plane.admin
        self._numbers = itertools.count(1)
        self._members: list[Member] = []
        self._stack = ExitStack()
        rules = {template.namespace: [READ_SECRETS]}
        apply_identity(
            self._client, Identity(template.namespace, template.service_account, rules=rules)
        )
        self._client.apply(build_service(template))
        self._write_endpoints()

    @property
    def namespace(self) -> str:
        return self.template.namespace

    @property
    def host(self) -> str:
        """The name of its Service in the mesh."""
        return f"{self.template.name}.{self.namespace}.svc.cluster.local"

    @property
    def members(self) -> tuple[Member, ...]:
        """Its pods, the oldest first."""
        return tuple(self._members)

    @property
    def addresses(self) -> set[str]:
        """Of its pods: what a server sees."""
        return {member.address for member in self._members}

    def add(self) -> Member:
        """Bring one more pod up; it is an endpoint of the Service when its proxy is ready."""
        name = f"{self.template.name}-{next(self._numbers)}"
        member = self._rig.add_member(replace(self.template, name=name, ports={}), self._stack)
        self._members.append(member)
        self._write_endpoints()
        return member

    def remove(self, member: Member) -> None:
        """Take a pod away as Kubernetes does: first the endpoint, then it may end in peace."""
        self._members.remove(member)
        self._write_endpoints()
        member.end_proxy()
        self._rig.remove_member(member)

    def lose(self, member: Member) -> None:
        """Kill a pod with its network; Kubernetes learns of it only afterwards."""
        member.kill_proxy()
        self._members.remove(member)
        self._rig.remove_member(member)
        self._write_endpoints()

    def stop(self) -> None:
        """Take everything away but the namespace."""
        self._stack.close()
        while self._members:
            self._rig.remove_member(self._members.pop())
        for item in (build_service(self.template), build_endpoint_slice(self.template, {})):
            self._client.delete(
                item["apiVersion"],
                item["kind"],
                self.template.name,
                self.namespace,
                missing_ok=True,
            )

    def _write_endpoints(self) -> None:
        pods = {member.workload.name: member.address for member in self._members}
        self._client.apply(build_endpoint_slice(self.template, pods))


def build_secret(namespace: str, name: str, pair: KeyPair | None = None, ca: bytes = b"") -> Object:
    """Build the Secret that a credentialName names: a client's certificate, roots, or both."""
    data = {"ca.crt": ca}
    if pair is not None:
        data |= {"tls.crt": pair.certificate, "tls.key": pair.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items() if value},
    }
