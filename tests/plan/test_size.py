"""The largest policies: what is made of them is far from what etcd takes, and converges."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from orjson import dumps as dump_json

from api.corpus import Pair, load_pairs
from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Owner
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.result import ClaimState
from egress_operator.plan.size import MOST_TEXT, TextCount
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


LONG = ".".join(["a" * 60] * 3 + ["b" * 50, "example"])
SHORT = "api.example.com"
FEW = 4
"""Times the largest object of a host: no more is counted for it."""
HTTP = {"ports": [{"number": 80, "protocol": "HTTP"}]}
ALLOW = {
    "allow": [
        {"methods": ["DELETE", "GET", "PATCH", "POST"], "paths": ["/a", "/b/*"]},
        {"headers": [{"name": "x-team", "value": "shop"}]},
    ]
}
SPLIT = {
    "backends": [
        {"name": f"b{n}", "endpoints": [{"address": f"m{n}.example.com"}], "weight": 1}
        for n in range(8)
    ]
}
GATEWAY: dict[str, Any] = {"gatewayRef": {"name": "shared"}}
AT_GATEWAY: dict[str, Any] = {
    "gateways": (build_gateway(wildcards="HTTP"),),
    "labels": {"egress": "yes"},
}


def build_crowd(
    count: int,
    destination: Mapping[str, object],
    source: Callable[[int], object] | None = None,
    end: str = "",
    **spec: Any,  # noqa: ANN401 - fields
) -> tuple[PolicySource, ...]:
    """Make policies for one host; `source`: of each the `from`; `end`: of their names."""
    return tuple(
        PolicySource(
            "shop",
            name,
            str(uuid5(NAMESPACE_OID, name)),
            1,
            f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
            {
                **({} if source is None else {"from": source(number)}),
                "destinations": [{"hosts": [SHORT], **destination}],
                **spec,
            },
        )
        for number in range(count)
        for name in [f"p{number:04}{end}"]
    )


def choose_app(number: int) -> object:
    return {"workloads": {"matchLabels": {"app": f"app-{number}"}}}


def choose_accounts(number: int) -> object:
    return {"serviceAccounts": [f"{'a' * 200}-{number // 4}-{n}" for n in range(4)]}


CROWDS = {
    "owners": build_crowd(100, {}, end="x" * 200),
    "tls": build_crowd(60, {"hosts": [LONG]}, choose_app),
    "wildcard": build_crowd(60, {"hosts": [f"*.{LONG}"], **HTTP}, choose_app),
    "wildcard-allow": build_crowd(
        40, {"hosts": [f"*.{'a.' * 100}example"], **HTTP, "http": ALLOW}, choose_app
    ),
    "allow": build_crowd(60, {**HTTP, "http": ALLOW}, choose_app),
    "allow-through": build_crowd(200, {**HTTP, "http": ALLOW}, choose_app, **GATEWAY),
    "wildcard-through": build_crowd(
        60, {"hosts": [f"*.{LONG}"], **HTTP, "http": ALLOW}, choose_app, **GATEWAY
    ),
    "accounts": build_crowd(200, HTTP, choose_accounts, **GATEWAY),
    "ports": tuple(
        policy
        for first in range(1000, 2024, 128)
        for policy in build_crowd(
            1,
            {
                "hosts": [LONG],
                "ports": [{"number": first + n, "protocol": "HTTP"} for n in range(16)],
                "http": {"allow": [{"paths": ["/a"]}]},
                **SPLIT,
            },
            end=f"-{first}-{'x' * 200}",
        )
    ),
}


@pytest.mark.parametrize("policies", CROWDS.values(), ids=CROWDS)
def test_what_is_counted_is_a_few_times_the_largest_object_at_most(
    policies: tuple[PolicySource, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[TextCount] = []

    def start_count() -> TextCount:
        counts.append(TextCount())
        return counts[-1]

    monkeypatch.setattr("egress_operator.plan.claim.TextCount", start_count)
    plan = plan_namespace(NamespaceInput("shop", policies, **AT_GATEWAY))
    states = {row.state for result in plan.results.values() for row in result.claims}
    assert states == {ClaimState.CLAIMED}
    ((counted,),) = [[*count.hosts.values()] for count in counts]
    objects = [item for group in plan.sets.values() for item in (*group.objects, *group.allows)]
    largest = max(len(dump_json(build_manifest(item, item.owners))) for item in objects)
    assert largest <= counted <= FEW * largest


def find_lost(plan: Plan) -> list[str]:
    return [name for name, result in plan.results.items() if any(row.code for row in result.claims)]


def test_accounts_count_once_for_all_policies_that_name_them() -> None:
    crowd = build_crowd(200, HTTP, lambda _: choose_accounts(0), **GATEWAY)
    assert not find_lost(plan_namespace(NamespaceInput("shop", crowd, **AT_GATEWAY)))

    everyone = build_crowd(1, HTTP, end="-all", **GATEWAY)
    others = build_crowd(1000, HTTP, choose_accounts, **GATEWAY)
    plan = plan_namespace(NamespaceInput("shop", (*everyone, *others), **AT_GATEWAY))
    assert not find_lost(plan), "whom the objects do not name does not count"


@pytest.mark.parametrize(
    "other", [{}, {"addresses": ["203.0.113.9"]}], ids=["shared", "conflicting"]
)
def test_policies_for_whose_names_there_is_no_room_own_nothing(other: dict[str, object]) -> None:
    crowd = (*build_crowd(1, {}), *build_crowd(2000, other, end="x" * 240))
    plan = plan_namespace(NamespaceInput("shop", crowd))
    assert find_lost(plan)
    (objects,) = (group.objects for group in plan.sets.values())
    assert 500 < len(objects[0].owners) < len(crowd)
    assert len(dump_json(build_manifest(objects[0], objects[0].owners))) < ETCD / 2


def store(text: bytes) -> str:
    """Return JSON as the API server stores it: `encoding/json` of Go escapes three signs more."""
    found = text.decode()
    for sign in "<>&":
        found = found.replace(sign, f"\\u{ord(sign):04x}")
    return found


@pytest.mark.parametrize(
    ("sign", "is_refused"), [("&", True), ("<", True), ('"', True), ("\\", True), ("a", False)]
)
def test_signs_count_as_they_are_stored(sign: str, *, is_refused: bool) -> None:
    """A policy that fits by its own text, and whose objects etcd would refuse, is refused first."""
    values = [{"name": f"x-{number}", "value": sign * 500} for number in range(16)]
    spec = {
        "destinations": [
            {
                "name": f"d{first}",
                "hosts": ["api.example.com"],
                "ports": [
                    {"number": 1000 + number, "protocol": "HTTP"}
                    for number in range(first, first + 4)
                ],
                "http": {"headers": {"request": {"set": values}, "response": {"set": values}}},
            }
            for first in range(0, 24, 4)
        ]
    }
    plan = plan_namespace(NamespaceInput("shop", (build_source("web", spec),)))
    result = plan.results["web"]
    assert result.accepted, result.diagnostics
    texts = [store(item.spec_text) for group in plan.sets.values() for item in group.objects]
    assert max(map(len, texts)) < ETCD / 2
    assert any(row.code for row in result.claims) is is_refused
