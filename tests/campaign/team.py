"""The platform team, who writes EgressGateways and labels namespaces."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from permission.gateway import GATEWAY, PORT, SERVICE, Gateway, apply_namespace
from testbed.client import Client, Object

from .place import GATEWAYS, TENANTS, list_places

OTHER_PORT = 8443


@dataclass(frozen=True)
class Platform:
    """The platform team."""

    client: Client

    def begin(self) -> None:
        """Write the pods of the gateways, EgressGateways, and the namespaces of tenants."""
        for name in GATEWAYS:
            for namespace, selector in list_places(name):
                Gateway(self.client, name).apply_pods(namespace, selector)
                self._apply_service(namespace, selector)
            self._write_gateway(name, self._build_gateway(name))
        for tenant in TENANTS:
            self._label(tenant, *GATEWAYS)

    def relabel(self, rng: random.Random) -> None:
        """Let a namespace use some gateways and no others."""
        self._label(rng.choice(TENANTS), *(name for name in GATEWAYS if rng.random() < 0.6))

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace."""
        self.client.delete("v1", "Namespace", namespace)

    def remake_namespace(self, rng: random.Random) -> None:
        """Make namespaces again that are gone."""
        for namespace in TENANTS:
            if self.client.find("v1", "Namespace", namespace) is None:
                self._label(namespace, *(name for name in GATEWAYS if rng.random() < 0.6))

    def list_terminating(self) -> list[str]:
        """List the namespaces that are being deleted."""
        return [
            item["metadata"]["name"]
            for item in self.client.list_objects("v1", "Namespace")
            if "deletionTimestamp" in item["metadata"]
        ]

    def edit_gateway(self, rng: random.Random) -> None:
        """Change one field of an EgressGateway, or make it again."""
        name = rng.choice(GATEWAYS)
        authorization = rng.choice(["Managed", "Managed", "DryRun", "None"])
        place = rng.choice(list_places(name))
        change: Object = rng.choice(
            [
                {"authorization": authorization},
                {"authorization": "Managed"},
                {"namespace": place[0], "selector": place[1]},
                {"service": {"name": SERVICE, "port": rng.choice([PORT, OTHER_PORT])}},
                {"namespaces": rng.choice([None, {}, {"matchLabels": {name: "yes"}}])},
                {"namespaces": {"matchLabels": {name: "yes"}}},
                {"traffic": {"connectionPool": {"maxConnectionDuration": "10m"}}},
                {"limits": rng.choice([None, {"servers": 1}])},
            ]
        )
        spec = self._find_spec(name)
        self._write_gateway(name, {**spec, **change} if spec else self._build_gateway(name))

    def recreate_gateway(self, rng: random.Random) -> None:
        """Delete an EgressGateway; half of them are there again at once."""
        name = rng.choice(GATEWAYS)
        spec = self._find_spec(name) or self._build_gateway(name)
        Gateway(self.client, name).delete()
        if rng.random() < 0.5:
            self._write_gateway(name, spec)

    def settle(self) -> None:
        """Let all EgressGateways be there, enforcing, each at its first place."""
        for name in GATEWAYS:
            # Place and authorization are never changed by one edit.
            if spec := self._find_spec(name):
                self._write_gateway(name, {**spec, "authorization": "Managed"})
            self._write_gateway(name, self._build_gateway(name))

    def _find_spec(self, name: str) -> Object:
        """Read the spec of an EgressGateway; empty when there is none."""
        spec: Object = (self.client.find(*GATEWAY, name) or {"spec": {}})["spec"]
        return spec

    def _build_gateway(self, name: str) -> dict[str, Any]:
        namespace, selector = list_places(name)[0]
        return {
            "namespace": namespace,
            "selector": selector,
            "namespaces": {"matchLabels": {name: "yes"}},
        }

    def _write_gateway(self, name: str, spec: Object) -> None:
        Gateway(self.client, name).apply(**spec)

    def _apply_service(self, namespace: str, selector: Mapping[str, str]) -> None:
        """Write a gateway's Service with both ports."""
        ports = [{"name": f"tls-{port}", "port": port} for port in (PORT, OTHER_PORT)]
        metadata = {"name": SERVICE, "namespace": namespace}
        spec = {"selector": dict(selector), "ports": ports}
        self.client.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        )

    def _label(self, namespace: str, *gateways: str) -> None:
        apply_namespace(self.client, namespace, **dict.fromkeys(gateways, "yes"))
