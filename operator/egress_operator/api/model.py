"""The base of every model: closed, frozen, in camelCase outside, with checks of its whole."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from egress_operator.api.rule import CEL_KEY, Check, build_errors, get_floor, refuse

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
    absent_fields: ClassVar[Mapping[str, str]] = {}
    """Fields that it does not have but references elsewhere do, and how to go on without them."""
    height: ClassVar[int] = 1
    """One more than the highest model inside, if this one has checks."""

    @model_validator(mode="before")
    @classmethod
    def _drop_null(cls, value: object) -> object:
        """Leave out fields that are null, as the API server does; unknown ones stay unknown."""
        if not isinstance(value, Mapping):
            return value
        known = {info.alias for info in cls.model_fields.values()}
        return {key: item for key, item in value.items() if item is not None or key not in known}

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
        """Write the checks into the schema."""
        json_schema = handler(schema)
        if cls.checks:
            resolved = handler.resolve_ref_schema(json_schema)
            resolved[CEL_KEY] = [check.build_validation() for check in cls.checks]
        return json_schema
