"""What wildcards and the hosts below them open for each other is reported in few words."""

from dataclasses import replace

import pytest

from egress_operator.istio.object import Owner
from egress_operator.istio.traffic import FromIntent
from egress_operator.plan.bypass import find_bypassed
from egress_operator.plan.claim import build_claims
from egress_operator.plan.intent import parse_intent
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource
from egress_operator.plan.standing import HostStanding

CREATED = "2026-01-01T00:00:00Z"
HOSTS = 16
MOST_LETTERS = 500


def test_the_sentence_about_a_wildcard_does_not_grow_with_the_hosts_below_it() -> None:
    wildcard = {"hosts": ["*.example.com"], "ports": [{"number": 443, "protocol": "TLS"}]}
    hosts = [f"h{number}.example.com" for number in range(HOSTS)]
    restricted = {
        "hosts": hosts,
        "ports": [{"number": 80, "protocol": "HTTP"}],
        "http": {"allow": [{"methods": ["GET"]}]},
    }
    plan = plan_namespace(
        NamespaceInput("shop", (_build("wild", wildcard), _build("narrow", restricted)))
    )
    (found,) = plan.results["wild"].lifted
    assert f"and {HOSTS - 3} more" in found.message
    assert len(found.message) < MOST_LETTERS
    assert len(plan.results["narrow"].lifted) == HOSTS


def test_a_policy_that_comes_into_force_ends_the_report() -> None:
    wildcard = {"hosts": ["*.example.com"], "ports": [{"number": 80, "protocol": "HTTP"}]}
    narrow = {
        "hosts": ["a.example.com"],
        "ports": [{"number": 80, "protocol": "HTTP"}],
        "http": {"allow": [{"methods": ["GET"]}]},
    }
    paused = plan_namespace(
        NamespaceInput("shop", (_build("wild", wildcard), _build("narrow", narrow, paused=True)))
    )
    in_force = plan_namespace(
        NamespaceInput("shop", (_build("wild", wildcard), _build("narrow", narrow)))
    )
    assert [bool(paused.results[name].lifted) for name in ("wild", "narrow")] == [True, True]
    assert [bool(in_force.results[name].lifted) for name in ("wild", "narrow")] == [False, False]


WILDCARD = {
    "hosts": ["*.example.com"],
    "ports": [{"number": 80, "protocol": "HTTP"}, {"number": 443, "protocol": "TLS"}],
}
OTHER_PORT = {"number": 8080, "protocol": "HTTP"}
NARROW = {
    "hosts": ["a.example.com"],
    "ports": [{"number": 80, "protocol": "HTTP"}],
    "http": {"allow": [{"methods": ["GET"]}]},
}


def _keep(host: str, owner: str, *ports: int) -> HostStanding:
    pairs = frozenset(("", port, 0) for port in ports)
    return HostStanding(host, frozenset({Owner(owner, owner)}), routes=("http",), pairs=pairs)


@pytest.mark.parametrize(("ports", "lifted"), [((80, 443), False), ((80,), True), ((), True)])
def test_a_name_on_hold_restricts_the_ports_that_stand(
    ports: tuple[int, ...], *, lifted: bool
) -> None:
    policies = (_build("wild", WILDCARD), _build("narrow", NARROW, paused=True))
    standing = (_keep("a.example.com", "narrow", *ports), _keep("*.example.com", "wild", 80, 443))
    plan = plan_namespace(NamespaceInput("shop", policies, standing=standing))
    assert [bool(plan.results[name].lifted) for name in ("wild", "narrow")] == [lifted, lifted]


@pytest.mark.parametrize(("ports", "lifted"), [((80, 443), True), ((80,), False), ((), False)])
def test_a_wildcard_on_hold_opens_the_ports_that_stand(
    ports: tuple[int, ...], *, lifted: bool
) -> None:
    policies = (_build("wild", WILDCARD, paused=True), _build("narrow", NARROW))
    plan = plan_namespace(
        NamespaceInput("shop", policies, standing=(_keep("*.example.com", "wild", *ports),))
    )
    assert [bool(plan.results[name].lifted) for name in ("wild", "narrow")] == [lifted, lifted]


def test_the_same_allow_is_kept() -> None:
    http = {**NARROW, "hosts": ["*.example.com"]}
    policies = (_build("wild", http), _build("narrow", NARROW, paused=True))
    plan = plan_namespace(NamespaceInput("shop", policies))
    assert [plan.results[name].lifted for name in ("wild", "narrow")] == [(), ()]


def test_it_is_told_once_at_the_host_that_it_is_about() -> None:
    http: dict[str, object] = {**WILDCARD, "ports": [{"number": 80, "protocol": "HTTP"}]}
    tls: dict[str, object] = {**WILDCARD, "ports": [{"number": 443, "protocol": "TLS"}]}
    restricted: dict[str, object] = {
        "hosts": ["b.other.example", "a.example.com"],
        "http": {"allow": [{"methods": ["GET"]}]},
    }
    ports = ([{"number": number, "protocol": "HTTP"}] for number in (80, 8080))
    narrow = _build("narrow", *({**restricted, "ports": own} for own in ports))
    plan = plan_namespace(
        NamespaceInput("shop", (_build("wild", http), _build("tls", tls), narrow))
    )
    assert {
        name: [found.path for found in result.lifted] for name, result in plan.results.items()
    } == {
        "wild": [],
        "tls": ["spec.destinations[0].hosts[0]"],
        "narrow": ["spec.destinations[0].hosts[1]"],
    }


def test_many_policies_with_equal_restrictions_take_time_in_proportion() -> None:
    def count(number: int) -> int:
        compared = 0

        class Counted(FromIntent):
            __hash__ = FromIntent.__hash__

            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return super().__eq__(other)

        source = Counted((("app", "checkout"),))
        wild, narrow = (
            build_claims(replace(intent, source=source), "shop")
            for destination in (
                WILDCARD,
                {**NARROW, "ports": [{"number": 8080, "protocol": "HTTP"}]},
            )
            for intent, _ in [parse_intent(_build("any", destination))]
            if intent is not None
        )
        claims = [*wild, *narrow] * number
        find_bypassed(claims, {"*.example.com": list(wild) * number}, {})
        return compared

    assert count(400) <= 5 * count(100)


def _build(name: str, *destinations: dict[str, object], paused: bool = False) -> PolicySource:
    spec = {"justification": "tested", "destinations": [*destinations]}
    return PolicySource("shop", name, name, 1, CREATED, spec, paused=paused)
