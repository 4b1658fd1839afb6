"""The status of an EgressGateway."""

from dataclasses import replace
from typing import Any

import pytest

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.plan.gateway import GatewayResult, judge_gateways
from egress_operator.plan.source import Settings
from egress_operator.status.condition import MESSAGE_BYTES, read_conditions
from egress_operator.status.event import diff_gateway_events, is_gateway_alarm
from egress_operator.status.gateway import (
    Admission,
    GatewayFacts,
    StuckPermission,
    compute_gateway_status,
)
from egress_operator.status.progress import NOT_BEGUN, SetProgress, SetState
from rollout.policy_set import build_gateway

from .build import LATER, NOW

APPLIED = SetProgress(SetState.APPLIED)
FACTS = GatewayFacts(APPLIED, unready="", admission=Admission(""), namespaces=2, hosts=3)
DENIAL = ObjectKey(Kind.AUTHORIZATION_POLICY, "istio-egress", "shared-h1234567")


def judge(**more: Any) -> GatewayResult:  # noqa: ANN401 - fields of a spec
    return judge_gateways([build_gateway(generation=7, **more)], Settings())["shared"]


def tell(verdict: GatewayResult, facts: GatewayFacts = FACTS) -> dict[str, tuple[str, str, str]]:
    """Return (status, reason, message) of each condition."""
    status = compute_gateway_status(verdict, facts, None, NOW)
    return {
        condition["type"]: (condition["status"], condition["reason"], condition["message"])
        for condition in status["conditions"]
    }


def test_a_gateway_that_serves_and_isolates() -> None:
    status = compute_gateway_status(judge(), FACTS, None, NOW)
    assert {key: status[key] for key in ("observedGeneration", "namespaces", "hosts")} == {
        "observedGeneration": 7,
        "namespaces": 2,
        "hosts": 3,
    }
    assert [
        (item["type"], item["status"], item["reason"], item["observedGeneration"])
        for item in status["conditions"]
    ] == [
        ("Accepted", "True", "Accepted", 7),
        ("Ready", "True", "Serving", 7),
        ("Isolated", "True", "Isolated", 7),
    ]


def test_a_gateway_that_is_not_accepted_says_why_and_is_not_looked_at() -> None:
    told = tell(judge(selector={}))
    assert told["Accepted"][0] == "False"
    assert told["Accepted"][2].startswith("spec.selector: ")
    message = (
        "not looked at, because the gateway is not accepted; permissions stay, but those of "
        "namespaces that it does not select are withdrawn"
    )
    assert told["Ready"] == told["Isolated"] == ("False", "NotAccepted", message)


def test_a_gateway_whose_namespaces_cannot_be_read_says_that_permissions_stay() -> None:
    told = tell(judge(namespaces={"matchFields": {}}))
    assert told["Isolated"][2].endswith("; permissions stay, as spec.namespaces cannot be read")


@pytest.mark.parametrize("authorization", ["Managed", "DryRun", "None"])
def test_a_gateway_in_the_root_namespace_has_the_reason_of_the_rule(authorization: str) -> None:
    told = tell(judge(namespace="istio-system", authorization=authorization))
    status, _, message = told["Accepted"]
    assert status == "False"
    assert message.startswith("spec.namespace: the gateway runs in the mesh's root namespace")
    assert message.endswith("(EG060)")


def test_the_younger_of_two_with_the_same_pods_is_in_conflict() -> None:
    older = replace(build_gateway(), name="older", created="2025-01-01T00:00:00Z")
    verdict = judge_gateways([build_gateway(), older], Settings())["shared"]
    assert tell(verdict)["Accepted"][:2] == ("False", "Conflicted")


def test_why_it_cannot_serve_is_said_before_what_is_pending() -> None:
    facts = replace(FACTS, progress=NOT_BEGUN, unready="there is no Service a/b")
    assert tell(judge(), facts)["Ready"] == ("False", "NotServing", "there is no Service a/b")


def test_until_the_services_are_read_nobody_knows_whether_it_can_serve() -> None:
    facts = replace(FACTS, is_service_known=False)
    message = "the Services of namespace istio-egress have not been read yet"
    assert tell(judge(), facts)["Ready"] == ("Unknown", "ServiceUnknown", message)
    assert tell(judge(), replace(facts, progress=NOT_BEGUN))["Ready"][1] == "Pending"


@pytest.mark.parametrize("unready", ["", "there is no Service a/b"])
def test_until_the_services_are_read_again_what_was_known_of_it_stays(unready: str) -> None:
    """After a restart; a gateway that was edited meanwhile may have another Service."""
    verdict, facts = judge(), replace(FACTS, is_service_known=False)
    before = compute_gateway_status(verdict, replace(FACTS, unready=unready), None, NOW)
    assert compute_gateway_status(verdict, facts, before, LATER) == before
    edited = replace(verdict, source=replace(verdict.source, generation=99))
    after = compute_gateway_status(edited, facts, before, NOW)
    assert read_conditions(after)["Ready"]["reason"] == "ServiceUnknown"


def test_what_is_not_known_is_no_event() -> None:
    status, events = list_events(replace(FACTS, is_service_known=False), None)
    assert {reason for _, reason in events}.isdisjoint({"ServiceUnknown"})
    _, events = list_events(FACTS, status)
    assert events == [("Normal", "Serving")]


@pytest.mark.parametrize(
    ("progress", "message"),
    [
        (NOT_BEGUN, "the gateway's own objects are being applied"),
        (SetProgress(SetState.FAILING, "no permission", "EG301"), "no permission"),
        (
            SetProgress(SetState.APPLIED, squatted=(DENIAL,)),
            f"{DENIAL} was not made by the operator and has the name it needs: rename or delete it",
        ),
    ],
)
def test_until_its_own_objects_are_there_it_is_neither_ready_nor_isolated(
    progress: SetProgress, message: str
) -> None:
    told = tell(judge(), replace(FACTS, progress=progress))
    assert told["Ready"] == told["Isolated"] == ("False", "Pending", message)


@pytest.mark.parametrize("authorization", ["DryRun", "None"])
def test_what_is_not_enforced_does_not_isolate(authorization: str) -> None:
    told = tell(judge(authorization=authorization))
    assert told["Ready"][:2] == ("True", "Serving")
    assert told["Isolated"] == (
        "False",
        "NotEnforced",
        f"authorization is {authorization}, so a tenant can use what is another's",
    )


def test_a_message_names_five_and_counts_the_rest() -> None:
    """A thousand namespaces that are denied, or whose names are taken."""
    denied = tuple(f"team-{number:04}" for number in range(1000))
    squatted = tuple(ObjectKey(DENIAL.kind, "istio-egress", f"taken-{name}") for name in denied)
    listed = ", ".join(denied[:5])
    message = tell(judge(), replace(FACTS, denied=denied))["Isolated"][2]
    assert message.endswith(f"still there: {listed} and 995 more")
    facts = replace(FACTS, progress=SetProgress(SetState.APPLIED, squatted=squatted))
    message = tell(judge(), facts)["Ready"][2]
    named = ", ".join(str(key) for key in squatted[:5])
    assert message.startswith(f"{named} and 995 more were not made by the operator")
    status = compute_gateway_status(judge(), replace(facts, stuck=build_stuck(1000)), None, NOW)
    assert all(len(item["message"]) <= MESSAGE_BYTES for item in status["conditions"])


def build_stuck(count: int, *, deletes: bool = True) -> tuple[StuckPermission, ...]:
    return tuple(
        StuckPermission(f"{DENIAL}-{number}", f"team-{number:04}", "403 Forbidden: no", deletes)
        for number in range(count)
    )


@pytest.mark.parametrize(
    ("stuck", "message"),
    [
        (
            build_stuck(1, deletes=False),
            (
                f"{DENIAL}-0, part of the permission of namespace team-0000, cannot be changed: "
                "403 Forbidden: no"
            ),
        ),
        (
            build_stuck(1000),
            (
                f"{DENIAL}-0, part of the permission of namespace team-0000, cannot be deleted: "
                "403 Forbidden: no; so it is for namespaces team-0001, team-0002, team-0003, "
                "team-0004, team-0005 and 994 more"
            ),
        ),
    ],
)
def test_a_permission_that_is_stuck_is_named_with_its_cause(
    stuck: tuple[StuckPermission, ...], message: str
) -> None:
    told = tell(judge(), replace(FACTS, stuck=stuck, admission=Admission("it is missing")))
    assert told["Ready"][:2] == ("True", "Serving")
    assert told["Isolated"] == ("False", "PermissionStuck", message)


def test_isolation_needs_the_admission_policies() -> None:
    told = tell(judge(), replace(FACTS, admission=Admission("it is missing")))
    assert told["Ready"][:2] == ("True", "Serving")
    assert told["Isolated"] == ("False", "AdmissionPolicyMissing", "it is missing")


def test_a_gateway_beside_compatible_policies_is_isolated_and_says_what_remains() -> None:
    told = tell(judge(), replace(FACTS, admission=Admission("", is_strict=False)))
    truth, reason, message = told["Isolated"]
    assert (truth, reason) == ("True", "CompatibleAdmission")
    assert "can still change the calls of other namespaces before they come to the" in message
    assert "admission.level: Strict" in message


def test_wildcards_need_the_level_strict() -> None:
    compatible = replace(FACTS, admission=Admission("", is_strict=False))
    told = tell(judge(wildcards="HTTP"), compatible)
    truth, reason, message = told["Isolated"]
    assert (truth, reason) == ("False", "CompatibleAdmission")
    assert message.startswith("spec.wildcards is HTTP, and only admission policies of the level")
    assert tell(judge(wildcards="HTTP"))["Isolated"][:2] == ("True", "Isolated")
    assert tell(judge(wildcards="Disabled"), compatible)["Isolated"][0] == "True"
    missing = replace(FACTS, admission=Admission("it is missing"))
    assert tell(judge(wildcards="HTTP"), missing)["Isolated"][1] == "AdmissionPolicyMissing"


def test_objects_of_others_are_named_up_to_five_and_counted() -> None:
    foreign = tuple(f"Gateway pay/g{number} has bind" for number in range(7))
    told = tell(judge(), replace(FACTS, foreign=foreign))
    truth, reason, message = told["Isolated"]
    assert (truth, reason) == ("False", "ForeignObjects")
    assert message.startswith(
        "7 objects of others may take the calls of tenants: Gateway pay/g0 has bind; "
    )
    assert message.endswith("Gateway pay/g4 has bind; and 2 more")
    told = tell(judge(), replace(FACTS, foreign=foreign[:5]))
    assert told["Isolated"][2].endswith("Gateway pay/g4 has bind")
    told = tell(judge(), replace(FACTS, foreign=foreign[:1]))
    assert told["Isolated"][2] == (
        "1 object of others may take the calls of tenants: Gateway pay/g0 has bind"
    )


def test_each_change_of_the_objects_of_others_is_an_event() -> None:
    status, _ = list_events(FACTS, None)
    status, events = list_events(replace(FACTS, foreign=("Gateway pay/a has bind",)), status)
    assert events == [("Warning", "ForeignObjects")]
    status, events = list_events(replace(FACTS, foreign=("Gateway pay/b has bind",)), status)
    assert events == [("Warning", "ForeignObjects")]
    assert list_events(replace(FACTS, foreign=("Gateway pay/b has bind",)), status)[1] == []
    assert list_events(FACTS, status)[1] == [("Normal", "Isolated")]


def test_an_unchanged_status_is_equal_and_keeps_its_times() -> None:
    first = compute_gateway_status(judge(), FACTS, None, NOW)
    assert compute_gateway_status(judge(), FACTS, first, LATER) == first


def test_only_what_turned_has_a_new_time() -> None:
    first = compute_gateway_status(judge(), FACTS, None, NOW)
    facts = replace(FACTS, unready="it is away")
    second: dict[str, Any] = compute_gateway_status(judge(), facts, first, LATER)
    assert {item["type"]: item["lastTransitionTime"] for item in second["conditions"]} == {
        "Accepted": NOW,
        "Ready": LATER,
        "Isolated": NOW,
    }


def list_events(
    facts: GatewayFacts, previous: dict[str, Any] | None, **more: object
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the next status, and (type, reason) of each event that tells of it."""
    status = compute_gateway_status(judge(**more), facts, previous, LATER if previous else NOW)
    return status, [(kind, reason) for kind, reason, _ in diff_gateway_events(previous, status)]


def test_each_new_status_or_reason_of_a_condition_is_an_event() -> None:
    status, events = list_events(FACTS, None)
    assert events == [("Normal", "Accepted"), ("Normal", "Serving"), ("Normal", "Isolated")]
    assert list_events(replace(FACTS, denied=("shop",), hosts=9), status)[1] == []
    status, events = list_events(replace(FACTS, stuck=build_stuck(1)), status)
    assert events == [("Warning", "PermissionStuck")]
    status, events = list_events(replace(FACTS, stuck=build_stuck(2)), status)
    assert events == []
    status, events = list_events(replace(FACTS, admission=Admission("it is missing")), status)
    assert events == [("Warning", "AdmissionPolicyMissing")]
    status, events = list_events(replace(FACTS, unready="there is no Service"), status)
    assert events == [("Warning", "NotServing"), ("Normal", "Isolated")]
    status, events = list_events(FACTS, status)
    assert events == [("Normal", "Serving")]


def test_what_several_conditions_say_alike_is_one_event() -> None:
    status, _ = list_events(FACTS, None)
    assert list_events(FACTS, status, selector={})[1] == [
        ("Warning", "OutOfBounds"),
        ("Warning", "NotAccepted"),
    ]


def test_a_gateway_that_is_being_applied_alarms_nobody_at_first_and_does_later() -> None:
    pending = replace(FACTS, progress=NOT_BEGUN)
    _, events = list_events(pending, None)
    assert events == [("Normal", "Accepted"), ("Normal", "Pending")]
    status, _ = list_events(FACTS, None)
    assert list_events(pending, status)[1] == [("Warning", "Pending")]


@pytest.mark.parametrize("authorization", ["None", "DryRun"])
def test_what_is_not_enforced_on_purpose_alarms_nobody(authorization: str) -> None:
    status, _ = list_events(FACTS, None)
    changed, events = list_events(FACTS, status, authorization=authorization)
    assert events == [("Normal", "NotEnforced")]
    before, after = read_conditions(status), read_conditions(changed)
    assert not any(is_gateway_alarm(before, after, type_) for type_ in after)
