"""The settings in the chart: the section `settings` of values.yaml and of its schema."""

import json
import re
from typing import Any

import yaml
from pydantic.alias_generators import to_camel

from egress_operator.plan.option import (
    DOMAIN_LENGTH,
    LABEL,
    VERSION,
    check_cidr,
    check_domain,
    check_label,
    check_version,
)
from egress_operator.runtime.settings import OPTIONS, Option, OptionType, check_address

OUTSIDE = frozenset({"metrics-port", "health-port", "kubeconfig", "context"})
"""Options that a pod has no use for; the ports are named in probes and Service."""
_TOP = ("log-level", "log-format")
"""Keys of their own in values.yaml."""
_SECTION = re.compile(r"(?<=^settings:\n)(?: .*\n)+", re.MULTILINE)
_FORMS: dict[Any, dict[str, Any]] = {
    None: {},
    check_label: {"pattern": f"^{LABEL.pattern}$"},
    check_domain: {"maxLength": DOMAIN_LENGTH, "pattern": "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
    check_version: {"pattern": f"^{VERSION.pattern}$"},
    check_cidr: {"pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"},
    check_address: {"pattern": "^[0-9a-fA-F.:]+$"},
}
_TYPES = {OptionType.INTEGER: "integer", OptionType.SECONDS: "number"}


def write_values(text: str) -> str:
    """Return values.yaml with its section `settings` made anew from the operator's options."""
    lines = [
        f"  # {option.meaning}\n  {to_camel(option.field)}: {_show(option)}\n"
        for option in OPTIONS
        if option.name not in {*OUTSIDE, *_TOP}
    ]
    return _SECTION.sub(lambda _: "".join(lines), text, count=1)


def write_schema(text: str) -> str:
    """Return values.schema.json with what it says of settings made anew."""
    schema = json.loads(text)
    properties = schema["properties"]
    properties["settings"]["properties"] = {
        to_camel(option.field): _build_schema(option)
        for option in OPTIONS
        if option.name not in {*OUTSIDE, *_TOP}
    }
    for option in OPTIONS:
        if option.name in _TOP:
            properties[to_camel(option.field)]["enum"] = list(option.choices)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _show(option: Option) -> str:
    if option.type is OptionType.LIST:
        return f"[{', '.join(option.default)}]"
    text = option.default_text
    is_text = option.type in {OptionType.TEXT, OptionType.CHOICE}
    # A bare 1.30 is the number 1.3.
    return json.dumps(text) if is_text and yaml.safe_load(text) != text else text


def _build_schema(option: Option) -> dict[str, Any]:
    form = _FORMS[option.check]
    if option.type is OptionType.LIST:
        return {"type": ["array", "null"], "items": {"type": "string", **form}}
    if option.choices == ("auto", "on", "off"):
        # YAML reads a bare on or off as true or false.
        return {
            "type": ["string", "boolean", "null"],
            "enum": [*option.choices, True, False, None],
        }
    if option.choices:
        return {"type": ["string", "null"], "enum": [*option.choices, None]}
    if option.minimum is not None:
        bounds = {"minimum": option.minimum, "maximum": option.maximum}
        return {"type": [_TYPES[option.type], "null"], **bounds}
    return {"type": ["string", "null"], **form}
