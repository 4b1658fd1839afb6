"""What wildcards and the hosts below them open for each other is reported in few words."""

from egress_operator.istio.object import Owner
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
    (sentence,) = plan.results["wild"].lifted
    assert f"and {HOSTS - 3} more" in sentence
    assert len(sentence) < MOST_LETTERS
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


def test_what_a_policy_on_hold_keeps_is_in_force() -> None:
    wildcard = {"hosts": ["*.example.com"], "ports": [{"number": 80, "protocol": "HTTP"}]}
    narrow = {
        "hosts": ["a.example.com"],
        "ports": [{"number": 80, "protocol": "HTTP"}],
        "http": {"allow": [{"methods": ["GET"]}]},
    }
    policies = (_build("wild", wildcard), _build("narrow", narrow, paused=True))
    kept = HostStanding("a.example.com", frozenset({Owner("narrow", "narrow")}), has_route=True)
    routed = HostStanding("*.example.com", frozenset({Owner("wild", "wild")}), has_route=True)
    plan = plan_namespace(NamespaceInput("shop", policies, standing=(kept, routed)))
    assert [plan.results[name].lifted for name in ("wild", "narrow")] == [(), ()]


def _build(name: str, destination: dict[str, object], *, paused: bool = False) -> PolicySource:
    spec = {"justification": "tested", "destinations": [destination]}
    return PolicySource("shop", name, name, 1, CREATED, spec, paused=paused)
