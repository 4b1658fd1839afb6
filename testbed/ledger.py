"""Objects that a test writes, and taking all of them away again."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.client import NOT_FOUND, TOO_MANY_REQUESTS, ApiError, Client, Object
from testbed.deadline import wait_until
from testbed.document import load_documents
from testbed.workload import build_namespace

TIMEOUT_S = 30.0
LISTERS = 4
"""Kinds that are listed at a time."""
NETWORKING, SECURITY = "networking.istio.io", "security.istio.io"
POLICIES = (
    ("egress-operator.io/v1alpha1", "EgressPolicy"),
    ("egress-operator.io/v1alpha1", "EgressGateway"),
)
"""Deleted first: as long as they are there, an operator makes their children anew."""
CHILDREN = (
    (f"{NETWORKING}/v1", "VirtualService"),
    (f"{NETWORKING}/v1", "DestinationRule"),
    (f"{NETWORKING}/v1", "Gateway"),
    (f"{NETWORKING}/v1", "ServiceEntry"),
    (f"{NETWORKING}/v1", "Sidecar"),
    (f"{NETWORKING}/v1", "WorkloadEntry"),
    (f"{NETWORKING}/v1alpha3", "EnvoyFilter"),
    (f"{SECURITY}/v1", "AuthorizationPolicy"),
    (f"{SECURITY}/v1", "PeerAuthentication"),
)


class Ledger:
    """Writes objects and remembers them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._written: dict[tuple[str, str, str | None, str], None] = {}
        self._labels: set[tuple[str, str]] = set()

    def apply(self, *items: Object | str | Path) -> list[Object]:
        """Apply objects, YAML texts or YAML files in their order; return what the server made."""
        written = []
        for item in load_objects(*items):
            metadata = item["metadata"]
            key = (item["apiVersion"], item["kind"], metadata.get("namespace"), metadata["name"])
            self._written[key] = None
            written.append(self._client.apply(item))
        return written

    def label(self, namespace: str, labels: Mapping[str, str | None]) -> None:
        """Set labels of a namespace; None takes one away. `clean` takes away what was set."""
        self._labels |= {(namespace, key) for key in labels}
        self._write_labels(namespace, labels)

    def delete(self, *items: Object | str | Path) -> None:
        """Delete the named objects; those that are gone already are no error."""
        for item in load_objects(*items):
            metadata = item["metadata"]
            self._client.delete(
                item["apiVersion"],
                item["kind"],
                metadata["name"],
                metadata.get("namespace"),
                missing_ok=True,
            )

    def clean(self) -> None:
        """Delete what was applied here, and every policy and Istio object, until all are gone.

        The latter take in what an operator made of a policy.
        """
        while self._written:
            api_version, kind, namespace, name = self._written.popitem()[0]
            self._client.delete(api_version, kind, name, namespace, missing_ok=True)
        while self._labels:
            namespace, key = self._labels.pop()
            self._write_labels(namespace, {key: None})
        for kinds in (POLICIES, CHILDREN):
            _wait_empty(self._client, kinds)

    def _write_labels(self, namespace: str, labels: Mapping[str, str | None]) -> None:
        self._client.merge_patch(build_namespace(namespace), {"metadata": {"labels": labels}})


def load_objects(*items: Object | str | Path) -> list[Object]:
    """Read objects, YAML texts and YAML files, each with any number of documents, in order."""
    found: list[Object] = []
    for item in items:
        if isinstance(item, dict):
            found.append(item)
        else:
            text = item.read_text() if isinstance(item, Path) else item
            found += [document for document in load_documents(text) if document]
    return found


def _wait_empty(client: Client, kinds: tuple[tuple[str, str], ...]) -> None:
    def is_empty() -> bool:
        remaining = list_kinds(client, kinds)
        for item in remaining:
            metadata = item["metadata"]
            client.delete(
                item["apiVersion"],
                item["kind"],
                metadata["name"],
                metadata.get("namespace"),
                missing_ok=True,
            )
        return not remaining

    wait_until(is_empty, TIMEOUT_S, "objects of a test are still there")


def list_kinds(client: Client, kinds: Iterable[tuple[str, str]]) -> list[Object]:
    """List some kinds in all namespaces, a few at a time; nothing of those without a CRD."""
    with ThreadPoolExecutor(LISTERS) as pool:
        return [
            item
            for items in pool.map(lambda kind: _list_all(client, *kind), kinds)
            for item in items
        ]


def _list_all(client: Client, api_version: str, kind: str) -> list[Object]:
    try:
        found = wait_until(
            lambda: _list_ready(client, api_version, kind), TIMEOUT_S, f"{kind} cannot be listed"
        )
    except LookupError:
        return []
    # Items of a list do not say what they are.
    return [{**item, "apiVersion": api_version, "kind": kind} for item in found["items"]]


def _list_ready(client: Client, api_version: str, kind: str) -> dict[str, list[Object]]:
    """List a kind as `items`; nothing while its storage comes up, at the first request for it."""
    try:
        return {"items": client.list_objects(api_version, kind)}
    except ApiError as error:
        if error.code == NOT_FOUND:
            return {"items": []}
        if error.code == TOO_MANY_REQUESTS:
            return {}
        raise
