"""Installing custom resource definitions: Istio's and ours."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import yaml

from testbed.client import Client, Object
from testbed.deadline import wait_until
from testbed.program import find_file

GROUP_VERSION = "apiextensions.k8s.io/v1"
KIND = "CustomResourceDefinition"
TIMEOUT_S = 30.0
OURS = Path(__file__).resolve().parents[2] / "crds"


def load_istio_crds() -> list[Object]:
    """Istio's definitions, as released. Raises MissingProgramError."""
    return load_crds([find_file("istio-crds.yaml")])


def load_our_crds() -> list[Object]:
    """Load the definitions in `crds/`."""
    return load_crds(sorted(OURS.glob("*.yaml")))


def load_crds(files: Iterable[Path]) -> list[Object]:
    """All documents of the files that are definitions."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents = (item for file in files for item in yaml.load_all(file.read_text(), loader))
    return [item for item in documents if item and item["kind"] == KIND]


def install_crds(client: Client, definitions: Iterable[Object]) -> None:
    """Apply definitions (server-side) and wait until the API server serves every one."""
    names = [client.apply(item)["metadata"]["name"] for item in definitions]
    for name in names:
        wait_until(partial(_is_served, client, name), TIMEOUT_S, f"{name} is not served")


def remove_crds(client: Client, definitions: Iterable[Object]) -> None:
    """Delete definitions, and with them all their objects; wait until they are gone."""
    names = [item["metadata"]["name"] for item in definitions]
    for name in names:
        client.delete(GROUP_VERSION, KIND, name, missing_ok=True)
    for name in names:
        wait_until(
            partial(_is_gone, client, name),
            TIMEOUT_S,
            f"{name} is not gone",
        )


def _is_served(client: Client, name: str) -> bool:
    """Whether a kind is established, and listed by the discovery: that comes a moment later."""
    found = client.get(GROUP_VERSION, KIND, name)
    conditions = found.get("status", {}).get("conditions") or []
    if ("Established", "True") not in {(entry["type"], entry["status"]) for entry in conditions}:
        return False
    spec = found["spec"]
    return all(
        client.lists(f"{spec['group']}/{version['name']}", spec["names"]["kind"])
        for version in spec["versions"]
        if version["served"]
    )


def _is_gone(client: Client, name: str) -> bool:
    return client.find(GROUP_VERSION, KIND, name) is None
