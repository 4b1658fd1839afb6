"""deploy/: the chart's objects without Helm, as one file and as a kustomize base."""

import re
from typing import Any

import yaml

from egress_operator.runtime.permission import STRICT_POLICIES

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
_OWN = r".*\.egress-operator\.io"
_LEVEL = "/metadata/annotations/egress-operator.io~1level"
_HEAD = re.compile(r"\A(#.*\n|---\n)*")
_ORDER = (
    "namespace.yaml",
    "crd.yaml",
    "rbac.yaml",
    "admission.yaml",
    "service.yaml",
    "deployment.yaml",
)


class _BlockDumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        """Choose the style."""
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_BlockDumper.add_representer(str, _BlockDumper.represent_str)


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
    files["compatible/kustomization.yaml"] = HEADER + yaml.dump(
        _build_compatible(), Dumper=_BlockDumper, sort_keys=False
    )
    every = [text for name in _ORDER for text in documents[name]]
    files["install.yaml"] = HEADER + "---\n".join(every)
    return files


def _build_compatible() -> dict[str, Any]:
    """Return the kustomize component that turns the level of the admission policies down."""
    kinds = [kind for kind, name in _FILES.items() if name == "admission.yaml"]
    level = [{"op": "replace", "path": _LEVEL, "value": "Compatible"}]
    leave_out = [
        {
            "$patch": "delete",
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
        }
        for name in STRICT_POLICIES
        for kind in kinds
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "patches": [
            *({"target": {"kind": kind, "name": _OWN}, "patch": _dump(level)} for kind in kinds),
            *({"patch": _dump(patch)} for patch in leave_out),
        ],
    }


def _dump(document: Any) -> str:  # noqa: ANN401 - whatever YAML can say
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if metadata and "labels" in metadata:
        labels = {
            key: value
            for key, value in metadata["labels"].items()
            if not key.startswith("helm.sh/") and value != "Helm"
        }
        document = {**document, "metadata": {**metadata, "labels": labels}}
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return text
