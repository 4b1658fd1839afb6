"""What policies get: the compiler and `explain` come to the same, each by its own reading."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from egress_operator.explain.explain import find_holds
from egress_operator.explain.limit import find_excesses
from egress_operator.explain.want import decide
from egress_operator.explain.world import read_world
from egress_operator.plan.limit import GATEWAY_LIMIT, NAMESPACE_LIMIT
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.result import ClaimState
from egress_operator.plan.source import GatewaySource, NamespaceInput, PolicySource, Settings
from mesh.gateway.tenant import SHARED, TENANTS
from mesh.oracle.draw import CLOSED, DOWN, NOW, Site, draw_policies
from testbed.client import Object

SITES = tuple(Site(f"h{number}.set.example", f"203.0.113.{number}") for number in range(2))
CREATED = "2026-01-01T00:00:00Z"
GATEWAYS = {
    name: {
        "namespace": "istio-egress",
        "selector": {"istio": name},
        "service": {"name": name, "port": 443},
        "namespaces": {"matchLabels": {"egress": name if name == CLOSED else SHARED}},
        "authorization": authorization,
        "wildcards": "Disabled" if name == DOWN else "HTTPAndTLS",
    }
    for name, authorization in ((SHARED, "Managed"), (CLOSED, "Managed"), (DOWN, "DryRun"))
}
SETS = 20
"""Of each batch."""


def build_input(
    namespace: str, policies: list[Object], gateways: Mapping[str, Object], most_hosts: int = 500
) -> NamespaceInput:
    """Build what the policies of a namespace, all of one age, are planned from."""
    sources = tuple(
        PolicySource(namespace, name, f"{name}-uid", 1, CREATED, policy["spec"])
        for policy in policies
        for name in [policy["metadata"]["name"]]
        if policy["metadata"]["namespace"] == namespace
    )
    there = tuple(
        GatewaySource(name, f"{name}-uid", 1, CREATED, spec) for name, spec in gateways.items()
    )
    settings = Settings(max_hosts_per_namespace=most_hosts)
    return NamespaceInput(
        namespace, sources, settings, gateways=there, labels={"egress": SHARED}, now=NOW
    )


def make_plan(
    namespace: str, policies: list[Object], gateways: Mapping[str, Object], most_hosts: int = 500
) -> Plan:
    """Plan the policies of a namespace."""
    return plan_namespace(build_input(namespace, policies, gateways, most_hosts))


def list_gateways(gateways: Mapping[str, Object]) -> list[Object]:
    """Write the manifests of the gateways."""
    return [
        {"kind": "EgressGateway", "metadata": {"name": name}, "spec": spec}
        for name, spec in gateways.items()
    ]


def list_namespaces() -> list[Object]:
    """Write the manifests of the tenants' namespaces."""
    return [
        {"kind": "Namespace", "metadata": {"name": name, "labels": {"egress": SHARED}}}
        for name in TENANTS
    ]


def find_conflicts(namespace: str, policies: list[Object]) -> list[tuple[str, str, int]]:
    """Ask the compiler: (policy, host or address, port) of every claim that is lost."""
    plan = make_plan(namespace, policies, GATEWAYS)
    return sorted(
        (name, row.host, row.port)
        for name, verdict in plan.results.items()
        for row in verdict.claims
        if row.state is ClaimState.CONFLICTED
    )


def find_defeats(namespace: str, policies: list[Object]) -> list[tuple[str, str, int]]:
    """Ask `explain` the same."""
    world = read_world([*policies, *list_gateways(GATEWAYS), *list_namespaces()], now=NOW)
    there = world.policies.get(namespace, ())
    holds = find_holds(world, namespace)
    _, lost = decide(policy for policy in there if policy.name not in holds)
    return sorted(
        (defeat.want.policy.name, defeat.want.host or address, defeat.want.port)
        for defeat in lost
        for address in [str(next(iter(defeat.want.place.addresses), "")).partition("/")[0]]
    )


@pytest.mark.parametrize("batch", range(10))
def test_both_lose_the_same(batch: int) -> None:
    for number in range(SETS):
        policies = draw_policies(f"{batch}-{number}", "set", SITES)
        for namespace in TENANTS:
            assert find_defeats(namespace, policies) == find_conflicts(namespace, policies)


@pytest.mark.parametrize("hosts", [1, 2, 500])
@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("most_hosts", [1, 3, 500])
def test_both_refuse_the_same(hosts: int, servers: int, most_hosts: int) -> None:
    limits = {"hosts": hosts, "servers": servers}
    gateways = {name: {**spec, "limits": limits} for name, spec in GATEWAYS.items()}
    refused = 0
    for number in range(3 * SETS):
        policies = draw_policies(f"limit-{number}", "set", SITES)
        world = read_world([*policies, *list_gateways(gateways), *list_namespaces()], now=NOW)
        for namespace in TENANTS:
            plan = make_plan(namespace, policies, gateways, most_hosts)
            found = {
                name
                for name, verdict in plan.results.items()
                for item in verdict.diagnostics
                if item.code in {NAMESPACE_LIMIT, GATEWAY_LIMIT}
            }
            assert found == set(find_excesses(replace(world, max_hosts=most_hosts), namespace))
            refused += len(found)
    assert refused


def build_team(number: int) -> Object:
    """Build the policy of one of many teams that call a host, each from pods of its own."""
    name = f"team-{number:04}"
    return {
        "kind": "EgressPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "from": {"workloads": {"matchLabels": {"app": name}}},
            "destinations": [
                {
                    "hosts": ["api.example.com"],
                    "ports": [{"number": 80 + number % 2, "protocol": "HTTP"}],
                    "http": {
                        "allow": [
                            {
                                "paths": [f"/p{path}/*" for path in range(16)],
                                "headers": [{"name": "x-team", "value": "v" * 200}],
                            }
                        ],
                        "headers": {"request": {"set": [{"name": "x-a", "value": "b" * 300}]}},
                    },
                }
            ],
        },
    }


def test_both_lose_what_would_be_too_much_text() -> None:
    teams = [build_team(number) for number in range(180)]
    lost = find_conflicts("shop", teams)
    assert 0 < len(lost) < len(teams)
    assert find_defeats("shop", teams) == lost


LONG = ".".join(["a" * 60] * 3 + ["b" * 50, "example"])
SPLIT = {
    "backends": [
        {"name": f"b{n}", "endpoints": [{"address": f"m{n}.example.com"}], "weight": n}
        for n in range(8)
    ]
}
MIRROR = {"mirror": {"backend": "b0"}}
ALLOW = {"allow": [{"methods": ["GET", "POST"], "paths": ["/a", "/b/*"]}, {"methods": ["PUT"]}]}
ORIGIN = {
    "originateTLS": {"subjectAltNames": [f"n{n}.example.com" for n in range(8)]},
    "ports": [{"number": 80, "protocol": "HTTP", "targetPort": 443}],
}
TEXTS: dict[str, Object] = {
    "tls": {"hosts": [LONG], "ports": [{"number": 443, "protocol": "TLS"}]},
    "wildcard": {"hosts": [f"*.{LONG}"], "http": ALLOW},
    "wildcard-origin": {"hosts": [f"*.{LONG}"], **ORIGIN, "originateTLS": {}},
    "split": {"hosts": [LONG], "http": {**ALLOW, **MIRROR}, **SPLIT, **ORIGIN},
}
OTHER = {"traffic": {"connectionPool": {"maxConnections": 7}}}


@pytest.mark.parametrize("gateway", [{}, {"gatewayRef": {"name": SHARED}}], ids=["direct", SHARED])
@pytest.mark.parametrize("destination", TEXTS.values(), ids=TEXTS)
def test_both_count_the_same_text(destination: Object, gateway: Object) -> None:
    labels = {f"label-{n}": "v" * 60 for n in range(15)}
    count = 600
    policies: list[Object] = [
        {
            "kind": "EgressPolicy",
            "metadata": {"name": f"p{number:04}-{'x' * (number % 200)}", "namespace": "shop"},
            "spec": {
                "from": {"workloads": {"matchLabels": {**labels, "app": f"a{number % 499}"}}},
                "destinations": [
                    {
                        "ports": [{"number": 80, "protocol": "HTTP"}],
                        **destination,
                        # Of those that lose anyway the name counts.
                        **(OTHER if number % 7 == 5 else {}),
                    }
                ],
                **gateway,
            },
        }
        for number in range(count)
    ]
    lost = find_conflicts("shop", policies)
    assert count / 7 < len(lost) < count
    assert find_defeats("shop", policies) == lost


def test_both_count_the_names_of_policies_and_accounts() -> None:
    accounts = [
        {
            "kind": "EgressPolicy",
            "metadata": {"name": f"p{number:04}-{'x' * (number % 200)}", "namespace": "shop"},
            "spec": {
                "gatewayRef": {"name": SHARED},
                "from": {"serviceAccounts": [f"{'a' * 200}-{4 * number + n}" for n in range(8)]},
                "destinations": [{"hosts": ["api.example.com"]}],
            },
        }
        for number in range(600)
    ]
    lost = find_conflicts("shop", accounts)
    assert 0 < len(lost) < len(accounts)
    assert find_defeats("shop", accounts) == lost
