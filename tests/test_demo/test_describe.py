"""Objects, requests and conditions in words."""

import pytest

from demo.act import ACTS, NAMESPACE
from demo.describe import (
    describe_conditions,
    describe_count,
    describe_items,
    find_condition,
    find_own,
    find_shared,
)
from demo.outcome import describe_hint, describe_outcome
from demo.preview import compile_sample
from testbed.client import Object
from testbed.origin import Answer
from testbed.request import BLOCKED, DENIED_403, DIRECT, UNRESOLVED, VIA_GATEWAY, Outcome

CALL = "GET http://stock.example.com/"
SAMPLES = {act.sample.file: act.sample for act in ACTS}


def compile_parts(file: str) -> tuple[list[Object], list[Object]]:
    sample = SAMPLES[file]
    items = compile_sample(sample.path)
    return find_own(items, sample.policy), find_shared(items, NAMESPACE)


def answer(server: str) -> Answer:
    return Answer(server, "10.10.1.1", "198.51.100.10", 80, tls=False, sni="", connection=1)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            Outcome(DIRECT, 200, answer("stock.example.com")),
            "200 direct (from 10.10.1.1)",
        ),
        (
            Outcome(VIA_GATEWAY, None, answer("replica.example.com")),
            "via gateway (by replica.example.com, from 10.10.1.1)",
        ),
        (Outcome(BLOCKED, 502), "blocked (502)"),
        (Outcome(BLOCKED), "blocked"),
        (Outcome(DENIED_403, 403), "denied (403)"),
    ],
)
def test_an_outcome(outcome: Outcome, words: str) -> None:
    assert describe_outcome(CALL, outcome) == words


def test_an_outcome_without_the_address_that_was_seen() -> None:
    direct = Outcome(DIRECT, 200, answer("stock.example.com"))
    assert describe_outcome(CALL, direct, has_peer=False) == "200 direct"
    other = Outcome(VIA_GATEWAY, None, answer("replica.example.com"))
    assert describe_outcome(CALL, other, has_peer=False) == "via gateway (by replica.example.com)"


def test_a_name_without_an_address_has_a_hint() -> None:
    assert "api.example.com, files.example.com" in describe_hint(Outcome(UNRESOLVED))
    assert describe_hint(Outcome(BLOCKED)) == ""


def test_a_direct_policy_is_a_line_per_object() -> None:
    own, _ = compile_parts("http-timeout-retries.yaml")
    assert describe_items(own, [], verbose=False) == [
        "ServiceEntry: stock.example.com, HTTP 80, resolved by DNS",
        "VirtualService: stock.example.com, timeout 3s, 2 retries of 1s each",
    ]


def test_shares_are_told() -> None:
    own, _ = compile_parts("weights.yaml")
    line = describe_items(own, [], verbose=False)[3]
    assert line.startswith("VirtualService: search.example.com, 5 of 100 to an internal name, 95")


def test_settings_of_connections_are_told() -> None:
    own, _ = compile_parts("circuit-breaker.yaml")
    assert describe_items(own, [], verbose=False)[-1] == (
        "DestinationRule: to quotes.example.com, limits connections, leaves out servers that fail"
    )


@pytest.mark.parametrize(
    ("file", "first"),
    [
        (
            "http-through-gateway.yaml",
            "8 objects: sidecar -> istio-egressgateway -> partner.example.com (TLS origination)",
        ),
        (
            "https-through-gateway.yaml",
            "9 objects: sidecar -> istio-egressgateway -> bank.example.com (the application's TLS)",
        ),
        (
            "database-through-gateway.yaml",
            "9 objects: sidecar -> istio-egressgateway -> reports.db.example.com (TCP)",
        ),
    ],
)
def test_a_policy_through_a_gateway_is_one_line(file: str, first: str) -> None:
    own, shared = compile_parts(file)
    lines = describe_items(own, shared, verbose=False)
    assert lines == [
        first,
        "3 of them serve all hosts that the namespace calls through this gateway",
    ]
    assert describe_count(own, shared) == first


def test_every_object_has_its_name_when_asked_for() -> None:
    own, shared = compile_parts("restricted-service-account.yaml")
    lines = describe_items(own, shared, verbose=True)
    names = [item["metadata"]["name"] for item in (*own, *shared)]
    assert len(lines) == len(names) == 10
    assert all(name in line for name, line in zip(names, lines, strict=True))


def build_policy(**status: object) -> Object:
    return {
        "kind": "EgressPolicy",
        "metadata": {"name": "bank", "generation": 2},
        **({"status": status} if status else {}),
    }


CONDITION = {
    "type": "Ready",
    "status": "False",
    "reason": "Pending",
    "message": "waiting",
    "observedGeneration": 2,
}


def test_all_conditions_are_written_for_a_failure() -> None:
    accepted = {**CONDITION, "type": "Accepted", "status": "True", "reason": "Accepted"}
    assert describe_conditions(build_policy(conditions=[accepted, CONDITION])) == [
        "EgressPolicy bank: Accepted=True Accepted: waiting",
        "EgressPolicy bank: Ready=False Pending: waiting",
    ]


def test_a_missing_status_is_written_too() -> None:
    assert describe_conditions(build_policy()) == [
        "EgressPolicy bank: no status yet; is the operator running?"
    ]


def test_a_condition_of_an_older_generation_does_not_count() -> None:
    old = {**CONDITION, "observedGeneration": 1}
    assert find_condition(build_policy(conditions=[old]), "Ready") == {}
    assert find_condition(build_policy(conditions=[CONDITION]), "Ready") == CONDITION
