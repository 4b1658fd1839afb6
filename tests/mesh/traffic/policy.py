"""Policies that tests write, and what is made of them: kinds, names, ports."""

from collections.abc import Mapping
from typing import Any

from testbed.client import Object

POLICY = ("egress-operator.io/v1alpha1", "EgressPolicy")
ENTRY = ("networking.istio.io/v1", "ServiceEntry")
ROUTE = ("networking.istio.io/v1", "VirtualService")
OWNED = (
    ENTRY,
    ROUTE,
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1", "Gateway"),
)
"""Kinds of a tenant's own objects."""
NAMESPACE = "shop"
CHECKOUT, BATCH, APP = "shop/checkout", "shop/batch", "pay/app"
"""The workloads: one of the policies' namespace, one there with DNS capture, and a stranger."""

HTTP = {"number": 80, "protocol": "HTTP"}
TLS = {"number": 443, "protocol": "TLS"}
TCP = {"number": 5432, "protocol": "TCP"}


def build_policy(name: str, *destinations: Mapping[str, Any]) -> Object:
    """Build a policy in the namespace `shop`, or in another one: `pay/prices`. Pure."""
    namespace, name = split_name(name)
    return {
        "apiVersion": POLICY[0],
        "kind": POLICY[1],
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"destinations": [dict(destination) for destination in destinations]},
    }


def split_name(name: str) -> tuple[str, str]:
    """Split `NAMESPACE/NAME`; a name alone is in `shop`. Pure."""
    namespace, _, name = name.rpartition("/")
    return namespace or NAMESPACE, name


def join_name(item: Object) -> str:
    """Tell how an object is spoken of: `NAMESPACE/NAME`. Pure."""
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def build_destination(*hosts: str, ports: tuple[Object, ...] = (HTTP,), **more: object) -> Object:
    """Build a destination, by default plain HTTP on port 80; what is empty is left out. Pure."""
    fields = {"hosts": list(hosts), "ports": [dict(port) for port in ports], **more}
    return {name: value for name, value in fields.items() if value}


def build_entry(
    name: str,
    host: str,
    namespace: str = NAMESPACE,
    endpoint: str = "",
    ports: tuple[Object, ...] = (HTTP,),
) -> Object:
    """Build a hand-written ServiceEntry for a host, that may lead to another one. Pure."""
    return {
        "apiVersion": ENTRY[0],
        "kind": ENTRY[1],
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [host],
            "exportTo": ["."],
            "location": "MESH_EXTERNAL",
            "resolution": "DNS",
            "ports": [
                {**port, "name": f"{port['protocol'].lower()}-{port['number']}"} for port in ports
            ],
            **({"endpoints": [{"address": endpoint}]} if endpoint else {}),
        },
    }
