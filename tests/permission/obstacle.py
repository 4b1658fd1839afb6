"""What keeps one permission from being deleted: an admission policy, a webhook, or a finalizer."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple

from testbed.client import ApiError, Client, Object
from testbed.deadline import wait_until

from .gateway import TIMEOUT_S, Gateway
from .standing import AUTHORIZATION, FILTER, find_denials, find_permissions
from .tenant import Tenant


class Resource(NamedTuple):
    """A kind whose objects cannot be written or deleted."""

    version: str
    kind: str
    plural: str


POLICIES = Resource(*AUTHORIZATION, "authorizationpolicies")
FILTERS = Resource(*FILTER, "envoyfilters")
ADMISSION = "admissionregistration.k8s.io/v1"
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
NAMESPACE = "egress-operator.io/namespace"
WORDS = "these permissions are under review"
FINALIZER = "example.com/review"
WEBHOOK = "review.example.com"
HANG_S = 1
"""For how long the API server waits for a webhook that does not answer."""


class Obstacle(StrEnum):
    """What is in the way."""

    DELETE_REFUSED = "delete-refused"
    WRITES_REFUSED = "every-write-refused"
    FINALIZER = "finalizer"
    WEBHOOK = "webhook-without-answer"


@contextmanager
def hold(obstacle: Obstacle, gateway: Gateway, tenant: Tenant) -> Iterator[None]:
    """Keep the permissions of a tenant from being deleted."""
    if obstacle is Obstacle.FINALIZER:
        _set_finalizers(gateway, tenant, [FINALIZER])
        try:
            yield
        finally:
            _set_finalizers(gateway, tenant, None)
        return
    theirs = f"oldObject.metadata.?annotations['{NAMESPACE}'].orValue('') == '{tenant.namespace}'"
    (item, *_) = find_permissions(gateway.client, gateway.namespace, tenant.namespace)
    if obstacle is Obstacle.WEBHOOK:
        with _leave_unanswered(gateway.client, item, theirs):
            yield
        return
    operations = ["DELETE"] if obstacle is Obstacle.DELETE_REFUSED else ["DELETE", "UPDATE"]
    with refuse(gateway.client, item, operations, theirs):
        yield


@contextmanager
def take_denial(gateway: Gateway) -> Iterator[str]:
    """Delete the gateway's own AuthorizationPolicy, and refuse to make it again; give its name."""
    (item,) = [
        each
        for each in find_denials(gateway.client, gateway.namespace)
        if NAMESPACE not in each["metadata"]["annotations"]
    ]
    name = item["metadata"]["name"]
    with refuse(gateway.client, item, ["CREATE"], f"object.metadata.name == '{name}'"):
        gateway.client.delete(*AUTHORIZATION, name, gateway.namespace)
        yield name


def _set_finalizers(gateway: Gateway, tenant: Tenant, finalizers: list[str] | None) -> None:
    for item in find_theirs(gateway, tenant):
        gateway.client.merge_patch(item, {"metadata": {"finalizers": finalizers}})


def find_theirs(gateway: Gateway, tenant: Tenant) -> list[Object]:
    """List the AuthorizationPolicies that are made for a tenant, whatever they allow."""
    return [
        {**item, "apiVersion": AUTHORIZATION[0], "kind": AUTHORIZATION[1]}
        for item in gateway.client.list_objects(*AUTHORIZATION, gateway.namespace)
        if item["metadata"].get("annotations", {}).get(NAMESPACE) == tenant.namespace
    ]


@contextmanager
def refuse(
    client: Client,
    item: Object,
    operations: list[str],
    which: str,
    resource: Resource = POLICIES,
) -> Iterator[None]:
    """Refuse operations on objects of which a CEL expression is true; `item` is one of them."""
    name = "hold"
    rule = _build_rule(resource, *operations)
    specs: dict[str, dict[str, Any]] = {
        KINDS[0]: {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": f"!({which})", "message": WORDS, "reason": "Forbidden"}],
        },
        KINDS[1]: {"policyName": name, "validationActions": ["Deny"]},
    }
    for kind, spec in specs.items():
        body = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        client.apply(body)

    try:
        _wait_refused(client, item, operations, WORDS, resource)
        yield
    finally:
        for kind in reversed(KINDS):
            client.delete(ADMISSION, kind, name)
        _wait_refused(client, item, operations, WORDS, resource, expected=False)


@contextmanager
def _leave_unanswered(client: Client, item: Object, which: str) -> Iterator[None]:
    """Have deletions ask a webhook that takes connections, and says nothing."""
    name, kind = "hold", "ValidatingWebhookConfiguration"
    with socket.create_server(("127.0.0.1", 0)) as server:
        webhook = {
            "name": WEBHOOK,
            "clientConfig": {"url": f"https://127.0.0.1:{server.getsockname()[1]}/"},
            "rules": [_build_rule(POLICIES, "DELETE")],
            "matchConditions": [{"name": "theirs", "expression": which}],
            "failurePolicy": "Fail",
            "timeoutSeconds": HANG_S,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        metadata = {"name": name}
        body = {"apiVersion": ADMISSION, "kind": kind, "metadata": metadata, "webhooks": [webhook]}
        client.apply(body)
        try:
            _wait_refused(client, item, ["DELETE"], WEBHOOK, POLICIES)
            yield
        finally:
            client.delete(ADMISSION, kind, name)


def _build_rule(resource: Resource, *operations: str) -> dict[str, Any]:
    return {
        "apiGroups": [resource.version.split("/")[0]],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": [resource.plural],
    }


def _wait_refused(
    client: Client,
    item: Object,
    operations: list[str],
    words: str,
    resource: Resource,
    *,
    expected: bool = True,
) -> None:
    """Wait until the API server refuses an operation on `item` in these words, or no longer."""
    kind = resource.version, resource.kind
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]

    def is_refused() -> bool:
        try:
            if "CREATE" in operations:
                metadata = {"name": name, "namespace": namespace}
                body = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata}
                path = client.path(*kind, namespace=namespace)
                body = {**body, "spec": item["spec"]}
                client.request("POST", path, body=body, query={"dryRun": "All"})
            else:
                path = client.path(*kind, name, namespace)
                client.request("DELETE", path, query={"dryRun": "All"})
        except ApiError as error:
            return words in str(error)
        return False

    wait_until(
        lambda: is_refused() is expected, TIMEOUT_S, f"refused with {words!r}: not {expected}"
    )
