"""The admission policies in force on a control plane, and the accounts that try them."""

from typing import Any

from delivery.attack import GATEWAY_API, ISTIO, PLACES, TENANT, build_object, build_service_entry
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
_EDIT = {
    "apiGroups": ["networking.istio.io", "gateway.networking.k8s.io", ""],
    "resources": ["*"],
    "verbs": ["get", "list", "create", "update", "patch", "delete", "deletecollection"],
}
TENANT_USER = Identity("pay", "developer", cluster_rules=[_EDIT])
OPERATOR = Identity(NAMESPACE, RELEASE, cluster_rules=[_EDIT])
EXPORTED = build_object(ISTIO, "ServiceEntry", build_service_entry(exportTo=["istio-egress"]))
"""Refused as soon as a managed gateway is known."""


def build_policies() -> list[Object]:
    """Make the policies and bindings as the chart does."""
    return [item for item in render_chart() if "ValidatingAdmission" in item["kind"]]


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


def install(plane: ControlPlane) -> None:
    """Install the accounts and the policies; returns when these are in force.

    The kinds are there from the start, so that the garbage collector and admission know them.
    """
    for name in ("shop", "istio-egress"):
        plane.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for identity in (TENANT_USER, OPERATOR):
        apply_identity(plane.admin, identity)
    for item in build_policies():
        plane.admin.apply(item)
    attempt = build_object(ISTIO, "DestinationRule", {"host": TENANT})
    wait_until(lambda: find_refusal(plane.admin, attempt), TIMEOUT_S, "the policy is not in force")


def build_definitions() -> list[Object]:
    """Make all kinds, and those of the Gateway API, which take everything: our policy judges."""
    routes = [kind for version, kind in PLACES if version == GATEWAY_API]
    return [*load_all_crds(), *map(_build_route_crd, routes)]


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


def find_refusals(client: Client, items: list[Object]) -> list[str]:
    """Return the words of all refusals."""
    return [words for item in items if (words := find_refusal(client, item))]


def find_passing(client: Client, items: list[Object]) -> list[str]:
    """Tell which pass the policy on names, and what was said; any other refusal is passing too."""
    answers = [(item, find_refusal(client, item)) for item in items]
    return [f"{words}: {item}" for item, words in answers if f"'{RESERVED}'" not in words]


def _build_route_crd(kind: str) -> Object:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    group = GATEWAY_API.partition("/")[0]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
