"""Reading calls and judging results, without a mesh."""

import json
from dataclasses import asdict
from itertools import chain, repeat

import pytest

from testbed.caller import Result
from testbed.expectation import Expectation, build_expectation, wait_for, wait_for_each
from testbed.origin import SERVER_HEADER, Answer
from testbed.request import (
    BLOCKED,
    DENIED_403,
    DIRECT,
    NOT_FOUND_404,
    TIMEOUT_504,
    UNAVAILABLE_503,
    UNREACHABLE,
    UNRESOLVED,
    UNTRUSTED,
    VIA_GATEWAY,
    Outcome,
    Verdict,
    call,
    judge,
)

OWN, GATEWAY, STRANGER = "10.10.1.1", "10.10.1.9", "10.10.1.7"


def build_answer(peer: str) -> str:
    answer = Answer("api.example", peer, "198.51.100.10", 80, tls=False, sni="", connection=1)
    return json.dumps(asdict(answer))


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "path"),
    [
        ("GET http://api.example", "http", "api.example", 80, "/"),
        ("PUT https://api.example:8443/a?b=c", "https", "api.example", 8443, "/a?b=c"),
        ("TCP db.example:5432", "tcp", "db.example", 5432, ""),
        ("TLS db.example:6380", "tls", "db.example", 6380, ""),
        ("GREETING db.example:3306", "greeting", "db.example", 3306, ""),
    ],
)
def test_a_call_is_read(text: str, scheme: str, host: str, port: int, path: str) -> None:
    order = call(text)

    assert (order.scheme, order.host, order.port, order.path) == (scheme, host, port, path)


@pytest.mark.parametrize(
    "text", ["", "http://api.example/", "GET api.example", "TCP db.example", "GET ftp://x.example/"]
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no call: write"):
        call(text)


@pytest.mark.parametrize(
    ("peer", "verdict"), [(OWN, DIRECT), (GATEWAY, VIA_GATEWAY), (STRANGER, Verdict.ERROR)]
)
@pytest.mark.parametrize("status", [0, 200, 503])
def test_the_address_that_the_server_saw_tells_the_way(
    peer: str, verdict: Verdict, status: int
) -> None:
    headers = {SERVER_HEADER: "api.example", "server": "envoy"} if status else {}
    result = Result(status=status, headers=headers, body=build_answer(peer))

    outcome = judge(result, frozenset({OWN}), frozenset({GATEWAY}))

    assert (outcome.verdict, outcome.peer, outcome.status) == (verdict, peer, status or None)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (502, BLOCKED),
        (503, UNAVAILABLE_503),
        (504, TIMEOUT_504),
        (403, DENIED_403),
        (404, NOT_FOUND_404),
        (200, Verdict.ERROR),
        (426, Verdict.ERROR),
    ],
)
def test_an_answer_of_the_proxy_is_no_answer_of_the_server(status: int, verdict: Verdict) -> None:
    forged = Result(status=status, headers={"server": "envoy"}, body=build_answer(OWN))

    assert judge(forged, frozenset({OWN})).verdict is verdict


def test_an_answer_of_nobody_known_is_an_error() -> None:
    outcome = judge(Result(status=502, headers={"server": "else"}, body="hm"), frozenset({OWN}))

    assert outcome.verdict is Verdict.ERROR
    assert "neither a server nor a proxy" in outcome.detail


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        ("resolve", UNRESOLVED),
        ("connect", UNREACHABLE),
        ("timeout", UNREACHABLE),
        ("untrusted", UNTRUSTED),
        ("reset", BLOCKED),
        ("other", Verdict.ERROR),
    ],
)
def test_an_end_without_an_answer_has_its_verdict(error: str, verdict: Verdict) -> None:
    assert judge(Result(error=error), frozenset({OWN})).verdict is verdict


def test_whoever_answers_must_be_the_called_host_with_200() -> None:
    expected = build_expectation(call("GET http://api.example/"), DIRECT, None, None)

    assert expected == Expectation(DIRECT, 200, "api.example")


def test_nothing_is_said_of_status_and_server_where_none_is_reached() -> None:
    expected = build_expectation(call("GET http://api.example/"), BLOCKED, None, None)

    assert expected == Expectation(BLOCKED, None, "")


def test_an_expectation_must_hold_several_times_in_a_row() -> None:
    outcomes = iter([Outcome(DIRECT), Outcome(BLOCKED), Outcome(DIRECT), Outcome(DIRECT)])

    wait_for(Expectation(DIRECT), lambda: next(outcomes), within_s=5, times=2)

    assert next(outcomes, None) is None


def test_what_never_holds_is_told_with_the_last_outcomes() -> None:
    with pytest.raises(AssertionError, match=r"(?s)expected DIRECT; seen in 0 s:\n  BLOCKED"):
        wait_for(Expectation(DIRECT), lambda: Outcome(BLOCKED), within_s=0, times=1)


def test_each_must_answer_however_late() -> None:
    names = chain(["", *"aaaaaaaaaaaa", "b"], repeat("a"))

    wait_for_each({"a", "b"}, lambda: next(names))


@pytest.mark.parametrize("stranger", ["c", ""])
def test_after_each_has_answered_nobody_else_may(stranger: str) -> None:
    names = chain("ab", repeat("a", 9), [stranger])

    with pytest.raises(AssertionError):
        wait_for_each({"a", "b"}, lambda: next(names))
