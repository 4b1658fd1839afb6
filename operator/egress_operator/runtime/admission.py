"""Whether the admission policies that keep tenants from each other's names are in force."""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import JsonObject, Transport
from egress_operator.runtime.permission import ADMISSION_POLICIES, STRICT_POLICIES
from egress_operator.status.gateway import Admission

_GROUP, _VERSION = "admissionregistration.k8s.io", "v1"
POLICIES = Resource(_GROUP, _VERSION, "validatingadmissionpolicies")
BINDINGS = Resource(_GROUP, _VERSION, "validatingadmissionpolicybindings")
RULES = "3"
"""The version of the rules that this operator was released with."""
_RULES_ANNOTATION = "egress-operator.io/version-of-rules"
_DIGEST_ANNOTATION = "egress-operator.io/digest"
_LEVEL_ANNOTATION = "egress-operator.io/level"
_STRICT = "Strict"
_FIX = "set admission.enabled in the chart, or apply deploy/base/admission.yaml"
_DEFAULTS: Mapping[str, object] = {"namespaceSelector": {}, "objectSelector": {}}
"""What the API server adds to `matchConstraints`; anything else there takes objects out."""


async def read_admission(transport: Transport) -> Admission | None:
    """Find out whether the policies are in force, and at which level.

    None: the API server did not answer, keep what is known.
    """
    keys = [(resource, name) for name in ADMISSION_POLICIES for resource in (POLICIES, BINDINGS)]
    answers = await asyncio.gather(*(_read(transport, *key) for key in keys))
    if None in answers:
        return None
    found = dict(zip(keys, answers, strict=True))
    is_strict = any(_read_level(answer) == _STRICT for answer in answers)
    needed = [key for key in keys if is_strict or key[1] not in STRICT_POLICIES]
    return Admission(_find_problem((key, found[key]) for key in needed), is_strict=is_strict)


async def _read(transport: Transport, resource: Resource, name: str) -> JsonObject | str | None:
    """Return the object; why there is none, in words; None when the API server did not answer."""
    try:
        return await transport.get(resource, "", name)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return f"is missing: {_FIX}"
        if error.status == HTTPStatus.FORBIDDEN:
            return "may not be read: grant the operator `get` on it"
        return None


def _read_level(answer: JsonObject | str | None) -> str:
    return _get_annotation(answer, _LEVEL_ANNOTATION) if isinstance(answer, dict) else ""


def _find_problem(answers: Iterable[tuple[tuple[Resource, str], JsonObject | str | None]]) -> str:
    """Return what is wrong with the first that is not as it was installed; empty when all are."""
    for (resource, name), answer in answers:
        problem = answer if isinstance(answer, str) else _judge(answer or {})
        if problem:
            return f"{resource.plural} {name} {problem}"
    return ""


def _judge(body: JsonObject) -> str:
    """Return what is wrong with a policy or binding, in words; empty when it is as installed."""
    rules = _get_annotation(body, _RULES_ANNOTATION)
    if not rules:
        return f"is not the operator's: {_FIX}"
    if rules != RULES:
        return f"has version {rules} of the rules, this operator needs {RULES}: {_FIX}"
    spec = body["spec"]
    if "Deny" not in spec.get("validationActions", ("Deny",)):
        return f"does not deny (validationActions): {_FIX}"
    if _compute_digest(spec) != _get_annotation(body, _DIGEST_ANNOTATION):
        return (
            "is not as it was installed: somebody has changed its spec, or the API server adds a "
            f"field that this operator does not know; {_FIX}"
        )
    return ""


def _get_annotation(body: JsonObject, name: str) -> str:
    return str((body["metadata"].get("annotations") or {}).get(name, ""))


def _compute_digest(spec: Mapping[str, Any]) -> str:
    """Return the digest of a spec without what the API server adds, as the chart computes it."""
    constraints = spec.get("matchConstraints")
    if constraints is not None:
        spec = {**spec, "matchConstraints": _drop_defaults(constraints)}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # As Go's encoding/json writes it.
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return hashlib.sha256(text.encode()).hexdigest()


def _drop_defaults(constraints: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in constraints.items() if _DEFAULTS.get(name) != value}
    rules = [
        {name: value for name, value in rule.items() if (name, value) != ("scope", "*")}
        for rule in constraints.get("resourceRules", ())
    ]
    return {**kept, "resourceRules": rules}
