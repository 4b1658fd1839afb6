"""Whether the admission policies that keep tenants from each other's names are in force."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from egress_operator.engine.failure import ApiError
from egress_operator.engine.resource import Resource
from egress_operator.engine.transport import JsonObject, Transport
from egress_operator.runtime.permission import ADMISSION_POLICIES

_GROUP, _VERSION = "admissionregistration.k8s.io", "v1"
POLICIES = Resource(_GROUP, _VERSION, "validatingadmissionpolicies")
BINDINGS = Resource(_GROUP, _VERSION, "validatingadmissionpolicybindings")
_RULES_ANNOTATION = "egress-operator.io/version-of-rules"
_FIX = "set admission.enabled in the chart, or apply deploy/base/admission.yaml"


async def read_admission(transport: Transport) -> str | None:
    """Say why the policies are not in force, in one line; empty when they are.

    None: the API server did not answer, keep what is known.
    """
    judges = ((POLICIES, _judge_policy), (BINDINGS, _judge_binding))
    answers = await asyncio.gather(
        *(
            _read(transport, resource, name, judge)
            for name in ADMISSION_POLICIES
            for resource, judge in judges
        )
    )
    if None in answers:
        return None
    return next((answer for answer in answers if answer), "")


async def _read(
    transport: Transport, resource: Resource, name: str, judge: Callable[[JsonObject], str]
) -> str | None:
    what = f"{resource.plural} {name}"
    try:
        problem = judge(await transport.get(resource, "", name))
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return f"{what} is missing: {_FIX}"
        if error.status == HTTPStatus.FORBIDDEN:
            return f"{what} may not be read: grant the operator `get` on it"
        return None
    return f"{what} {problem}: {_FIX}" if problem else ""


def _judge_policy(body: JsonObject) -> str:
    if _RULES_ANNOTATION not in (body["metadata"].get("annotations") or {}):
        return "is not the operator's"
    if body["spec"].get("failurePolicy", "Fail") != "Fail":
        return "lets through what it cannot judge (failurePolicy)"
    return ""


def _judge_binding(body: JsonObject) -> str:
    if "Deny" not in body["spec"].get("validationActions", ()):
        return "does not deny (validationActions)"
    return ""
