"""Every finding on the text of a policy or a gateway, each with its rule and its field. Pure."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from egress_operator.api.gateway import EgressGateway, EgressGatewaySpec
from egress_operator.api.hint import (
    Loc,
    explain_missing,
    explain_null,
    explain_type,
    explain_unknown_field,
    explain_unknown_value,
    find_meant,
    refuse_unknown_field,
)
from egress_operator.api.model import Model
from egress_operator.api.policy import EgressPolicy, EgressPolicySpec
from egress_operator.api.rule import FLOOR, NULL, Finding, quote
from egress_operator.api.selector import LabelSelector
from egress_operator.diagnostic import Diagnostic, build_diagnostic, read_rules

Checked = TypeVar("Checked", bound=Model)

MOST_HINTS = 16
"""So many unknown fields of a document are told which field was probably meant: it takes time."""
_PLAIN = re.compile("[-_A-Za-z0-9]+")
"""A key that can stand after a dot."""


def check_policy(
    document: Mapping[str, Any],
) -> tuple[EgressPolicy | None, tuple[Diagnostic, ...]]:
    """Judge a whole EgressPolicy by its shape, as the API server does on create.

    `document` is what a strict YAML or JSON reader gives. The policy is None when anything is
    wrong. Diagnostics are sorted, all are errors of scope Shape, and paths start at the document
    (`spec.destinations[0].hosts[1]`). `metadata.name` is demanded; `status` is not looked at.
    """
    return _check(EgressPolicy, document, (), EgressPolicySpec.height)


def check_spec(spec: object) -> tuple[EgressPolicySpec | None, tuple[Diagnostic, ...]]:
    """`check_policy` for `spec` alone, as the API server has it; paths start with `spec`."""
    return _check(EgressPolicySpec, spec, ("spec",), EgressPolicySpec.height)


def check_gateway(
    document: Mapping[str, Any],
) -> tuple[EgressGateway | None, tuple[Diagnostic, ...]]:
    """`check_policy` for a whole EgressGateway."""
    return _check(EgressGateway, document, (), EgressGatewaySpec.height)


def check_gateway_spec(
    spec: object,
) -> tuple[EgressGatewaySpec | None, tuple[Diagnostic, ...]]:
    """`check_spec` for the `spec` of an EgressGateway."""
    return _check(EgressGatewaySpec, spec, ("spec",), EgressGatewaySpec.height)


def read_selector(value: object) -> LabelSelector | None:
    """Read a selector alone; None when anything about it is wrong."""
    return _check(LabelSelector, value, (), LabelSelector.height)[0]


def _check(
    model: type[Checked], value: object, root: Loc, height: int
) -> tuple[Checked | None, tuple[Diagnostic, ...]]:
    try:
        return model.model_validate(value), ()
    except ValidationError as error:
        found = _list_details(error)
    # A bad host hides the checks of its destination: look again without the lower ones.
    for floor in range(1, height + 1):
        try:
            model.model_validate(value, context={FLOOR: floor})
        except ValidationError as error:
            found |= _list_details(error)
    return None, tuple(sorted(set(_translate(found.values(), model, root))))


def _list_details(error: ValidationError) -> dict[tuple[str, Loc, str], ErrorDetails]:
    """Return what pydantic found, each once: every look finds the unknown fields again."""
    return {
        (detail["type"], detail["loc"], detail["msg"]): detail
        for detail in error.errors(include_url=False)
        if not _is_false_alarm(detail)
    }


def _translate(
    details: Collection[ErrorDetails], model: type[Model], root: Loc
) -> Iterator[Diagnostic]:
    hints = MOST_HINTS
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    meant = {find_meant(model, loc) for loc in unknown[:MOST_HINTS]}
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue
        path = build_path(root + detail["loc"])
        if detail["type"] == "extra_forbidden" and (hints := hints - 1) < 0:
            yield _build("EG001", refuse_unknown_field(detail["loc"]), path)
        elif detail["type"] in read_rules():
            yield Diagnostic(detail["type"], path, detail["msg"], detail["ctx"]["fix"])
        else:
            yield _build(*_explain(detail, model), path)


def _is_false_alarm(detail: ErrorDetails) -> bool:
    """Pydantic counts a list without its bad items, and then calls it too short."""
    bound = detail.get("ctx", {}).get("min_length")
    return detail["type"] == "too_short" and len(detail["input"]) >= (bound or 0)


def build_path(loc: Loc) -> str:
    """`("spec", "destinations", 0)` as `spec.destinations[0]`, keys with dots as `["a.b/c"]`."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif path and _PLAIN.fullmatch(part) is None:
            path += f"[{json.dumps(part, ensure_ascii=False)}]"
        else:
            path += f".{part}" if path else part
    return path


def _build(code: str, finding: Finding, path: str) -> Diagnostic:
    return build_diagnostic(code, path, finding.what, finding.fix, finding.subject)


def _explain(detail: ErrorDetails, model: type[Model]) -> tuple[str, Finding]:
    """Rule and finding of one of pydantic's own errors; its words never reach the user."""
    kind, loc, value = detail["type"], detail["loc"], detail["input"]
    if value is None and isinstance(loc[-1] if loc else None, str):
        return NULL, explain_null(loc)
    code, finding = "EG003", explain_type(model, loc, kind, value)
    if kind == "extra_forbidden":
        code, finding = "EG001", explain_unknown_field(model, loc)
    elif kind == "missing":
        code, finding = "EG002", explain_missing(model, loc, value)
    elif kind in _BOUNDS:
        code, finding = "EG004", _BOUNDS[kind](value, detail["ctx"])
        if kind == "too_long" and loc[-1] in _NEXT:
            finding = finding._replace(fix=f"{finding.fix}, and put the rest into {_NEXT[loc[-1]]}")
    elif kind == "enum":
        code, finding = "EG005", explain_unknown_value(loc[-1], value, detail["ctx"]["expected"])
    elif kind == "literal_error":
        expected = detail["ctx"]["expected"].strip("'")
        code, finding = "EG007", Finding(f"{loc[-1]} is {quote(value)}", fix=f"write {expected}")
    return code, finding


_NEXT: Mapping[int | str, str] = {
    "destinations": "another policy",
    "hosts": "another destination",
    "ports": "another destination with the same hosts",
}
"""Where the rest of a list that is too long may go."""


def _count(value: Any, ctx: Mapping[str, Any], one: str, many: str) -> Finding:  # noqa: ANN401
    """Compare the length of a list, an object or a text with its bound."""
    least, most = ctx.get("min_length"), ctx.get("max_length")
    if least is None:
        return Finding(f"has {len(value)} {many}, too many", fix=f"give at most {most}")
    what = f"has {len(value)} {many}, too few" if value else "is empty"
    return Finding(what, fix=f"give at least {least} {one if least == 1 else many}")


_BOUNDS: Mapping[str, Callable[[Any, Mapping[str, Any]], Finding]] = {
    "too_long": lambda value, ctx: _count(value, ctx, "entry", "entries"),
    "too_short": lambda value, ctx: _count(value, ctx, "entry", "entries"),
    "string_too_long": lambda value, ctx: _count(value, ctx, "character", "characters"),
    "string_too_short": lambda value, ctx: _count(value, ctx, "character", "characters"),
    "greater_than_equal": lambda value, ctx: Finding(
        f"{quote(value)} is too small", fix=f"write {ctx['ge']} or more"
    ),
    "less_than_equal": lambda value, ctx: Finding(
        f"{quote(value)} is too large", fix=f"write {ctx['le']} or less"
    ),
}
