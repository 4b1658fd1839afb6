"""The largest policies: what is made of them is far from what etcd takes, and converges."""

from dataclasses import replace

import pytest

from api.corpus import Pair, load_pairs
from egress_operator.istio.object import Owner
from egress_operator.plan.plan import plan_namespace
from egress_operator.plan.result import ClaimState
from egress_operator.plan.size import MOST_TEXT
from egress_operator.plan.source import NamespaceInput, PolicySource
from rollout.fake_cluster import FakeCluster
from rollout.policy_set import build_gateway

ETCD = 1536 * 1024
"""What etcd takes in one request."""
LARGEST = [pair for pair in load_pairs() if pair.code == "EG044"]
each_pair = pytest.mark.parametrize("pair", LARGEST, ids=lambda pair: pair.name)


def build_source(name: str, spec: object, created: str = "2026-01-01T00:00:00Z") -> PolicySource:
    return PolicySource("shop", name, f"{name}-uid", 1, created, spec)


@each_pair
def test_the_largest_policies_make_objects_that_etcd_takes_and_converge(pair: Pair) -> None:
    plan = plan_namespace(NamespaceInput("shop", (build_source("web", pair.valid["spec"]),)))
    assert {row.state for row in plan.results["web"].claims} == {ClaimState.CLAIMED}
    texts = [item.spec_text for group in plan.sets.values() for item in group.objects]
    assert max(map(len, texts)) < ETCD / 2
    assert sum(map(len, texts)) < 2 * MOST_TEXT
    cluster = FakeCluster()
    cluster.converge(plan)
    assert len(list(cluster.observe())) == len(texts)


def test_what_is_refused_would_make_much_of_little() -> None:
    """A policy of 2 KB makes a route of more than 256 KiB as it is."""
    (pair,) = (pair for pair in LARGEST if pair.name == "EG044-allow")
    plan = plan_namespace(NamespaceInput("shop", (build_source("web", pair.valid["spec"]),)))
    texts = [item.spec_text for group in plan.sets.values() for item in group.objects]
    assert len(str(pair.valid)) < 4096
    assert max(map(len, texts)) > MOST_TEXT / 2


def build_team(number: int) -> PolicySource:
    """Make the policy of one of many teams, which all call one host."""
    spec = {
        "from": {"workloads": {"matchLabels": {"app": f"app-{number:04}"}}},
        "destinations": [
            {
                "hosts": ["api.example.com"],
                "ports": [{"number": 80, "protocol": "HTTP"}],
                "http": {"allow": [{"paths": [f"/p{path}/*" for path in range(16)]}]},
            }
        ],
    }
    return build_source(f"team-{number:04}", spec, f"2026-01-01T00:{number // 60:02}:00Z")


def test_policies_that_restrict_one_host_make_no_route_that_is_too_large() -> None:
    teams = tuple(build_team(number) for number in range(450))
    plan = plan_namespace(NamespaceInput("shop", teams))
    lost = [name for name, result in plan.results.items() if any(row.code for row in result.claims)]
    assert 0 < len(lost) < len(teams) / 2
    assert lost == sorted(plan.results)[-len(lost) :], "older policies come first"
    texts = [item.spec_text for group in plan.sets.values() for item in group.objects]
    assert max(map(len, texts)) < ETCD / 2

    everyone = replace(teams[0], name="all", uid="all-uid", created="2025-01-01T00:00:00Z")
    everyone = replace(everyone, spec={"destinations": everyone.spec["destinations"]})
    opened = plan_namespace(NamespaceInput("shop", (everyone, *teams)))
    assert not any(row.code for result in opened.results.values() for row in result.claims)
    assert Owner("all", "all-uid") in opened.live


def build_wide(number: int) -> PolicySource:
    """Make a policy for 128 ports of one host, each with many names, and retries."""
    ports = [{"number": 1000 + 128 * number + index, "protocol": "HTTP"} for index in range(128)]
    names = [f"{'b' * 60}.n{index}.example" for index in range(16)]
    spec = {
        "destinations": [
            {
                "name": f"d{first}",
                "hosts": ["api.example.com"],
                "ports": ports[first : first + 16],
                "originateTLS": {"subjectAltNames": names},
                "http": {"retries": {"attempts": 3, "codes": [502, 503]}, "timeout": "20s"},
            }
            for first in range(0, 128, 16)
        ]
    }
    return build_source(f"wide-{number:04}", spec, f"2026-01-01T00:00:{number:02}Z")


def test_ports_and_names_count_too() -> None:
    wide = tuple(build_wide(number) for number in range(12))
    plan = plan_namespace(NamespaceInput("shop", wide))
    lost = [name for name, result in plan.results.items() if any(row.code for row in result.claims)]
    assert lost
    texts = [item.spec_text for group in plan.sets.values() for item in group.objects]
    assert max(map(len, texts)) < ETCD / 2


def test_service_accounts_count_too() -> None:
    accounts = [
        build_source(
            f"account-{number:04}",
            {
                "gatewayRef": {"name": "shared"},
                "from": {"serviceAccounts": [f"{'a' * 240}-{number}-{n}" for n in range(16)]},
                "destinations": [{"hosts": ["api.example.com"]}],
            },
            f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        )
        for number in range(300)
    ]
    inputs = NamespaceInput(
        "shop", tuple(accounts), gateways=(build_gateway(),), labels={"egress": "yes"}
    )
    plan = plan_namespace(inputs)
    assert any(row.code for result in plan.results.values() for row in result.claims)
    texts = [item.spec_text for allows in plan.allows.values() for item in allows]
    assert ETCD / 4 < max(map(len, texts)) < ETCD
