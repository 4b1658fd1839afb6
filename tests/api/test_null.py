"""A key with nothing behind it is refused, whichever optional field it is."""

import copy
from collections.abc import Iterator

import pytest

from api.corpus import Document, check, find_resource, load_samples
from api.server import ask
from egress_operator.api.check import build_path
from egress_operator.api.hint import get_fields
from egress_operator.api.model import Model
from testbed.client import ApiError
from testbed.controlplane import ControlPlane
from tools.crd import RESOURCES

Place = tuple[str | int, ...]


def list_optional(model: type[Model], path: str = "spec") -> Iterator[str]:
    """Every optional field of a model and of those inside; lists leave no trace in the path."""
    held = get_fields(model)
    for name, info in model.model_fields.items():
        alias = info.alias or name
        if not info.is_required():
            yield f"{path}.{alias}"
        if (inner := held[alias]) is not None:
            yield from list_optional(inner, f"{path}.{alias}")


def list_objects(node: object, place: Place) -> Iterator[Place]:
    """Every object of a document."""
    if isinstance(node, dict):
        yield place
        for key, item in node.items():
            yield from list_objects(item, (*place, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from list_objects(item, (*place, index))


def build_documents() -> dict[str, tuple[Document, str]]:
    """By optional field: a valid object in which it is null, and where."""
    found: dict[str, tuple[Document, str]] = {}
    wanted = {
        f"{resource.kind} {path}" for resource in RESOURCES for path in list_optional(resource.spec)
    }
    for sample in load_samples().values():
        for place in list_objects(sample["spec"], ("spec",)):
            names = ".".join(part for part in place if isinstance(part, str))
            for field in sorted(wanted):
                kind, _, path = field.partition(" ")
                holder, _, name = path.rpartition(".")
                if kind != find_resource(sample).kind or holder != names:
                    continue
                document = copy.deepcopy(sample)
                node = document
                for part in place:
                    node = node[part]
                node[name] = None
                found[field] = document, build_path((*place, name))
                wanted.remove(field)
    assert wanted == set(), "no valid object has these"
    return found


DOCUMENTS = build_documents()


@pytest.mark.parametrize("field", DOCUMENTS)
def test_python_names_the_key(field: str) -> None:
    document, path = DOCUMENTS[field]
    found, (diagnostic,) = check(document)
    assert found is None
    assert (diagnostic.code, diagnostic.path) == ("EG033", path)
    name = field.rpartition(".")[2]
    assert diagnostic.message == f"{name} has no value; give it one, or remove the key"


def test_the_api_server_refuses_it(control_plane: ControlPlane) -> None:
    for field, (document, _) in DOCUMENTS.items():
        verdict = ask(control_plane.admin, document)
        assert not verdict.accepted, field
        assert "EG033" in verdict.message or "Unsupported value: null" in verdict.message, field


def test_server_side_apply_is_refused_and_a_patch_removes_the_field(
    control_plane: ControlPlane, namespace: str
) -> None:
    client = control_plane.admin
    document, _ = DOCUMENTS["EgressPolicy spec.gatewayRef"]
    group, kind = document["apiVersion"], "egresspolicies"
    path = f"/apis/{group}/namespaces/{namespace}/{kind}/null"
    whole = document | {"metadata": {"name": "null"}}
    given = whole | {"spec": document["spec"] | {"gatewayRef": {"name": "shared"}}}

    def apply(body: Document) -> None:
        client.request(
            "PATCH",
            path,
            query={"fieldManager": "test"},
            body=body,
            content_type="application/apply-patch+yaml",
        )

    apply(given)
    with pytest.raises(ApiError, match="EG033: a key has no value"):
        apply(whole)
    patch = {"spec": {"gatewayRef": None}}
    kept = client.request("PATCH", path, body=patch, content_type="application/merge-patch+json")
    assert "gatewayRef" not in kept["spec"]
