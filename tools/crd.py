"""The CustomResourceDefinitions, built from the models."""

import json
from dataclasses import dataclass
from typing import Any

import yaml

from egress_operator.api.gateway import (
    GATEWAY_KIND,
    GATEWAY_PLURAL,
    EgressGateway,
    EgressGatewaySpec,
)
from egress_operator.api.model import Model
from egress_operator.api.policy import GROUP, KIND, PLURAL, VERSION, EgressPolicy, EgressPolicySpec
from egress_operator.api.state import NOT_OBSERVED, EgressGatewayStatus, EgressPolicyStatus
from tools.schema import Schema, build_strict_schema, build_structural_schema

LOWEST_KUBERNETES = "1.33"
"""The lowest version on which the CRDs were installed and gave the same verdicts."""

CATEGORY = "egress"

Column = tuple[str, str, str, int, str]
"""Name, type, JSON path, priority, description."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One of our kinds, with all that its CRD holds."""

    kind: str
    plural: str
    namespaced: bool
    whole: type[Model]
    spec: type[Model]
    status: type[Model]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    """Paths for field selectors. Not possible inside lists."""

    @property
    def crd_name(self) -> str:
        """The name of the CRD."""
        return f"{self.plural}.{GROUP}"


def _build_condition_path(kind: str, field: str = "status") -> str:
    return f".status.conditions[?(@.type=='{kind}')].{field}"


POLICY = Resource(
    kind=KIND,
    plural=PLURAL,
    namespaced=True,
    whole=EgressPolicy,
    spec=EgressPolicySpec,
    status=EgressPolicyStatus,
    columns=(
        ("Ready", "string", _build_condition_path("Ready"), 0, "Whether all of it is applied."),
        ("Reason", "string", _build_condition_path("Ready", "reason"), 0, "Why it is or is not."),
        ("Hosts", "string", ".status.hosts", 0, "Hosts applied, of how many."),
        ("Gateway", "string", ".spec.gatewayRef.name", 0, "Its EgressGateway; empty: directly."),
        ("Age", "date", ".metadata.creationTimestamp", 0, "Since when the policy exists."),
        ("Message", "string", _build_condition_path("Ready", "message"), 1, "In a sentence."),
        ("Objects", "integer", ".status.objectCount", 1, "How many Istio objects stand for it."),
        ("Expires", "string", ".spec.expiresAt", 1, "When its objects are removed; empty: never."),
    ),
    # `--field-selector spec.justification=` finds policies without one.
    selectable=(".spec.justification",),
)

GATEWAY = Resource(
    kind=GATEWAY_KIND,
    plural=GATEWAY_PLURAL,
    namespaced=False,
    whole=EgressGateway,
    spec=EgressGatewaySpec,
    status=EgressGatewayStatus,
    columns=(
        ("Accepted", "string", _build_condition_path("Accepted"), 0, "Whether it is in force."),
        ("Ready", "string", _build_condition_path("Ready"), 0, "Whether it can carry traffic."),
        ("Isolated", "string", _build_condition_path("Isolated"), 0, "Whether tenants are apart."),
        ("Namespaces", "integer", ".status.namespaces", 0, "Namespaces that may use it."),
        ("Hosts", "integer", ".status.hosts", 0, "Hosts that go through it."),
        ("Age", "date", ".metadata.creationTimestamp", 0, "Since when the gateway exists."),
        ("Message", "string", _build_condition_path("Ready", "message"), 1, "In a sentence."),
    ),
)

RESOURCES = (POLICY, GATEWAY)


def build_crds() -> tuple[dict[str, Any], ...]:
    """All our CRDs as `kubectl apply` takes them. Pure; the same bytes each time."""
    return tuple(build_crd(resource) for resource in RESOURCES)


def render_crd(resource: Resource) -> str:
    """Render one CRD as YAML."""
    return yaml.safe_dump(
        build_crd(resource), sort_keys=False, width=100, allow_unicode=True, explicit_start=True
    )


def render_strict_schema(resource: Resource) -> str:
    """Render the JSON Schema by which editors check an object of the kind."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"{resource.kind} {GROUP}/{VERSION}",
    }
    return json.dumps(schema | build_strict_schema(resource.whole), indent=2) + "\n"


def build_crd(resource: Resource) -> dict[str, Any]:
    """Build the CRD of one kind. Pure."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _build_root_schema(resource)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {
                "name": name,
                "type": kind,
                "jsonPath": path,
                "priority": priority,
                "description": text,
            }
            for name, kind, path, priority, text in resource.columns
        ],
    }
    if resource.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in resource.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def _build_root_schema(resource: Resource) -> Schema:
    return {
        "description": " ".join(str(resource.whole.__doc__).split()),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": f'The version of this API. Example: "{GROUP}/{VERSION}"',
                "type": "string",
            },
            "kind": {"description": f'The kind. Example: "{resource.kind}"', "type": "string"},
            "metadata": {"type": "object"},
            "spec": build_structural_schema(resource.spec),
            "status": {
                **build_structural_schema(resource.status),
                "default": {"observedGeneration": NOT_OBSERVED},
            },
        },
    }
