"""Installing custom resource definitions: Istio's and ours."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from testbed.client import NOT_FOUND, ApiError, Client, Object
from testbed.deadline import wait_until
from testbed.document import load_documents
from testbed.program import find_file

GROUP_VERSION = "apiextensions.k8s.io/v1"
KIND = "CustomResourceDefinition"
TIMEOUT_S = 30.0
REMOVED_TIMEOUT_S = 90.0
"""An object that was written while the API server deleted all of them keeps it waiting for a minute
before it deletes again (crd_finalizer.go of the apiextensions-apiserver)."""
ASKED = "testbed/asked-again"
"""An annotation of a definition that is not removed at the first go."""
OURS = Path(__file__).resolve().parents[1] / "crds"


def load_all_crds() -> list[Object]:
    """Istio's definitions and ours. Raises MissingProgramError."""
    return [*load_istio_crds(), *load_our_crds()]


def load_istio_crds(*kinds: str) -> list[Object]:
    """Istio's definitions, as released: of these kinds, or all. Raises MissingProgramError."""
    definitions = load_crds([find_file("istio-crds.yaml")])
    return [item for item in definitions if not kinds or item["spec"]["names"]["kind"] in kinds]


def load_our_crds() -> list[Object]:
    """Load the definitions in `crds/`."""
    return load_crds(sorted(OURS.glob("*.yaml")))


def load_crds(files: Iterable[Path]) -> list[Object]:
    """All documents of the files that are definitions."""
    documents = (item for file in files for item in load_documents(file.read_text()))
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
    wait_removed(client, names)


def wait_removed(client: Client, names: Iterable[str]) -> None:
    """Wait until definitions that are being deleted are gone.

    Where the storage of a kind is made anew (the definition has just changed) the API server cannot
    delete its objects, and may look again only after 5 minutes. A change of the definition makes it
    look at once.
    """
    for name in names:
        wait_until(partial(_is_gone, client, name), REMOVED_TIMEOUT_S, f"{name} is not gone")


def _is_served(client: Client, name: str) -> bool:
    """Whether a kind is established, and listed by the discovery: that comes a moment later."""
    found = client.get(GROUP_VERSION, KIND, name)
    if ("Established", "True") not in _read_conditions(found, "status"):
        return False
    spec = found["spec"]
    return all(
        client.lists(f"{spec['group']}/{version['name']}", spec["names"]["kind"])
        for version in spec["versions"]
        if version["served"]
    )


def _read_conditions(definition: Object, field: str) -> set[tuple[str, str]]:
    """Return the types of the conditions, each with its `status` or its `reason`."""
    conditions = definition.get("status", {}).get("conditions") or []
    return {(condition["type"], condition[field]) for condition in conditions}


def _is_gone(client: Client, name: str) -> bool:
    found = client.find(GROUP_VERSION, KIND, name)
    if found is None:
        return True
    if ("Terminating", "InstanceDeletionFailed") in _read_conditions(found, "reason"):
        version = found["metadata"]["resourceVersion"]
        try:
            client.merge_patch(found, {"metadata": {"annotations": {ASKED: version}}})
        except ApiError as error:
            if error.code != NOT_FOUND:
                raise
    return False
