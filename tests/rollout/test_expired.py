"""A policy whose time is over ends, whatever else has a part in its host."""

from dataclasses import replace
from typing import Any

import pytest

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import build_host_name
from egress_operator.istio.observed import read_observed
from egress_operator.plan.source import PolicySource
from rollout.convergence import converge
from rollout.fake_cluster import AP, SE, SETTLE, VS, FakeCluster
from rollout.invariant import InvariantChecker
from rollout.policy_set import (
    HOST,
    SHARED,
    PolicySet,
    build_gateway,
    build_route,
    expire,
)

HTTP: dict[str, Any] = {"number": 80, "protocol": "HTTP"}
TLS: dict[str, Any] = {"number": 443, "protocol": "TLS"}
ENTRY = ObjectKey(SE, "shop", build_host_name(HOST))
LATER = "2026-02-01T00:00:00Z"


def build(*policies: PolicySource) -> PolicySet:
    return PolicySet(policies, (build_gateway(),))


def converge_after(before: PolicySet, *after: PolicySource) -> FakeCluster:
    checker = InvariantChecker(FakeCluster())
    converge(checker, before)
    checker.pass_time(10 * SETTLE)
    converge(checker, build(*after))
    return checker.cluster


def pause(policy: PolicySource) -> PolicySource:
    return replace(policy, paused=True)


def spoil(policy: PolicySource) -> PolicySource:
    """Edit a policy so that it is refused."""
    return replace(policy, spec={**policy.spec, "destinations": [{"hosts": ["x.y.svc"]}]})


@pytest.mark.parametrize("hold", [pause, spoil])
def test_a_policy_on_hold_keeps_nothing_of_a_host_that_it_shares(hold: Any) -> None:  # noqa: ANN401
    ends = build_route("ends", TLS)
    stays = build_route("stays", HTTP, created=LATER)
    cluster = converge_after(build(ends, stays), expire(ends), hold(stays))
    assert ENTRY not in cluster.objects


def test_a_policy_on_hold_keeps_no_permission_of_a_host_that_it_shares() -> None:
    ends = build_route("ends", TLS, gateway=SHARED, source={"serviceAccounts": ["one"]})
    stays = build_route(
        "stays", HTTP, gateway=SHARED, source={"serviceAccounts": ["two"]}, created=LATER
    )
    cluster = converge_after(build(ends, stays), expire(ends), pause(stays))
    left = [read_observed(obj) for key, obj in cluster.objects.items() if key.kind is AP]
    assert [item.key for item in left if item.tenant] == []


def test_a_policy_in_force_keeps_its_part() -> None:
    ends = build_route("ends", TLS)
    stays = build_route("stays", HTTP, created=LATER)
    cluster = converge_after(build(ends, stays), expire(ends), stays)
    ports = read_observed(cluster.objects[ENTRY]).facts.ports
    assert [port.number for port in ports] == [80]


def test_what_an_expired_policy_opened_is_closed_also_where_the_next_one_is_blocked() -> None:
    """The next one goes through a gateway, and an object of somebody else has a name it needs."""
    ends = build_route("ends", TLS)
    follows = build_route("follows", TLS, gateway=SHARED, created=LATER)
    checker = InvariantChecker(FakeCluster())
    converge(checker, build(ends, follows))
    converged = FakeCluster()
    names = converge(InvariantChecker(converged), build(follows))
    (behind,) = {
        write.key for write in names if write.key.kind is VS and write.key.name != ENTRY.name
    }
    checker.cluster.put(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": str(Kind.VIRTUAL_SERVICE),
            "metadata": {"name": behind.name, "namespace": behind.namespace},
            "spec": {"hosts": ["mine.example.org"]},
        }
    )
    checker.pass_time(10 * SETTLE)
    after = build(expire(ends), follows)
    # Without the invariant that a closed host has a route: this one cannot have its own.
    for _ in range(20):
        for plan in after.plan(checker.cluster):
            for group in checker.cluster.list_sets(plan):
                for write in checker.cluster.compute_step(plan, group).writes:
                    checker.cluster.send(write)
        checker.cluster.now += 0.1
    assert read_observed(checker.cluster.objects[ENTRY]).facts.is_closed
