"""The order of writes with gateways, one situation after the other."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from egress_operator.istio.envoy_filter import LookupFamily
from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import GATEWAY_KIND, Owner
from egress_operator.plan.option import GatewayObjects
from egress_operator.plan.source import GatewaySource, PolicySource, Settings
from egress_operator.rollout.write import Create, Replace, Write
from rollout.convergence import converge, list_steps
from rollout.fake_cluster import (
    AP,
    DR,
    EF,
    GW,
    SE,
    SETTLE,
    VS,
    FakeCluster,
    list_of,
    name_writes,
)
from rollout.invariant import InvariantChecker
from rollout.policy_set import HOST, OTHER, SHARED, PolicySet, build_gateway, build_route

HTTP = {"number": 80, "protocol": "HTTP"}
SECURE = {**HTTP, "targetPort": 443, "originateTLS": {}}
TLS = {"number": 443, "protocol": "TLS"}
ACCOUNTS = {"serviceAccounts": ["checkout"]}
WORKLOADS = {"workloads": {"matchLabels": {"app": "checkout"}}}
WILDCARD = "*.example.com"
SHOP = build_route("a", HTTP, gateway=SHARED)
PAY = build_route("c", HTTP, gateway=SHARED, namespace="pay")
GATEWAYS = (build_gateway(), build_gateway(OTHER))
SCOPED = Settings(dns_capture=True, gateway_objects=GatewayObjects.GATEWAY_NAMESPACE)


def build_checker(*policy_sets: PolicySet) -> InvariantChecker:
    """Make a cluster that was brought to these states, one after the other, long ago."""
    checker = InvariantChecker(FakeCluster())
    for policy_set in policy_sets:
        converge(checker, policy_set)
        checker.pass_time(10 * SETTLE)
    return checker


def apply_edit(old: PolicySet, new: PolicySet) -> tuple[InvariantChecker, list[Write]]:
    """Carry out an edit to its end; what is there then is what is planned."""
    checker = build_checker(old)
    writes = converge(checker, new)
    assert checker.cluster.is_as_planned(*new.plan(checker.cluster))
    assert converge(checker, new) == []
    return checker, writes


def find_first(writes: Sequence[Write], name: str, part: str = "") -> int:
    """Find the first write of this name on an object whose name contains `part`."""
    for position, write in enumerate(writes):
        if name_writes([write]) == [name] and part in write.key.name:
            return position
    raise AssertionError((name, part, name_writes(writes)))


def build_policy_set(
    *policies: PolicySource,
    authorization: str = "Managed",
    **more: Any,  # noqa: ANN401 - fields of a gateway
) -> PolicySet:
    """Make a set of policies with these policies, and these fields of the first gateway."""
    gateway = build_gateway(SHARED, 2, authorization=authorization, **more)
    return PolicySet(policies, (gateway, build_gateway(OTHER)))


def test_a_new_host_waits_once_and_is_closed_from_the_start() -> None:
    checker, writes = apply_edit(build_policy_set(), build_policy_set(SHOP))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Create {SE}"]
    assert len(writes) == 7
    closed = [
        item for item in checker.cluster.observe() if item.key.kind is SE and item.facts.is_closed
    ]
    assert [item.facts.hosts for item in closed] == [(HOST,)]


def test_a_host_that_turns_to_a_gateway_is_closed_last() -> None:
    direct = build_policy_set(build_route("a", HTTP))
    checker, writes = apply_edit(direct, build_policy_set(SHOP))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Replace {SE}"]
    entries = [item for item in checker.cluster.observe() if item.key.kind is SE]
    assert [item.facts.is_closed for item in entries if item.facts.hosts == (HOST,)] == [True]


def test_a_host_that_turns_to_direct_is_opened_first() -> None:
    _, writes = apply_edit(build_policy_set(SHOP), build_policy_set(build_route("a", HTTP)))
    assert name_writes(writes)[:2] == [f"Replace {SE}", f"Delete {VS}"]


@pytest.mark.parametrize("way", [{"gateway": SHARED}, {"source": WORKLOADS}])
def test_a_host_that_keeps_a_route_when_it_turns_to_direct_is_open_before_that_is_changed(
    way: dict[str, Any],
) -> None:
    """A route that leads to the host itself has nothing to lead to while the host is closed."""
    timed = {**HTTP, "http": {"timeout": "1s"}}
    checker = build_checker(build_policy_set(build_route("a", timed, **way)))
    start = checker.cluster.now
    writes = converge(checker, build_policy_set(build_route("a", timed)))
    assert name_writes(writes)[:2] == [f"Replace {SE}", f"Replace {VS}"]
    assert checker.changed_at[writes[1].key] >= start + SETTLE


def test_a_host_moves_to_another_gateway_in_one_write_of_its_route() -> None:
    _, writes = apply_edit(
        build_policy_set(SHOP), build_policy_set(build_route("a", HTTP, gateway=OTHER))
    )
    assert name_writes(writes).count(f"Replace {VS}") == 1
    assert f"Replace {SE}" not in name_writes(writes)
    switch = find_first(writes, f"Replace {VS}")
    assert all("Create" in name for name in name_writes(writes[:switch]))
    assert all("Delete" in name for name in name_writes(writes[switch + 1 :]))


@pytest.mark.parametrize(
    "place",
    [
        {"service": {"name": "egress", "port": 8443}},
        {"service": {"name": "second", "port": 443}},
        {"selector": {"istio": "moved"}},
        {"namespace": "egress-moved"},
    ],
)
@pytest.mark.parametrize("policies", [(SHOP, PAY), (build_route("a", TLS, gateway=SHARED),)])
def test_a_gateway_that_moves_has_new_objects_before_the_old_ones_go(
    place: dict[str, Any], policies: tuple[PolicySource, ...]
) -> None:
    _, writes = apply_edit(build_policy_set(*policies), build_policy_set(*policies, **place))
    changed = [write for write in writes if write.key.kind is not AP]
    names = name_writes(changed)
    switches = [position for position, name in enumerate(names) if name == f"Replace {VS}"]
    assert len(switches) == len(policies)
    assert not any("Delete" in name for name in names[: switches[-1]])
    assert not any("Create" in name for name in names[switches[-1] :])


def test_traffic_settings_of_a_gateway_are_one_write_for_each_tenant() -> None:
    traffic = {"connectionPool": {"maxConnections": 10}}
    _, writes = apply_edit(
        build_policy_set(SHOP, PAY), build_policy_set(SHOP, PAY, traffic=traffic)
    )
    assert name_writes(writes) == [f"Replace {DR}"] * 2


def go_on(
    checker: InvariantChecker, policy_set: PolicySet, held: Collection[ObjectKey]
) -> set[ObjectKey]:
    """Go on for a while without the writes of these objects; what is written."""
    checker.begin(policy_set)
    start = len(checker.writes)
    for _ in range(10):
        checker.plans = policy_set.plan(checker.cluster)
        for write in [write for step in list_steps(checker) for write in step.writes]:
            if write.key not in held:
                checker.send(write)
        checker.pass_time(SETTLE)
    return {write.key for write in checker.writes[start:]}


def find_permissions(checker: InvariantChecker, tenant: str) -> set[ObjectKey]:
    """Name the AuthorizationPolicies of a tenant; with no name, of gateways themselves."""
    observed = (item for item in checker.cluster.observe() if item.ours)
    return {item.key for item in observed if item.key.kind is AP and item.tenant == tenant}


@pytest.mark.parametrize(("authorization", "waits"), [("Managed", True), ("DryRun", False)])
def test_clients_of_a_wildcard_wait_until_the_gateway_lets_its_own_sockets_in(
    authorization: str, *, waits: bool
) -> None:
    """One that only reports what it would deny turns nobody away."""
    direct = build_route("a", HTTP, hosts=[WILDCARD])
    moved = build_route("a", HTTP, hosts=[WILDCARD], gateway=SHARED)
    checker = build_checker(build_policy_set(direct, PAY, authorization=authorization))
    new = build_policy_set(moved, PAY, authorization=authorization, wildcards="HTTP")
    route = ObjectKey(VS, "shop", build_host_name(WILDCARD))
    assert (route not in go_on(checker, new, find_permissions(checker, ""))) is waits
    assert (route in {write.key for write in converge(checker, new)}) is waits


WILD = build_route("a", TLS, hosts=[WILDCARD], gateway=SHARED)


def build_wild(*policies: PolicySource, wildcards: str = "HTTPAndTLS", **more: Any) -> PolicySet:  # noqa: ANN401
    return build_policy_set(*policies, wildcards=wildcards, **more)


def count_filters(checker: InvariantChecker) -> int:
    return sum(item.key.kind is EF for item in checker.cluster.observe())


@pytest.mark.parametrize("authorization", ["Managed", "DryRun", "None"])
def test_what_finds_names_is_there_before_its_listener_and_goes_after_it(
    authorization: str,
) -> None:
    without, there = (
        build_wild(*policies, authorization=authorization) for policies in ((), (WILD,))
    )
    checker, writes = apply_edit(without, there)
    created = find_first(writes, f"Create {EF}")
    assert created < find_first(writes, f"Create {GW}", "-in")
    assert created < find_first(writes, f"Create {VS}", build_host_name(WILDCARD))
    (written,) = (write for write in writes if write.key.kind is EF)
    assert checker.changed_at[written.key] + SETTLE <= max(checker.changed_at.values())
    assert count_filters(checker) == 1
    other = build_wild(
        build_route("a", HTTP, hosts=[WILDCARD], gateway=SHARED), authorization=authorization
    )
    _, writes = apply_edit(there, other)
    assert find_first(writes, f"Delete {GW}", "-in") < find_first(writes, f"Delete {EF}")


def test_the_listener_waits_for_what_finds_names() -> None:
    found = build_checker(build_wild(WILD))
    held = {item.key for item in found.cluster.observe() if item.key.kind is EF}
    checker = build_checker(build_wild(PAY))
    written = go_on(checker, build_wild(WILD, PAY), held)
    assert not any(key.kind is GW and key.name.endswith("-in") for key in written)
    assert ObjectKey(VS, "shop", build_host_name(WILDCARD)) not in written
    written = {write.key for write in converge(checker, build_wild(WILD, PAY))}
    assert held < written


@pytest.mark.parametrize("authorization", ["Managed", "DryRun", "None"])
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("wildcards", ["HTTP", "Disabled"])
def test_what_finds_names_goes_first_when_the_gateway_does_not_want_it(
    wildcards: str, authorization: str, *, paused: bool
) -> None:
    """A policy on hold keeps its listener."""
    wild = replace(WILD, paused=paused)
    checker = build_checker(build_wild(WILD, authorization=authorization))
    wanted = build_wild(wild, wildcards=wildcards, authorization=authorization)
    writes = converge(checker, wanted)
    if paused:
        assert name_writes(writes)[0] == f"Delete {EF}"
    assert f"Delete {EF}" in name_writes(writes)
    assert count_filters(checker) == 0


@pytest.mark.parametrize(
    "asked",
    [(HTTP,), pytest.param((HTTP, TLS), id="one-port-refused")],
)
def test_requests_of_a_wildcard_lose_nothing_when_the_gateway_moves(
    asked: tuple[dict[str, Any], ...],
) -> None:
    """Also where the gateway refuses its TLS: only that port has no way, and is closed."""
    wild = build_route("a", *asked, hosts=[WILDCARD], gateway=SHARED)
    checker = build_checker(build_wild(wild, wildcards="HTTP"))
    start = checker.cluster.now
    moved = {"name": "egress", "port": 8443}
    writes = converge(checker, build_wild(wild, wildcards="HTTP", service=moved))
    switch = find_first(writes, f"Replace {VS}", build_host_name(WILDCARD))
    assert checker.changed_at[writes[switch].key] >= start + SETTLE
    assert switch < find_first(writes, f"Delete {GW}")


@pytest.mark.parametrize("paused", [False, True])
def test_what_finds_names_goes_with_the_permission(*, paused: bool) -> None:
    checker = build_checker(build_wild(WILD, PAY))
    wild = replace(WILD, paused=paused)
    writes = converge(checker, replace(build_wild(wild, PAY), selected=frozenset({"pay"})))
    own = [write for write in writes if write.key.kind in {AP, EF}]
    assert sorted(name_writes(own)) == [f"Delete {AP}", f"Delete {EF}"]
    assert count_filters(checker) == 0


@pytest.mark.parametrize(
    "place", [{"service": {"name": "egress", "port": 8443}}, {"namespace": "egress-moved"}]
)
def test_a_gateway_that_moves_finds_names_at_both_places_meanwhile(place: dict[str, Any]) -> None:
    _, writes = apply_edit(build_wild(WILD), build_wild(WILD, **place))
    switch = find_first(writes, f"Replace {VS}", build_host_name(WILDCARD))
    assert find_first(writes, f"Create {EF}") < switch < find_first(writes, f"Delete {EF}")
    assert find_first(writes, f"Delete {GW}", "-in") < find_first(writes, f"Delete {EF}")


def test_another_family_of_addresses_is_one_write() -> None:
    wide = Settings(dns_capture=True, gateway_lookup_family=LookupFamily.ALL)
    checker = build_checker(build_wild(WILD))
    writes = converge(checker, replace(build_wild(WILD), settings=wide))
    assert name_writes(writes) == [f"Replace {EF}"]


def test_clients_do_not_wait_for_a_permission_that_only_reports() -> None:
    def build(*policies: PolicySource) -> PolicySet:
        return build_policy_set(*policies, authorization="DryRun")

    new = build(build_route("a", HTTP, gateway=SHARED), PAY)
    held = find_permissions(build_checker(new), "shop")
    route = ObjectKey(VS, "shop", build_host_name(HOST))
    assert held
    assert route in go_on(build_checker(build(PAY)), new, held)


@pytest.mark.parametrize("source", [None, ACCOUNTS])
def test_clients_wait_for_a_permission_that_lets_nobody_in(source: dict[str, Any] | None) -> None:
    """It was withdrawn, and could not be deleted."""
    new = build_policy_set(build_route("a", HTTP, gateway=SHARED, source=source), PAY)
    permitted = build_checker(new)
    checker = build_checker(build_policy_set(build_route("a", HTTP), PAY))
    held = find_permissions(permitted, "shop")
    for key in held:
        disarmed = copy.deepcopy(permitted.cluster.objects[key])
        del disarmed["spec"]["rules"]
        checker.cluster.put(disarmed)
    route = ObjectKey(VS, "shop", build_host_name(HOST))
    assert route not in go_on(checker, new, held)
    assert route in {write.key for write in converge(checker, new)}


def test_restricting_to_service_accounts_switches_the_route_after_the_permission() -> None:
    restricted = build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS)
    _, writes = apply_edit(build_policy_set(SHOP), build_policy_set(restricted))
    switch = find_first(writes, f"Replace {VS}")
    assert find_first(writes, f"Create {AP}") < switch
    assert find_first(writes, f"Create {GW}") < switch < find_first(writes, f"Delete {VS}")


def test_a_restriction_that_goes_takes_its_permission_last() -> None:
    restricted = build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS)
    _, writes = apply_edit(build_policy_set(restricted), build_policy_set(SHOP))
    assert find_first(writes, f"Replace {VS}") < find_first(writes, f"Delete {AP}")


def test_a_port_that_turns_opaque_has_objects_of_its_own() -> None:
    web = build_route("a", {"number": 8080, "protocol": "HTTP"}, gateway=SHARED)
    turned = build_route("a", {"number": 8080, "protocol": "TLS"}, gateway=SHARED)
    _, writes = apply_edit(build_policy_set(web), build_policy_set(turned))
    assert find_first(writes, f"Create {GW}") < find_first(writes, f"Replace {VS}")


def test_two_ports_may_go_two_ways() -> None:
    both = (SHOP, build_route("b", TLS))
    checker, _ = apply_edit(build_policy_set(SHOP), build_policy_set(*both))
    (route,) = [
        item
        for item in checker.cluster.observe()
        if item.key.kind is VS and item.facts.hosts == (HOST,)
    ]
    spec = checker.cluster.objects[route.key]["spec"]
    assert {name for name in ("http", "tls", "tcp") if name in spec} == {"http", "tls"}
    apply_edit(build_policy_set(*both), build_policy_set(build_route("b", TLS)))


def test_a_host_restricted_to_workloads_is_closed_after_its_route() -> None:
    direct = build_route("a", HTTP, TLS)
    chosen = build_route("a", HTTP, TLS, source=WORKLOADS)
    _, writes = apply_edit(build_policy_set(direct), build_policy_set(chosen))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Replace {SE}"]
    _, writes = apply_edit(build_policy_set(chosen), build_policy_set(direct))
    assert name_writes(writes)[:2] == [f"Replace {SE}", f"Delete {VS}"]


@pytest.mark.parametrize("member", ["annotations", "labels"])
def test_an_owner_joins_a_damaged_host_before_that_is_closed(member: str) -> None:
    checker = build_checker(build_policy_set(build_route("a", HTTP, TLS)))
    entry = ObjectKey(SE, "shop", build_host_name(HOST))
    del checker.cluster.objects[entry]["metadata"][member]
    policies = [build_route(name, HTTP, TLS, source=WORKLOADS) for name in ("a", "b")]
    after = build_policy_set(*policies)
    joined, closed = (write for write in converge(checker, after) if write.key == entry)
    assert isinstance(joined, Replace)
    assert [owner.name for owner in joined.owners] == ["a", "b"]
    assert not joined.desired.facts.is_closed
    assert isinstance(closed, Replace)
    assert closed.desired.facts.is_closed
    assert checker.cluster.is_as_planned(*after.plan(checker.cluster))


def test_another_port_by_the_same_way_waits_for_its_own_objects() -> None:
    """The way to the gateway is there already, but not what the gateway does with the new name."""
    private = build_route("b", {"number": 8080, "protocol": "HTTP"}, source=WORKLOADS)
    moved = build_route("b", {"number": 8080, "protocol": "HTTP"}, gateway=SHARED)
    checker = build_checker(build_policy_set(SHOP, private))
    start = checker.cluster.now
    writes = converge(checker, build_policy_set(SHOP, moved))
    assert find_first(writes, f"Create {VS}", "-8080-") < find_first(writes, f"Replace {VS}")
    assert checker.changed_at[writes[find_first(writes, f"Replace {VS}")].key] >= start + SETTLE


def test_origination_behind_a_gateway_changes_what_is_behind_alone() -> None:
    secure = build_route("a", SECURE, gateway=SHARED)
    _, writes = apply_edit(build_policy_set(SHOP), build_policy_set(secure))
    assert name_writes(writes) == [f"Create {DR}", f"Replace {SE}", f"Replace {SE}"]


@pytest.mark.parametrize("gateway", ["", SHARED])
def test_origination_that_ends_does_not_last_a_settle_time_longer(gateway: str) -> None:
    """Until the rule is gone the proxies speak TLS to the port that the host has now."""
    checker = build_checker(build_policy_set(build_route("a", SECURE, gateway=gateway)))
    start = checker.cluster.now
    writes = converge(checker, build_policy_set(build_route("a", HTTP, gateway=gateway)))
    assert f"Delete {DR}" in name_writes(writes)
    assert checker.cluster.now - start < SETTLE


def test_a_second_policy_joins_and_leaves_without_a_gap() -> None:
    both = build_policy_set(SHOP, build_route("b", HTTP, gateway=SHARED))
    for old, new in ((build_policy_set(SHOP), both), (both, build_policy_set(SHOP))):
        _, writes = apply_edit(old, new)
        assert set(name_writes(writes)) <= {f"Replace {SE}", f"Replace {VS}"}


TURNS = [
    ("DryRun", "Managed"),
    ("Managed", "DryRun"),
    ("None", "Managed"),
    ("Managed", "None"),
    ("None", "DryRun"),
    ("DryRun", "None"),
]
PLACES: list[dict[str, Any]] = [
    {"service": {"name": "egress", "port": 8443}},
    {"selector": {"istio": "moved"}},
    {"namespace": "egress-moved"},
]


@pytest.mark.parametrize(("old", "new"), TURNS)
def test_no_tenant_is_lost_while_enforcement_changes(old: str, new: str) -> None:
    """`InvariantChecker` looks at every state in between."""
    before = build_policy_set(SHOP, PAY, authorization=old)
    _, writes = apply_edit(before, build_policy_set(SHOP, PAY, authorization=new))
    assert {write.key.kind for write in writes} == {AP}


def test_a_tenant_left_at_a_former_place_is_not_denied_when_enforcement_ends() -> None:
    """The gateway took another port of the same pods; the tenant's policy is refused since then."""
    other_port: dict[str, Any] = {"service": {"name": "second", "port": 443}}
    refused = build_route("a", HTTP, hosts=["x.y.svc"], generation=2)
    checker = build_checker(build_policy_set(SHOP), build_policy_set(refused, **other_port))
    writes = converge(checker, build_policy_set(refused, authorization="None", **other_port))
    assert find_first(writes, f"Delete {AP}") > find_first(writes, f"Replace {AP}")


@pytest.mark.parametrize("old", ["DryRun", "None"])
def test_a_gateway_in_use_that_begins_to_enforce_allows_everything_first(old: str) -> None:
    before = build_policy_set(SHOP, PAY, authorization=old)
    _, writes = apply_edit(before, build_policy_set(SHOP, PAY))
    first, last = writes[0], writes[-1]
    assert isinstance(first, Create | Replace)
    assert isinstance(last, Replace)
    assert first.desired.key == last.desired.key
    assert (first.desired.spec.get("rules"), last.desired.spec.get("rules")) == ([{}], None)


def test_a_gateway_that_ceases_to_enforce_allows_everything_until_the_last_is_gone() -> None:
    _, writes = apply_edit(
        build_policy_set(SHOP, PAY), build_policy_set(SHOP, PAY, authorization="None")
    )
    assert name_writes(writes) == [f"Replace {AP}"] + [f"Delete {AP}"] * 3
    assert writes[0].key == writes[-1].key


def test_a_tenant_that_leaves_in_between_does_not_hold_up_the_denial() -> None:
    checker = build_checker(build_policy_set(SHOP, PAY, authorization="None"))
    checker.begin(build_policy_set(SHOP, PAY))
    for step in list_steps(checker):
        for write in step.writes:
            checker.send(write)
    checker.cluster.remove_owners([Owner("c", "c-uid")])
    converge(checker, build_policy_set(SHOP))
    (own,) = [
        item
        for item in checker.cluster.observe()
        if str(item.set_key) == SHARED and not item.tenant
    ]
    assert own.facts.is_closed


def test_a_new_gateway_without_tenants_denies_at_once() -> None:
    checker = build_checker()
    writes = converge(checker, build_policy_set())
    assert name_writes(writes) == [f"Create {AP}"] * 2
    assert checker.cluster.now == pytest.approx(1000.01)


@pytest.mark.parametrize("settings", [Settings(dns_capture=True), SCOPED])
def test_permission_that_is_withdrawn_closes_the_host_without_waiting(settings: Settings) -> None:
    policies = (build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS), PAY)
    old = PolicySet(policies, GATEWAYS, settings=settings)
    checker = build_checker(old)
    start = checker.cluster.now
    new = PolicySet(policies, GATEWAYS, frozenset({"pay"}), settings)
    writes = converge(checker, new)
    assert checker.cluster.now - start < SETTLE
    assert checker.cluster.is_as_planned(*new.plan(checker.cluster))
    left = list_of(checker.cluster.observe(), "shop")
    assert [(item.key.kind, item.facts.is_closed) for item in left] == [(SE, True)]
    host = [write for write in writes if write.key.name.startswith("api-")]
    assert f"Delete {AP}" in name_writes(host)


def test_permission_that_is_withdrawn_closes_what_was_still_open() -> None:
    checker = build_checker(build_policy_set(build_route("a", HTTP)))
    checker.begin(build_policy_set(SHOP))
    for step in list_steps(checker):
        for write in step.writes:
            checker.send(write)
    converge(checker, PolicySet((SHOP,), GATEWAYS, frozenset()))
    left = list_of(checker.cluster.observe(), "shop")
    assert [(item.key.kind, item.facts.is_closed) for item in left] == [(SE, True)]


def test_a_withdrawal_that_meets_a_gateway_without_its_own_denial_is_no_hot_loop() -> None:
    """Another port is to be restricted by a gateway whose AuthorizationPolicy does not come."""
    web = build_route("a", HTTP, gateway=SHARED)
    restricted = build_route("b", TLS, gateway=OTHER, source=ACCOUNTS)
    closed = build_gateway(SHARED, 2, namespaces={"matchLabels": {"egress": "no"}})
    checker = build_checker(PolicySet((web,), GATEWAYS))
    for key in [
        key for key in checker.cluster.objects if key.kind is AP and key.namespace != "istio-egress"
    ]:
        del checker.cluster.objects[key]
    plan = PolicySet((web, restricted), (closed, GATEWAYS[1])).plan(checker.cluster)[0]
    cluster = checker.cluster
    for _ in range(30):
        (group,) = [
            group for group in plan.sets.values() if group.is_closing and str(group.key) == HOST
        ]
        step = cluster.compute_step(plan, group)
        for write in step.writes:
            cluster.send(write)
        if not step.writes:
            break
    assert not step.writes
    assert step.wait is not None
    assert step.wait > 0


def test_permission_that_comes_back_opens_the_way_again() -> None:
    withdrawn = PolicySet((SHOP,), GATEWAYS, frozenset())
    _, writes = apply_edit(withdrawn, PolicySet((SHOP,), GATEWAYS))
    assert name_writes(writes)[-1] == f"Create {VS}"


@pytest.mark.parametrize("settings", [Settings(dns_capture=True), SCOPED])
@pytest.mark.parametrize("source", [None, ACCOUNTS])
@pytest.mark.parametrize("gateway", [build_gateway(), build_gateway(authorization="DryRun")])
def test_nothing_that_a_policy_on_hold_needs_is_pruned(
    settings: Settings, source: dict[str, Any] | None, gateway: GatewaySource
) -> None:
    live = build_route("a", HTTP, TLS, gateway=SHARED, source=source)
    paused = build_route("a", HTTP, TLS, gateway=SHARED, source=source, paused=True)
    checker = build_checker(PolicySet((live,), GATEWAYS, settings=settings))
    before = {key for key in checker.cluster.objects if key.kind is not AP}
    converge(checker, PolicySet((paused,), (gateway, GATEWAYS[1]), settings=settings))
    assert before <= set(checker.cluster.objects)


def test_a_route_that_a_policy_on_hold_keeps_also_keeps_what_only_the_other_asked_for() -> None:
    other = build_route("b", HTTP, TLS, gateway=SHARED)
    paused = build_route("a", HTTP, gateway=SHARED, paused=True)
    checker = build_checker(build_policy_set(SHOP), build_policy_set(paused, other))
    (route,) = [
        item
        for item in checker.cluster.observe()
        if item.key.kind is VS and item.facts.hosts == (HOST,)
    ]
    converge(checker, build_policy_set(paused, build_route("b", HTTP)))
    left = {item.key: item for item in checker.cluster.observe()}
    offered = {ref for item in left.values() if item.key.kind is not VS for ref in item.facts.refs}
    hosts = {host for item in left.values() if item.key.kind is SE for host in item.facts.hosts}
    assert left[route.key].facts.refs <= offered | hosts


def test_a_gateway_that_moves_leaves_a_paused_policy_where_it_is() -> None:
    paused = build_route("a", HTTP, gateway=SHARED, paused=True)
    checker = build_checker(build_policy_set(SHOP))
    before = {key for key in checker.cluster.objects if key.kind is not AP}
    converge(checker, build_policy_set(paused, service={"name": "egress", "port": 8443}))
    assert before <= set(checker.cluster.objects)


@pytest.mark.parametrize("old", ["DryRun", "None"])
def test_a_tenant_on_hold_keeps_its_way_when_the_gateway_moves(old: str) -> None:
    """Enforcement begins while the policy is refused, and then the gateway moves elsewhere."""
    refused = build_route("c", HTTP, namespace="pay", source=ACCOUNTS)
    other = build_route("b", HTTP, gateway=SHARED)
    build_checker(
        build_policy_set(PAY, other, authorization=old),
        build_policy_set(refused, other),
        build_policy_set(refused, other, namespace="egress-moved"),
    )


def test_a_gateway_that_comes_back_without_enforcement_denies_nobody_in_between() -> None:
    """What denies at the place where it was meanwhile selects the same pods."""
    paused = build_route("a", HTTP, gateway=SHARED, paused=True)
    build_checker(
        build_policy_set(SHOP),
        build_policy_set(paused, service={"name": "second", "port": 443}),
        build_policy_set(SHOP, authorization="None"),
    )


def test_a_gateway_that_is_deleted_leaves_the_host_closed_until_it_comes_back() -> None:
    checker = build_checker(build_policy_set(SHOP))
    checker.cluster.remove_owners([Owner(SHARED, f"{SHARED}-uid", GATEWAY_KIND)])
    gone = PolicySet((SHOP,), (build_gateway(OTHER),))
    assert name_writes(converge(checker, gone)) == [f"Delete {AP}"] * 2
    closed = [
        item.facts.is_closed for item in checker.cluster.observe() if item.facts.hosts == (HOST,)
    ]
    assert closed.count(True) == 1
    converge(checker, build_policy_set(SHOP))
    assert checker.cluster.is_as_planned(*build_policy_set(SHOP).plan(checker.cluster))


def test_what_serves_a_tenant_stays_as_long_as_one_host_needs_it() -> None:
    more = build_route("a", HTTP, gateway=SHARED, hosts=[HOST, "www.example.com"])
    _, writes = apply_edit(build_policy_set(more), build_policy_set(SHOP))
    assert not [write for write in writes if write.key.name.startswith(("shared-", "shop-"))]


def test_two_tenants_meet_in_the_namespace_of_the_gateway_and_stay_apart() -> None:
    old = PolicySet((SHOP, PAY), GATEWAYS, settings=SCOPED)
    checker = build_checker(old)
    pay = {item.key for item in list_of(checker.cluster.observe(), "pay")}
    converge(checker, PolicySet((build_route("a", HTTP), PAY), GATEWAYS, settings=SCOPED))
    assert {item.key for item in list_of(checker.cluster.observe(), "pay")} == pay


@pytest.mark.parametrize("kind", list(Kind))
def test_drift_of_any_object_is_one_write(kind: Kind) -> None:
    policy_set = build_policy_set(build_route("a", SECURE, TLS, gateway=SHARED))
    checker = build_checker(policy_set)
    for key in [key for key in checker.cluster.objects if key.kind is kind]:
        checker.cluster.objects[key]["spec"]["x"] = 1
        assert name_writes(converge(checker, policy_set)) == [f"Replace {kind}"], key
        checker.pass_time(10 * SETTLE)
