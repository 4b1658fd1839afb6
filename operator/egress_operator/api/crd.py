"""The CustomResourceDefinitions, built from the models."""

from typing import Any

from egress_operator.api.policy import GROUP, KIND, PLURAL, VERSION, EgressPolicy, EgressPolicySpec
from egress_operator.api.schema import Schema, build_structural_schema
from egress_operator.api.state import EgressPolicyStatus

LOWEST_KUBERNETES = "1.33"
"""The lowest version on which the CRD was installed and gave the same verdicts."""

CATEGORY = "egress"
CRD_NAME = f"{PLURAL}.{GROUP}"

_READY = ".status.conditions[?(@.type=='Ready')]"
_COLUMNS = (
    ("Ready", "string", f"{_READY}.status", 0, "Whether all of it is applied."),
    ("Reason", "string", f"{_READY}.reason", 0, "Why it is or is not."),
    ("Hosts", "string", ".status.hosts", 0, "Hosts applied, of how many."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Since when the policy exists."),
    ("Message", "string", f"{_READY}.message", 1, "The reason in a sentence."),
    ("Objects", "integer", ".status.objectCount", 1, "How many Istio objects stand for it."),
)
_SELECTABLE = (".spec.justification",)
"""Not possible inside lists. `--field-selector spec.justification=` finds policies without one."""


def build_crds() -> tuple[dict[str, Any], ...]:
    """All our CRDs as `kubectl apply` takes them. Pure; the same bytes each time."""
    return (_build_policy_crd(),)


def render_crds() -> str:
    """All our CRDs as a YAML stream."""
    import yaml  # noqa: PLC0415 - the operator does not need it

    return yaml.safe_dump_all(
        build_crds(), sort_keys=False, width=100, allow_unicode=True, explicit_start=True
    )


def _build_policy_crd() -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _build_root_schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {
                            "name": name,
                            "type": kind,
                            "jsonPath": path,
                            "priority": priority,
                            "description": text,
                        }
                        for name, kind, path, priority, text in _COLUMNS
                    ],
                    "selectableFields": [{"jsonPath": path} for path in _SELECTABLE],
                }
            ],
        },
    }


def _build_root_schema() -> Schema:
    spec = build_structural_schema(EgressPolicySpec)
    status = build_structural_schema(EgressPolicyStatus)
    return {
        "description": " ".join(str(EgressPolicy.__doc__).split()),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": f'The version of this API. Example: "{GROUP}/{VERSION}"',
                "type": "string",
            },
            "kind": {"description": f'The kind. Example: "{KIND}"', "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
