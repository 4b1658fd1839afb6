"""What stands at a gateway, found by kind, namespace, label and spec: never by a name."""

from typing import Any

from testbed.client import Client, Object

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
AUTHORIZATION = (SECURITY, "AuthorizationPolicy")
FILTER = (f"{NETWORKING}alpha3", "EnvoyFilter")
KINDS = (
    (NETWORKING, "ServiceEntry"),
    (NETWORKING, "VirtualService"),
    (NETWORKING, "DestinationRule"),
    (NETWORKING, "Gateway"),
    FILTER,
    AUTHORIZATION,
)
LABEL, ACCOUNT = "app.kubernetes.io/managed-by", "egress-operator"
OURS = f"{LABEL}={ACCOUNT}"
DRY_RUN = "istio.io/dry-run"
ISTIO = {
    "labels": {
        "istio.io/rev": "canary",
        "istio.io/use-waypoint": "stranger",
        "istio.io/persistent-session": "cookie",
    },
    "annotations": {
        "internal.istio.io/route-semantics": "gateway",
        "networking.istio.io/exportTo": "*",
        "networking.istio.io/traffic-distribution": "PreferClose",
        "sidecar.istio.io/inject": "false",
    },
}
"""Labels and annotations by which Istio takes an object in another way, or not at all."""


def find_permissions(
    client: Client, gateway_namespace: str, namespace: str | None = None
) -> list[Object]:
    """List the AuthorizationPolicies in force that let a namespace in; None: any namespace."""
    return [
        item
        for item in client.list_objects(*AUTHORIZATION, gateway_namespace)
        if item["spec"].get("action", "ALLOW") == "ALLOW"
        and not is_dry_run(item)
        and (read_callers(item) if namespace is None else namespace in read_callers(item))
    ]


def read_callers(policy: Object) -> set[str]:
    """Read the namespaces that an AuthorizationPolicy lets in, by themselves or by principal. Pure.

    A rule that names nobody lets in everybody, as `*`.
    """
    found: set[str] = set()
    for rule in policy["spec"].get("rules") or ():
        sources: list[dict[str, Any]] = [entry["source"] for entry in rule.get("from") or ()]
        if not sources:
            found.add("*")
        for source in sources:
            found |= set(source.get("namespaces") or ())
            found |= {name.split("/ns/")[1].split("/")[0] for name in source.get("principals", ())}
    return found


def find_denials(
    client: Client, namespace: str, *, dry_run: bool = False, ours: bool = True
) -> list[Object]:
    """List the AuthorizationPolicies that allow nothing, which denies all that none allows."""
    found = client.list_objects(*AUTHORIZATION, namespace, labels=OURS if ours else "")
    return [item for item in found if is_denial(item) and is_dry_run(item) == dry_run]


def is_denial(policy: Object) -> bool:
    """Whether an AuthorizationPolicy allows nothing. Pure."""
    spec = policy["spec"]
    return spec.get("action", "ALLOW") == "ALLOW" and not spec.get("rules")


def is_dry_run(policy: Object) -> bool:
    """Whether Istio only counts what an AuthorizationPolicy would do. Pure."""
    return (policy["metadata"].get("annotations") or {}).get(DRY_RUN) == "true"


def find_ours(client: Client, namespace: str, *kinds: str) -> list[Object]:
    """List the operator's objects of a namespace, of these kinds or of all."""
    return [
        {**item, "apiVersion": version, "kind": kind}
        for version, kind in KINDS
        if not kinds or kind in kinds
        for item in client.list_objects(version, kind, namespace, labels=OURS)
    ]


def read_uids(items: list[Object]) -> dict[str, str]:
    """Map `Kind namespace/name` of objects to their uids. Pure."""
    return {
        f"{item.get('kind', '')} {item['metadata']['namespace']}/{item['metadata']['name']}": item[
            "metadata"
        ]["uid"]
        for item in items
    }
