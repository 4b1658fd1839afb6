"""deploy/: the chart's objects without Helm, as one file and as a kustomize base."""

import re
from typing import Any

import yaml

HEADER = "# Made from charts/egress-operator by `make gen`. Do not edit.\n"
_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: egress-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
_FILES = {
    "ServiceAccount": "rbac.yaml",
    "ClusterRole": "rbac.yaml",
    "ClusterRoleBinding": "rbac.yaml",
    "Role": "rbac.yaml",
    "RoleBinding": "rbac.yaml",
    "ValidatingAdmissionPolicy": "admission.yaml",
    "ValidatingAdmissionPolicyBinding": "admission.yaml",
    "Service": "service.yaml",
    "Deployment": "deployment.yaml",
}
_HEAD = re.compile(r"\A(#.*\n|---\n)*")
_ORDER = (
    "namespace.yaml",
    "crd.yaml",
    "rbac.yaml",
    "admission.yaml",
    "service.yaml",
    "deployment.yaml",
)


def build_deploy(objects: list[dict[str, Any]], crds: dict[str, str]) -> dict[str, str]:
    """Path below deploy/ → text.

    `objects` is the chart rendered with its default values, `crds` file name → text of crds/: the
    CustomResourceDefinitions are taken as they stand there. Pure. Raises KeyError for a kind that
    has no file yet.
    """
    documents: dict[str, list[str]] = {name: [] for name in _ORDER}
    documents["namespace.yaml"] = [_NAMESPACE]
    documents["crd.yaml"] = [_HEAD.sub("", text, count=1) for _, text in sorted(crds.items())]
    for document in objects:
        if document["kind"] != "CustomResourceDefinition":
            documents[_FILES[document["kind"]]].append(_dump(document))
    # No `namespace:` here: it would move the Role of the mesh's namespace as well.
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [name for name in _ORDER if documents[name]],
    }
    files = {
        f"base/{name}": HEADER + "---\n".join(texts) for name, texts in documents.items() if texts
    }
    files["base/kustomization.yaml"] = HEADER + _dump(kustomization)
    every = [text for name in _ORDER for text in documents[name]]
    files["install.yaml"] = HEADER + "---\n".join(every)
    return files


def _dump(document: dict[str, Any]) -> str:
    if metadata := document.get("metadata"):
        labels = {
            key: value
            for key, value in metadata.get("labels", {}).items()
            if not key.startswith("helm.sh/") and value != "Helm"
        }
        document = {**document, "metadata": {**metadata, "labels": labels}}
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return text
