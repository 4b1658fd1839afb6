"""The corpus: pairs of policies or gateways that differ in one field, and single valid ones."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from egress_operator.api.check import check_gateway, check_policy
from egress_operator.api.model import Model
from egress_operator.diagnostic import Diagnostic
from testbed.document import load_document
from tools.crd import GATEWAY, POLICY, Resource

ROOT = Path(__file__).resolve().parents[1] / "corpus"
Document = Any
"""What a YAML file holds; an EgressPolicy or an EgressGateway, more or less."""


@dataclass(frozen=True)
class Pair:
    """`CODE-slug`: the invalid object breaks the rule, the valid one differs in one field."""

    name: str
    valid: Document
    invalid: Document

    @property
    def code(self) -> str:
        return self.name.partition("-")[0]

    @property
    def resource(self) -> Resource:
        """The kind that both are meant to be; EG007 breaks it."""
        return find_resource(self.valid)


def find_resource(document: Document) -> Resource:
    """Find the kind of a document; an unknown one is a policy."""
    return GATEWAY if document.get("kind") == GATEWAY.kind else POLICY


def check(
    document: Document, resource: Resource | None = None
) -> tuple[Model | None, tuple[Diagnostic, ...]]:
    """Python's verdict on a document as an object of the kind, by default its own."""
    if (resource or find_resource(document)) is GATEWAY:
        return check_gateway(document)
    return check_policy(document)


def load(file: Path) -> Document:
    return load_document(file.read_text("utf-8"))


@cache
def load_pairs() -> list[Pair]:
    """Load the pairs by name, once for all modules; nobody changes them."""
    return [
        Pair(folder.name, load(folder / "valid.yaml"), load(folder / "invalid.yaml"))
        for folder in sorted(ROOT.glob("EG*"))
    ]


@cache
def load_samples() -> dict[str, Document]:
    """Load the valid objects by file name, once for all modules; nobody changes them."""
    return {file.stem: load(file) for file in sorted((ROOT / "valid").glob("*.yaml"))}


def count_differences(one: object, other: object) -> int:
    """In how many fields or items two documents differ; a field with all below it counts once."""
    if isinstance(one, dict) and isinstance(other, dict):
        return sum(
            count_differences(one[key], other[key]) if key in one and key in other else 1
            for key in one.keys() | other.keys()
        )
    if isinstance(one, list) and isinstance(other, list):
        both = zip(one, other, strict=False)
        return abs(len(one) - len(other)) + sum(count_differences(*pair) for pair in both)
    return int(type(one) is not type(other) or one != other)
