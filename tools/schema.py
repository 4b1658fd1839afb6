"""The models as schemas: structural for CRDs, strict JSON Schema for editors.

Pydantic's schema holds what a structural schema may not: references, titles, defaults, closed
objects. Everything is inlined here, and each description gets its example.
"""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from egress_operator.api.model import Model
from egress_operator.api.rule import CEL_KEY, LIST_TYPE_KEY, NULLABLE_KEY, PATTERN_KEY

Schema = dict[str, Any]

_NOISE = ("$defs", "default", "examples", "title")
_ORDER = (
    "description",
    "type",
    "format",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "items",
)


def build_structural_schema(model: type[Model]) -> Schema:
    """Build the structural schema of a model: what a CRD may hold, without defaults."""
    return _to_structural(build_plain_schema(model))


def build_strict_schema(model: type[Model]) -> Schema:
    """Build the JSON Schema of a model for editors: closed objects and patterns, without CEL."""
    return _to_strict(build_plain_schema(model))


def build_plain_schema(model: type[Model]) -> Schema:
    """Pydantic's schema with all references inlined; models are trees, so this ends."""
    raw = model.model_json_schema(schema_generator=_Generator)
    inlined: Schema = _inline(raw, raw.get("$defs", {}))
    return inlined


class _Generator(GenerateJsonSchema):
    """Takes the docstring below a field for its description.

    Pydantic can do it by itself (`use_attribute_docstrings`), but then at every start.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Build the schema of one model."""
        built = super().model_schema(schema)
        model: type[Model] = schema["cls"]
        for name, text in _read_docstrings(model):
            built["properties"][model.model_fields[name].alias or name]["description"] = text
        return built


def _read_docstrings(model: type[Model]) -> Iterator[tuple[str, str]]:
    """Give each field that has a docstring, its own or that of a parent."""
    for holder in model.__mro__[-2::-1]:
        if not issubclass(holder, Model):
            continue
        (definition,) = ast.parse(inspect.getsource(holder)).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ) if name in model.model_fields:
                    yield name, " ".join(words.split())


def describe(schema: Mapping[str, Any]) -> str:
    """Build the description of a field: one sentence and the example."""
    text = str(schema.get("description", "")).replace("\n", " ")
    if examples := schema.get("examples"):
        text += f" Example: {json.dumps(examples[0])}"
    return text


def _inline(node: Any, definitions: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        target = definitions[reference.rpartition("/")[2]]
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**target, **siblings}, definitions)
    return {key: _inline(value, definitions) for key, value in node.items() if key != "$defs"}


def _to_structural(node: Mapping[str, Any]) -> Schema:
    schema = {key: value for key, value in node.items() if key not in (*_NOISE, PATTERN_KEY)}
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    if text := describe(node):
        schema["description"] = text
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    return _order(_descend(schema, node, _to_structural))


def _to_strict(node: Mapping[str, Any]) -> Schema:
    left_out = ("$defs", "default", "title", CEL_KEY, NULLABLE_KEY, PATTERN_KEY)
    schema = {
        key: value
        for key, value in node.items()
        if key not in left_out and not key.startswith("x-kubernetes-")
    }
    if text := describe(node):
        schema["description"] = text
    if pattern := node.get(PATTERN_KEY):
        schema["pattern"] = pattern
    if node.get(LIST_TYPE_KEY) == "set":
        schema["uniqueItems"] = True
    return _order(_descend(schema, node, _to_strict))


def _descend(schema: Schema, node: Mapping[str, Any], convert: Any) -> Schema:  # noqa: ANN401
    if "properties" in node:
        schema["properties"] = {name: convert(value) for name, value in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = convert(node["additionalProperties"])
    if "items" in node:
        schema["items"] = convert(node["items"])
    return schema


def _order(schema: Schema) -> Schema:
    """Put what a reader looks for first, the rest by name: the files have stable bytes."""
    first = {key: schema[key] for key in _ORDER if key in schema}
    return first | {key: schema[key] for key in sorted(schema) if key not in first}
