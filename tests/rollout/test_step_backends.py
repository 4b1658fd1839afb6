"""The order of writes when backends, their shares and copies change."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest

from egress_operator.rollout.write import Write
from rollout.convergence import converge
from rollout.fake_cluster import SE, SETTLE, VS, FakeCluster, name_writes
from rollout.invariant import InvariantChecker
from rollout.policy_set import SHARED, PolicySet, build_gateway, build_route

PORTS: dict[str, dict[str, Any]] = {
    "http": {"number": 80, "protocol": "HTTP"},
    "tls": {"number": 443, "protocol": "TLS"},
    "tcp": {"number": 5432, "protocol": "TCP"},
}
WAYS: dict[str, dict[str, Any]] = {
    "direct": {},
    "gateway": {"gateway": SHARED},
    "accounts": {"gateway": SHARED, "source": {"serviceAccounts": ["checkout"]}},
    "workloads": {"source": {"workloads": {"matchLabels": {"app": "checkout"}}}},
}


def build_backend(name: str, number: int, weight: int | None = None) -> dict[str, Any]:
    """Make a backend with one endpoint."""
    share = {} if weight is None else {"weight": weight}
    return {"name": name, "endpoints": [{"address": f"203.0.113.{number}"}], **share}


V1, V2 = build_backend("v1", 1), build_backend("v2", 2)
SHARES = [build_backend("v1", 1, 75), build_backend("v2", 2, 25)]
SPLIT = {"backends": SHARES}
SHIFTED = {"backends": [build_backend("v1", 1, 25), build_backend("v2", 2, 75)]}
DRAINED = {"backends": [build_backend("v1", 1, 0), build_backend("v2", 2, 100)]}
RENAMED = {"backends": [build_backend("v1", 1, 75), build_backend("v3", 2, 25)]}
THREE = {"backends": [*SHARES, build_backend("v4", 3, 10)]}
ORDERED = {"backends": [V1, V2], "failover": True}
TURNED = {"backends": [V2, V1], "failover": True}
LONGER = {"backends": [V1, V2, build_backend("v3", 3)], "failover": True}
PLACES: dict[str, dict[str, Any]] = {
    "own": {},
    "one": {"backends": [V1]},
    "split": SPLIT,
    "shifted": SHIFTED,
    "drained": DRAINED,
    "renamed": RENAMED,
    "three": THREE,
    "ordered": ORDERED,
}


def build_set(
    port: Mapping[str, Any], way: Mapping[str, Any], place: Mapping[str, Any]
) -> PolicySet:
    """Make a policy for one host whose backends are these."""
    policy = build_route("a", port, place=place, **way)
    return PolicySet((policy,), (build_gateway(),) if "gateway" in way else ())


def edit(old: PolicySet, new: PolicySet) -> tuple[InvariantChecker, list[Write]]:
    """Carry out an edit of what has been there for long; each write is checked."""
    checker = InvariantChecker(FakeCluster())
    converge(checker, old)
    checker.pass_time(10 * SETTLE)
    writes = converge(checker, new)
    assert checker.cluster.is_as_planned(*new.plan(checker.cluster))
    assert converge(checker, new) == []
    return checker, writes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("port", ["http"])
@pytest.mark.parametrize(("old", "new"), [*permutations(PLACES, 2)])
def test_every_change_of_backends_breaks_nothing(port: str, way: str, old: str, new: str) -> None:
    edit(
        build_set(PORTS[port], WAYS[way], PLACES[old]),
        build_set(PORTS[port], WAYS[way], PLACES[new]),
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("port", PORTS)
def test_other_weights_are_one_write_of_the_route(port: str, way: str) -> None:
    _, writes = edit(
        build_set(PORTS[port], WAYS[way], SPLIT), build_set(PORTS[port], WAYS[way], SHIFTED)
    )
    assert name_writes(writes) == [f"Replace {VS}"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(("old", "new"), [(ORDERED, TURNED), (ORDERED, LONGER), (LONGER, ORDERED)])
def test_another_order_is_one_write_of_the_endpoints(
    port: str, way: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """So there is no moment in which the order is half the old one."""
    _, writes = edit(build_set(PORTS[port], WAYS[way], old), build_set(PORTS[port], WAYS[way], new))
    assert name_writes(writes) == [f"Replace {SE}"]


@pytest.mark.parametrize("way", ["direct", "gateway"])
def test_a_mirror_comes_after_what_it_leads_to_and_goes_before(way: str) -> None:
    plain, copied = (
        build_set({**PORTS["http"], "http": http}, WAYS[way], DRAINED)
        for http in ({"timeout": "1s"}, {"timeout": "1s", "mirror": {"backend": "v1"}})
    )
    _, there = edit(plain, copied)
    assert name_writes(there)[0] == f"Create {SE}"
    assert name_writes(there)[-1] == f"Replace {VS}"
    _, back = edit(copied, plain)
    assert name_writes(back)[0] == f"Replace {VS}"
    assert name_writes(back)[-1] == f"Delete {SE}"
