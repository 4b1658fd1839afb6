"""The admission policies in force on a control plane, and the accounts that try them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from delivery.attack import (
    GATEWAY_SERVICE,
    ISTIO,
    PLACES,
    TENANT,
    build_object,
    build_service_entry,
)
from testbed.chart import NAMESPACE, RELEASE, render_chart
from testbed.client import ApiError, Client
from testbed.controlplane import ControlPlane
from testbed.crd import load_all_crds
from testbed.deadline import wait_until
from testbed.identity import Identity, apply_identity, request_token

Object = dict[str, Any]

TIMEOUT_S = 10.0
CLIENT_TIMEOUT_S = 60.0
"""The largest objects take the API server a while."""
RESERVED = "reserved-names.egress-operator.io"
EXPORTS = "gateway-exports.egress-operator.io"
MANAGED = "managed-objects.egress-operator.io"
ACCOUNT = "operator-account.egress-operator.io"
TENANT_EXPORTS = "tenant-exports.egress-operator.io"
SELECTORS = "gateway-selectors.egress-operator.io"
OUR_NAME = "api-example-com-hd0c43d3885064d9a"
"""A name as the operator gives it."""
STRICT, COMPATIBLE = "Strict", "Compatible"
"""The levels; the policies of the second are among those of the first."""
_EDIT = {
    "apiGroups": [
        "networking.istio.io",
        "security.istio.io",
        "gateway.networking.k8s.io",
        "gateway.networking.x-k8s.io",
        "",
    ],
    "resources": ["*"],
    "verbs": ["get", "list", "create", "update", "patch", "delete", "deletecollection"],
}
TENANT_USER = Identity("pay", "developer", cluster_rules=[_EDIT])
OPERATOR = Identity(NAMESPACE, RELEASE, cluster_rules=[_EDIT])
EXPORTED = build_object(ISTIO, "ServiceEntry", build_service_entry(exportTo=["istio-egress"]))
"""Refused as soon as a managed gateway is known; in Strict always."""
_TAKING = build_object(
    ISTIO, "ServiceEntry", build_service_entry(hosts=[GATEWAY_SERVICE], exportTo=["."])
)
"""Refused only while a managed gateway is known."""


def build_policies(level: str = STRICT, **settings: object) -> list[Object]:
    """Make the policies and bindings as the chart does with these settings."""
    found = render_chart({"admission": {"level": level}, "settings": settings})
    return [item for item in found if "ValidatingAdmission" in item["kind"]]


def build_ours(kind: str, spec: Object, name: str = OUR_NAME) -> Object:
    """Make an object as the operator does, in the tenant's namespace."""
    group = "security" if kind == "AuthorizationPolicy" else "networking"
    version = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    item = build_object(f"{group}.istio.io/{version}", kind, spec, name)
    item["metadata"] |= {
        "labels": {"app.kubernetes.io/managed-by": "egress-operator"},
        "annotations": {
            "egress-operator.io/host": "api.example.com",
            "egress-operator.io/policies": "payments",
        },
    }
    return item


def build_gateway(authorization: str) -> Object:
    """Make an EgressGateway in istio-egress."""
    return {
        "apiVersion": "egress-operator.io/v1alpha1",
        "kind": "EgressGateway",
        "metadata": {"name": "shared"},
        "spec": {
            "namespace": "istio-egress",
            "selector": {"istio": "egressgateway", "app": "egress"},
            "service": {"name": "istio-egressgateway", "port": 443},
            "authorization": authorization,
        },
    }


def install(plane: ControlPlane, level: str) -> None:
    """Install the accounts and the policies of a level; returns when these are in force.

    The kinds are there from the start, so that the garbage collector and admission know them.
    """
    for name in ("shop", "istio-egress"):
        plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for identity in (TENANT_USER, OPERATOR):
        apply_identity(plane.admin, identity)
    for item in build_policies(level):
        plane.admin.apply(item)
    attempts = [build_object(ISTIO, "DestinationRule", {"host": TENANT})]
    if level == STRICT:
        attempts.append(build_object(ISTIO, "DestinationRule", {"host": "public.example.com"}))
    for attempt in attempts:
        wait_until(partial(find_refusal, plane.admin, attempt), TIMEOUT_S, "they are in force")


def build_definitions() -> list[Object]:
    """Make all kinds, and those of the Gateway API, which take everything: our policy judges."""
    kinds = [place for place in PLACES if "k8s.io/" in place[0]]
    return [*load_all_crds(), *(_build_open_definition(*kind) for kind in kinds)]


def login(plane: ControlPlane, identity: Identity) -> Client:
    """Return a client with a token of the account."""
    token = request_token(plane.admin, identity.namespace, identity.name)
    return Client(plane.url, plane.ca_file, token, timeout_s=CLIENT_TIMEOUT_S)


def find_refusal(client: Client, item: Object) -> str:
    """Return the words of the refusal, empty when the object would be accepted."""
    try:
        client.create(item, dry_run=True)
    except ApiError as error:
        return error.message
    return ""


_SELECTING = build_object(
    ISTIO,
    "Gateway",
    {
        "selector": {},
        "servers": [
            {
                "port": {"number": 80, "name": "a", "protocol": "HTTP"},
                "hosts": ["a.example.com"],
            }
        ],
    },
)
"""Refused at the level Strict alone, while a managed gateway is known."""


def is_strictly_known(client: Client) -> bool:
    """Whether the API server knows a managed gateway, also for the policies of the level Strict."""
    return is_known(client) and f"'{SELECTORS}'" in find_refusal(client, _SELECTING)


def is_known(client: Client) -> bool:
    """Whether the API server knows a managed gateway."""
    return f"'{EXPORTS}'" in find_refusal(client, _TAKING)


@contextmanager
def manage(plane: ControlPlane, tenant: Client) -> Iterator[Object]:
    """Make a managed gateway; returns when it is known."""
    gateway = build_gateway("Managed")
    plane.admin.create(gateway)
    wait_until(lambda: is_known(tenant), TIMEOUT_S, "the gateway has no effect")
    try:
        yield gateway
    finally:
        plane.admin.delete(gateway["apiVersion"], gateway["kind"], gateway["metadata"]["name"])
        wait_until(lambda: not is_known(tenant), TIMEOUT_S, "it still has an effect")


def find_refusals(client: Client, items: list[Object]) -> list[str]:
    """Return the words of all refusals."""
    return [words for item in items if (words := find_refusal(client, item))]


def find_passing(client: Client, items: list[Object], policy: str = RESERVED) -> list[str]:
    """Tell which pass a policy, and what was said; any other refusal is passing too."""
    answers = [(item, find_refusal(client, item)) for item in items]
    return [f"{words}: {item}" for item, words in answers if f"'{policy}'" not in words]


def _build_open_definition(api_version: str, kind: str) -> Object:
    singular = kind.lower()
    plural = f"{singular.removesuffix('y')}ies" if singular.endswith("policy") else f"{singular}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    group, _, name = api_version.partition("/")
    version = {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": singular},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
