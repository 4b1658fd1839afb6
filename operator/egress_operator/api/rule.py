"""One rule in its two languages: Python for ourselves, CEL for the API server.

A `Check` stands in an annotated type or in a model's `checks`. The number and the words come from
the table in `diagnostic`, so both sides name the same rule.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from egress_operator.diagnostic import build_message

T = TypeVar("T")

FLOOR = "floor"
"""Key of the validation context: checks below this height are left out, so that those of the
objects around them are heard too. Values and lists have height 0, each model says its own."""

QUOTE_LIMIT = 80
CEL_KEY = "x-kubernetes-validations"
LIST_TYPE_KEY = "x-kubernetes-list-type"
NULLABLE_KEY = "nullable"
NULL = "EG033"
_RESERVED_WORDS = {"namespace": "__namespace__"}
"""Names of fields that CEL spells in another way."""
PATTERN_KEY = "x-pattern"
"""Carries a check's pattern to the editors' schema; no CRD holds it: CEL has better words."""


class Finding(NamedTuple):
    """What a check found, in the words of its rule unless it has better ones."""

    what: str = ""
    """What is wrong with this value, without a full stop; empty: the title of the rule."""
    loc: tuple[str | int, ...] = ()
    """The way from the checked value to the field, in names of the API."""
    fix: str = ""
    """How to fix it; empty: the fix of the rule."""
    subject: str = "this"
    """What the title calls so."""


def quote(value: object) -> str:
    """Show `value` in a message: one line, text in quotes and cut at `QUOTE_LIMIT` characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = str(value) if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= QUOTE_LIMIT else f"{text[:QUOTE_LIMIT]}...")


def get_floor(info: ValidationInfo) -> int:
    """Return the height below which checks are left out of this validation."""
    return int(info.context.get(FLOOR, 0)) if info.context else 0


def say(code: str, finding: Finding) -> str:
    """Build the message of a finding. Pure."""
    return build_message(code, finding.what, finding.fix, finding.subject)


def build_cel_list(items: tuple[str, ...]) -> str:
    """Build a CEL list of strings. None of ours holds a quote or a backslash."""
    return "[" + ", ".join(f"'{item}'" for item in items) + "]"


def build_errors(code: str, found: Iterable[Finding], value: object) -> list[InitErrorDetails]:
    """Build the findings of one rule for pydantic, which puts the outer path before each `loc`."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(
                code, "{text}", {"text": say(code, finding), "fix": finding.fix}
            ),
            loc=finding.loc,
            input=value,
        )
        for finding in found
    ]


def refuse(errors: list[InitErrorDetails]) -> None:
    """Raise what was found, if anything: pydantic merges it into the outer `ValidationError`."""
    if errors:
        raise ValidationError.from_exception_data("value", errors)


class Check(NamedTuple):
    """A rule beyond types and bounds. `cel` is true and `find` yields nothing for a valid value.

    `field` is the field of a checked object that the API server names (CEL's `fieldPath`);
    `pattern` is a regular expression that says most of it to an editor.
    """

    code: str
    cel: str
    find: Callable[[Any], Iterable[Finding]]
    field: str = ""
    pattern: str = ""

    def build_validation(self) -> dict[str, str]:
        """Build the entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": f"{self.code}: {build_message(self.code)}"}
        return entry | ({"fieldPath": f".{self.field}"} if self.field else {})

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic run it after the type."""

        def verify(value: object, info: ValidationInfo) -> object:
            if get_floor(info) == 0:
                refuse(build_errors(self.code, self.find(value), value))
            return value

        return core_schema.with_info_after_validator_function(verify, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Write it into the schema."""
        json_schema = handler(schema)
        json_schema.setdefault(CEL_KEY, []).append(self.build_validation())
        if self.pattern:
            json_schema[PATTERN_KEY] = self.pattern
        return json_schema


def build_not_empty_check(*fields: str) -> Check:
    """Build the rule that at least one of an object's fields, all optional, is given."""

    def find(value: BaseModel) -> Iterator[Finding]:
        if not value.model_fields_set:
            yield Finding(
                fix=f"give {' or '.join(fields)}; or remove it, with all around it that is empty "
                "then"
            )

    return Check("EG030", " || ".join(f"has(self.{field})" for field in fields), find)


def build_null_validation(fields: Iterable[str]) -> dict[str, str]:
    """Build the entry of `x-kubernetes-validations` by which no field of an object is null.

    The API server drops a null without a word, unless its schema is `nullable`. To CEL a field that
    is null is then absent, but the size of the object counts it (kubernetes,
    apiserver/pkg/cel/common/values.go: `Find` and `Size` of `unstructuredMap`).
    """
    given = ", ".join(f"has(self.{_RESERVED_WORDS.get(field, field)})" for field in fields)
    return {
        "rule": f"dyn(self).size() == [{given}].filter(given, given).size()",
        "message": f"{NULL}: {build_message(NULL)}",
    }


def build_one_of_check(*fields: str) -> Check:
    """Build the rule that exactly one of an object's fields, all optional, is given."""

    def find(value: BaseModel) -> Iterator[Finding]:
        known = type(value).model_fields
        given = sorted(str(known[name].alias) for name in value.model_fields_set)
        if len(given) != 1:
            what = f"{' and '.join(given)} are given together" if given else "nothing is given"
            yield Finding(what, fix=f"give exactly one of {', '.join(fields)}")

    listed = ", ".join(f"has(self.{field})" for field in fields)
    return Check("EG034", f"[{listed}].filter(given, given).size() == 1", find)


class ListType(NamedTuple):
    """`x-kubernetes-list-type`: the API server merges by it and refuses duplicates (EG006)."""

    kind: Literal["atomic", "set", "map"]
    key: str = ""
    """For a map: the field that identifies an item."""

    def find(self, items: Sequence[Any]) -> Iterator[Finding]:
        """Every item that an earlier one equals (set) or whose key an earlier one has (map)."""
        if self.kind == "atomic":
            return
        seen = set()
        for index, item in enumerate(items):
            identity = getattr(item, self.key) if self.key else item
            if identity in seen:
                what = f"{self.key} {quote(identity)}" if self.key else quote(identity)
                yield Finding(f"{what} stands in this list twice", (index,))
            seen.add(identity)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic run it after the type."""

        def verify(value: Sequence[Any], info: ValidationInfo) -> Sequence[Any]:
            if get_floor(info) == 0:
                refuse(build_errors("EG006", self.find(value), value))
            return value

        return core_schema.with_info_after_validator_function(verify, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Write it into the schema."""
        json_schema = handler(schema)
        json_schema[LIST_TYPE_KEY] = self.kind
        if self.key:
            json_schema["x-kubernetes-list-map-keys"] = [self.key]
        return json_schema


class NotNull:
    """Keeps null out of the type of an optional field."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic run it after the type."""
        schema = handler(source)
        if schema["type"] != "nullable":
            raise TypeError(f"NotNull belongs on an optional type, not on {source}")
        inner: CoreSchema = schema["schema"]
        return inner


Omittable = Annotated[T | None, NotNull()]
"""The type of a field that may be left out, and must not be null."""
