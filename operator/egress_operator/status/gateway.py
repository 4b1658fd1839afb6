"""`compute_gateway_status`: the status of one EgressGateway.

| condition | True when |
|---|---|
| Accepted | its text is valid, and no older EgressGateway has the same pods |
| Ready | its Service leads to pods that are ready, and its own objects are applied |
| Isolated | authorization is Managed, nothing is stuck, the admission policies are in force, and |
|  | no object of others may take the calls of tenants |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from egress_operator.api.state import Truth
from egress_operator.diagnostic import MOST_NAMED, find_rule, name_some
from egress_operator.plan.gateway import Gateway, GatewayResult
from egress_operator.plan.intent import Authorization, Wildcards
from egress_operator.status.condition import (
    Condition,
    Conditions,
    build_condition,
    read_conditions,
)
from egress_operator.status.destination import explain_squatter
from egress_operator.status.progress import SetProgress, SetState

GatewayStatus = dict[str, Any]


class GatewayType(StrEnum):
    """The types of conditions, in the order in which they stand in a status."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    ISOLATED = "Isolated"


class GatewayReason(StrEnum):
    """The reasons of conditions. `Accepted=False` has the reason of the broken rule instead."""

    ACCEPTED = "Accepted"
    NOT_ACCEPTED = "NotAccepted"
    SERVING = "Serving"
    NOT_SERVING = "NotServing"
    SERVICE_UNKNOWN = "ServiceUnknown"
    PENDING = "Pending"
    ISOLATED = "Isolated"
    NOT_ENFORCED = "NotEnforced"
    STUCK = "PermissionStuck"
    ADMISSION_MISSING = "AdmissionPolicyMissing"
    FOREIGN_OBJECTS = "ForeignObjects"
    COMPATIBLE = "CompatibleAdmission"


@dataclass(frozen=True, slots=True)
class Admission:
    """The admission policies as they stand on the API server."""

    problem: str
    """Why they are not in force, in one line; empty when they are."""
    is_strict: bool = True
    """Whether they refuse all that crosses the border of a namespace and is not known as harmless;
    else only what is known as harmful."""

    @property
    def guards_sockets(self) -> bool:
        """Whether they keep tenants from the sockets of a gateway's pods."""
        return self.is_strict and not self.problem


@dataclass(frozen=True, slots=True)
class StuckPermission:
    """An AuthorizationPolicy or EnvoyFilter of a tenant that cannot be changed or deleted."""

    object: str
    """Kind, namespace and name."""
    namespace: str
    """The tenant."""
    words: str
    """Why, in one line."""
    deletes: bool
    """Whether it is to go, or to change."""


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What is known of a gateway beside its own text."""

    progress: SetProgress
    """Of its own objects."""
    unready: str
    """Why it cannot carry traffic, in one line; empty when it can."""
    admission: Admission
    namespaces: int
    """How many have something at it."""
    hosts: int
    """How many stand at it."""
    denied: tuple[str, ...] = ()
    """Namespaces that have something at it and no permission, sorted."""
    stuck: tuple[StuckPermission, ...] = ()
    serves_itself: bool = False
    """Whether the namespace of its pods has something at it too."""
    is_service_known: bool = True
    """Whether the Services around its pods have been read."""
    foreign: tuple[str, ...] = ()
    """What others wrote that may take the calls of tenants, one line each."""


def compute_gateway_status(
    result: GatewayResult, facts: GatewayFacts, previous: Mapping[str, Any] | None, now: str
) -> GatewayStatus:
    """Compute the whole `status` of an EgressGateway. Pure.

    The result equals `previous` when nothing is to be written.
    """
    before = read_conditions(previous)
    return {
        "observedGeneration": result.source.generation,
        "conditions": [
            build_condition(item, before, now) for item in _judge(result, facts, before)
        ],
        "namespaces": facts.namespaces,
        "hosts": facts.hosts,
    }


def _judge(result: GatewayResult, facts: GatewayFacts, before: Conditions) -> Iterable[Condition]:
    generation = result.source.generation
    if result.gateway is None:
        first = result.diagnostics[0]
        message = ". ".join(
            f"{item.path}: {item.message} ({item.code})" for item in result.diagnostics[:3]
        )
        reason = find_rule(first.code).reason
        yield Condition(GatewayType.ACCEPTED, Truth.FALSE, reason, message, generation)
        kept = (
            "permissions stay, as spec.namespaces cannot be read"
            if result.tenants is None
            else "permissions stay, but those of namespaces that it does not select are withdrawn"
        )
        message = f"not looked at, because the gateway is not accepted; {kept}"
        for type_ in (GatewayType.READY, GatewayType.ISOLATED):
            yield Condition(type_, Truth.FALSE, GatewayReason.NOT_ACCEPTED, message, generation)
        return
    message = ". ".join(
        ["the gateway is valid"]
        + [f"Warning: {item.path}: {item.message} ({item.code})" for item in result.diagnostics[:3]]
    )
    yield Condition(GatewayType.ACCEPTED, Truth.TRUE, GatewayReason.ACCEPTED, message, generation)
    last = before.get(GatewayType.READY, {})
    if last.get("observedGeneration") != generation:
        last = {}
    truth, reason, message = _judge_ready(result.gateway, facts, last)
    yield Condition(GatewayType.READY, truth, reason, message, generation)
    truth, reason, message = _judge_isolated(result.gateway, facts)
    yield Condition(GatewayType.ISOLATED, truth, reason, message, generation)


_Judgement = tuple[Truth, GatewayReason, str]


def _judge_ready(gateway: Gateway, facts: GatewayFacts, last: Mapping[str, Any]) -> _Judgement:
    """Judge by the Services; until they are read, what was known before a restart stays."""
    if facts.unready:
        return Truth.FALSE, GatewayReason.NOT_SERVING, facts.unready
    if pending := _find_pending(facts.progress):
        return Truth.FALSE, GatewayReason.PENDING, pending
    if not facts.is_service_known:
        if last.get("reason") in {GatewayReason.SERVING, GatewayReason.NOT_SERVING}:
            return Truth(last["status"]), GatewayReason(last["reason"]), last["message"]
        message = f"the Services of namespace {gateway.namespace} have not been read yet"
        return Truth.UNKNOWN, GatewayReason.SERVICE_UNKNOWN, message
    return Truth.TRUE, GatewayReason.SERVING, "the Service leads to pods that are ready"


def _judge_isolated(gateway: Gateway, facts: GatewayFacts) -> _Judgement:
    if gateway.authorization is not Authorization.MANAGED:
        return (
            Truth.FALSE,
            GatewayReason.NOT_ENFORCED,
            f"authorization is {gateway.authorization}, so a tenant can use what is another's",
        )
    if pending := _find_pending(facts.progress):
        return Truth.FALSE, GatewayReason.PENDING, pending
    if facts.stuck:
        return Truth.FALSE, GatewayReason.STUCK, _explain_stuck(facts.stuck)
    return _judge_tenants(gateway, facts)


def _judge_tenants(gateway: Gateway, facts: GatewayFacts) -> _Judgement:
    """Tell whether those who may write Istio objects are kept apart, too."""
    if facts.admission.problem:
        return Truth.FALSE, GatewayReason.ADMISSION_MISSING, facts.admission.problem
    if facts.foreign:
        return Truth.FALSE, GatewayReason.FOREIGN_OBJECTS, _explain_foreign(facts.foreign)
    if gateway.intent.wildcards is not Wildcards.DISABLED and not facts.admission.is_strict:
        message = (
            f"spec.wildcards is {gateway.intent.wildcards}, and only admission policies of the "
            "level Strict keep tenants from the sockets by which wildcards come in: set "
            "admission.level to Strict, or remove wildcards; until then no new ones are set up"
        )
        return Truth.FALSE, GatewayReason.COMPATIBLE, message
    message = "each namespace reaches only its own hosts through the gateway, and "
    if facts.admission.is_strict:
        reason = GatewayReason.ISOLATED
        message += "the admission policies stop it from using those of another"
    else:
        reason = GatewayReason.COMPATIBLE
        message += (
            "the admission policies refuse what is known to be harmful; anyone who may write "
            "Istio objects can still change the calls of other namespaces before they come to the "
            "gateway (admission.level: Strict refuses that)"
        )
    if facts.serves_itself:
        message += (
            f"; but {gateway.namespace}, where its pods run, is a tenant too, and whoever may "
            "write there can do everything at the gateway"
        )
    return Truth.TRUE, reason, message + _explain_denied(facts.denied)


def _explain_denied(denied: tuple[str, ...]) -> str:
    """Name the namespaces that are denied although something of theirs stands at the gateway."""
    if not denied:
        return ""
    return f"; denied, although objects for them are still there: {name_some(denied)}"


def _explain_foreign(foreign: tuple[str, ...]) -> str:
    """Count objects that the operator did not write, and name some."""
    rest = len(foreign) - MOST_NAMED
    more = f"; and {rest} more" if rest > 0 else ""
    are = "1 object of others" if len(foreign) == 1 else f"{len(foreign)} objects of others"
    return f"{are} may take the calls of tenants: {'; '.join(foreign[:MOST_NAMED])}{more}"


def _explain_stuck(stuck: tuple[StuckPermission, ...]) -> str:
    """Name the namespaces whose permissions do not go, and the cause of the first."""
    first = stuck[0]
    what = "deleted" if first.deletes else "changed"
    others = sorted({item.namespace for item in stuck} - {first.namespace})
    also = f"; so it is for namespaces {name_some(others)}" if others else ""
    return (
        f"{first.object}, part of the permission of namespace {first.namespace}, cannot be {what}: "
        f"{first.words}{also}"
    )


def _find_pending(progress: SetProgress) -> str:
    if progress.squatted:
        return explain_squatter(progress)
    if progress.state is SetState.APPLIED:
        return ""
    return progress.message or "the gateway's own objects are being applied"
