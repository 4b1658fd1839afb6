"""What the engine's tests are told with: a kind of their own, a sink, a reflector that runs."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from egress_operator.engine.credential import Credentials, Login
from egress_operator.engine.reflector import Reflector
from egress_operator.engine.resource import Resource
from egress_operator.engine.restart import RestartReason
from egress_operator.engine.timing import ReflectorState, ReflectorTiming
from egress_operator.engine.transport import JsonObject
from testbed.client import Client
from testbed.controlplane import ControlPlane
from testbed.crd import install_crds, remove_crds

LIMIT = 20.0
"""Seconds within which anything must have happened."""
FAST = ReflectorTiming(
    inactivity=3.0, retry_min=0.02, retry_max=0.3, forbidden=0.3, missing=0.3, retry_after_max=1.0
)
"""Real faults, short pauses."""
TOKEN = "secret-token-of-the-test"  # noqa: S105 - no secret


async def eventually(check: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait in the loop until `check` is true."""
    try:
        async with asyncio.timeout(limit):
            while not check():  # noqa: ASYNC110 - what is asked is not always an event
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"timed out: {what}")


@dataclass
class Mirror:
    """A sink that keeps whole objects, by namespace and name, and counts what it is told."""

    objects: dict[tuple[str, str], JsonObject] = field(default_factory=dict)
    listed: set[tuple[str, str]] = field(default_factory=set)
    lists: int = 0
    upserts: int = 0
    biggest_batch: int = 0
    versions: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.listed.clear()

    def upsert(self, obj: JsonObject) -> None:
        key = _read_key(obj)
        self.objects[key] = obj
        self.listed.add(key)
        self.upserts += 1

    def delete(self, obj: JsonObject) -> None:
        self.objects.pop(_read_key(obj), None)

    def advance(self, resource_version: str) -> None:
        self.versions.append(resource_version)

    def finish(self, resource_version: str) -> None:
        self.lists += 1
        self.versions.append(resource_version)
        for key in set(self.objects) - self.listed:
            del self.objects[key]

    def names(self) -> set[str]:
        return {name for _, name in self.objects}


def _read_key(obj: JsonObject) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


@dataclass
class Follower:
    """A running reflector with its sink and what it counted."""

    reflector: Reflector
    mirror: Mirror
    restarts: list[RestartReason]
    task: asyncio.Task[None]

    async def watches(self) -> None:
        """Wait until the reflector has listed and watches."""
        await eventually(lambda: self.reflector.state is ReflectorState.WATCHING, "it watches")

    async def sees(self, *names: str) -> None:
        """Wait until the mirror holds exactly these names."""
        await eventually(
            lambda: self.mirror.names() == set(names),
            f"{sorted(names)} expected, {sorted(self.mirror.names())} there, {self.restarts}",
        )
        assert not self.task.done()


@dataclass(frozen=True)
class Kind:
    """A kind of the tests' own, with its CRD."""

    resource: Resource
    namespace: str = "default"
    """Where the test puts its objects."""

    @property
    def crd(self) -> JsonObject:
        plural, group = self.resource.plural, self.resource.group
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "singular": "thing", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }

    def build(self, name: str, **spec: object) -> JsonObject:
        return {
            "apiVersion": f"{self.resource.group}/v1",
            "kind": "Thing",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }

    def delete(self, admin: Client, name: str) -> None:
        admin.delete(f"{self.resource.group}/v1", "Thing", name, self.namespace)

    def clear(self, admin: Client) -> None:
        """Delete all objects of the namespace."""
        admin.delete_all(f"{self.resource.group}/v1", "Thing", self.namespace)

    def install(self, admin: Client) -> None:
        """Create the CRD and wait until the API server serves it."""
        install_crds(admin, [self.crd])

    def remove(self, admin: Client) -> None:
        """Delete the CRD with all objects and wait until it is gone."""
        remove_crds(admin, [self.crd])


def build_credentials(url: str, token: str, plane: ControlPlane | None = None) -> Credentials:
    """Credentials with a fixed token; over TLS if `plane` gives its root certificate."""
    tls = None if plane is None else ssl.create_default_context(cafile=str(plane.ca_file))
    return Credentials(lambda: Login(url, tls, f"Bearer {token}"))


def read_admin_token(plane: ControlPlane) -> str:
    """Find the superuser's token in its kubeconfig."""
    for line in plane.admin_kubeconfig.read_text().splitlines():
        if "token:" in line:
            return line.partition("token:")[2].strip().strip("\"'")
    raise LookupError("the kubeconfig has no token")
