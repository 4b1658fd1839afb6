"""The base of every model: closed, frozen, in camelCase outside, with checks of its whole."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from egress_operator.api.rule import (
    CEL_KEY,
    NULLABLE_KEY,
    Check,
    build_errors,
    build_null_validation,
    get_floor,
    refuse,
)
from egress_operator.api.word import Words

REFERENCE_FIELDS = ("apiVersion", "group", "kind", "namespace")
"""What references of other APIs have besides the name."""


class Model(BaseModel):
    """An object of the API. Its checks run when each of its fields is well formed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=False,
        defer_build=True,
    )

    checks: ClassVar[tuple[Check, ...]] = ()
    absent_fields: ClassVar[Words] = {}
    """Fields that it does not have but its like elsewhere does, and how to go on without them."""
    words: ClassVar[Words] = {}
    """Fields that other APIs have and nothing inside this has, and what to write instead."""
    null_is_left_out: ClassVar[bool] = False
    """Whether null means left out in optional fields too: in what Kubernetes or the operator itself
    writes. In a spec it is an error (EG033): an empty value must not open anything."""
    height: ClassVar[int] = 1
    """One more than the highest model inside, if this one has checks."""

    @model_validator(mode="before")
    @classmethod
    def _drop_null(cls, value: object) -> object:
        """Leave out required fields that are null, as the API server does: they are missing."""
        if not isinstance(value, Mapping):
            return value
        dropped = {
            info.alias
            for info in cls.model_fields.values()
            if info.is_required() or cls.null_is_left_out
        }
        return {key: item for key, item in value.items() if item is not None or key not in dropped}

    @model_validator(mode="after")
    def _run_checks(self, info: ValidationInfo) -> "Model":
        if get_floor(info) > self.height:
            return self
        refuse(
            [
                error
                for check in self.checks
                for error in build_errors(check.code, check.find(self), self)
            ]
        )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Write the checks into the schema, and the one that no optional field is null."""
        json_schema = handler(schema)
        resolved = handler.resolve_ref_schema(json_schema)
        validations = [check.build_validation() for check in cls.checks]
        properties = resolved.get("properties", {})
        optional = properties.keys() - set(resolved.get("required", ()))
        if optional and not cls.null_is_left_out:
            for name in optional:
                properties[name] = properties[name] | {NULLABLE_KEY: True}
            validations.append(build_null_validation(properties))
        if validations:
            resolved[CEL_KEY] = validations
        return json_schema
