"""Service accounts with exactly given rights, and their tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from testbed.client import Client, Object

RBAC = "rbac.authorization.k8s.io/v1"
LIFETIME_S = 24 * 3600

Rule = Mapping[str, Sequence[str]]
"""A rule of a role: apiGroups, resources, verbs and the like."""


@dataclass(frozen=True)
class Identity:
    """A service account and what it may do."""

    namespace: str
    name: str
    cluster_rules: Sequence[Rule] = ()
    """What it may do everywhere (ClusterRole)."""
    rules: Mapping[str, Sequence[Rule]] = field(default_factory=dict)
    """What it may do in single namespaces (Role), by namespace."""

    @property
    def user(self) -> str:
        """Its name in the audit log."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def apply_identity(client: Client, identity: Identity) -> None:
    """Make the namespaces, the service account, its roles and bindings; no right beside them."""
    for namespace in {identity.namespace, *identity.rules}:
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    place = {"name": identity.name, "namespace": identity.namespace}
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
    name = f"{identity.namespace}-{identity.name}"
    if identity.cluster_rules:
        _apply_role(client, identity, "Cluster", {"name": name}, identity.cluster_rules)
    for namespace, rules in identity.rules.items():
        _apply_role(client, identity, "", {"name": name, "namespace": namespace}, rules)


def request_token(
    client: Client,
    namespace: str,
    name: str,
    *,
    audiences: Sequence[str] = (),
    lifetime_s: int = LIFETIME_S,
) -> str:
    """Get a bearer token of a service account; audiences default to the API server's own.

    The API server refuses a `lifetime_s` below 600.
    """
    path = client.path("v1", "ServiceAccount", name, namespace, "token")
    specification: Object = {"expirationSeconds": lifetime_s}
    if audiences:
        specification["audiences"] = list(audiences)
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": specification,
    }
    return str(client.request("POST", path, body=body)["status"]["token"])


def _apply_role(
    client: Client,
    identity: Identity,
    scope: str,
    metadata: Mapping[str, str],
    rules: Sequence[Rule],
) -> None:
    role = {
        "apiVersion": RBAC,
        "kind": f"{scope}Role",
        "metadata": dict(metadata),
        "rules": [{key: list(words) for key, words in rule.items()} for rule in rules],
    }
    subject = {"kind": "ServiceAccount", "name": identity.name, "namespace": identity.namespace}
    binding = {
        "apiVersion": RBAC,
        "kind": f"{scope}RoleBinding",
        "metadata": dict(metadata),
        "roleRef": {
            "apiGroup": RBAC.partition("/")[0],
            "kind": f"{scope}Role",
            "name": metadata["name"],
        },
        "subjects": [subject],
    }
    client.apply(role)
    client.apply(binding)
