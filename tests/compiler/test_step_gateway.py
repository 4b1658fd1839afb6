"""The order of writes with gateways, one situation after the other."""

from collections.abc import Sequence
from typing import Any

import pytest

from compiler.convergence import list_steps, settle
from compiler.watch import Watch
from compiler.world import AP, DR, GW, SE, SETTLE, VS, World, name_writes
from compiler.zone import HOST, OTHER, SHARED, Zone, build_gateway, build_route
from egress_operator.compiler.object import GATEWAY_KIND, Kind, Owner
from egress_operator.compiler.source import GatewayObjects, GatewaySource, PolicySource, Settings
from egress_operator.compiler.write import Create, Replace, Write

HTTP = {"number": 80, "protocol": "HTTP"}
SECURE = {**HTTP, "targetPort": 443, "originateTLS": {}}
TLS = {"number": 443, "protocol": "TLS"}
ACCOUNTS = {"serviceAccounts": ["checkout"]}
WORKLOADS = {"workloads": {"matchLabels": {"app": "checkout"}}}
SHOP = build_route("a", HTTP, gateway=SHARED)
PAY = build_route("c", HTTP, gateway=SHARED, namespace="pay")
GATEWAYS = (build_gateway(), build_gateway(OTHER))
SCOPED = Settings(dns_capture=True, gateway_objects=GatewayObjects.GATEWAY_NAMESPACE)


def build_watch(*zones: Zone) -> Watch:
    """Make a world that was brought to these states, one after the other, long ago."""
    watch = Watch(World())
    for zone in zones:
        settle(watch, zone)
        watch.pass_time(10 * SETTLE)
    return watch


def change(old: Zone, new: Zone) -> tuple[Watch, list[Write]]:
    """Carry out an edit to its end; what is there then is what is planned."""
    watch = build_watch(old)
    writes = settle(watch, new)
    assert watch.world.is_as_planned(*new.plan(watch.world))
    assert settle(watch, new) == []
    return watch, writes


def index(writes: Sequence[Write], name: str, part: str = "") -> int:
    """Find the first write of this name on an object whose name contains `part`."""
    for position, write in enumerate(writes):
        if name_writes([write]) == [name] and part in write.key.name:
            return position
    raise AssertionError((name, part, name_writes(writes)))


def through(*policies: PolicySource, authorization: str = "Managed", **more: Any) -> Zone:  # noqa: ANN401
    """Make a zone with these policies, and these fields of the first gateway."""
    gateway = build_gateway(SHARED, 2, authorization=authorization, **more)
    return Zone(policies, (gateway, build_gateway(OTHER)))


def test_a_new_host_waits_once_and_is_closed_from_the_start() -> None:
    watch, writes = change(through(), through(SHOP))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Create {SE}"]
    assert len(writes) == 7
    closed = [item for item in watch.world.observe() if item.key.kind is SE and item.is_closed]
    assert [item.hosts for item in closed] == [(HOST,)]


def test_a_host_that_turns_to_a_gateway_is_closed_last() -> None:
    direct = through(build_route("a", HTTP))
    watch, writes = change(direct, through(SHOP))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Replace {SE}"]
    entries = [item for item in watch.world.observe() if item.key.kind is SE]
    assert [item.is_closed for item in entries if item.hosts == (HOST,)] == [True]


def test_a_host_that_turns_to_direct_is_opened_first() -> None:
    _, writes = change(through(SHOP), through(build_route("a", HTTP)))
    assert name_writes(writes)[:2] == [f"Replace {SE}", f"Delete {VS}"]


def test_a_host_moves_to_another_gateway_in_one_write_of_its_route() -> None:
    _, writes = change(through(SHOP), through(build_route("a", HTTP, gateway=OTHER)))
    assert name_writes(writes).count(f"Replace {VS}") == 1
    assert f"Replace {SE}" not in name_writes(writes)
    switch = index(writes, f"Replace {VS}")
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
    _, writes = change(through(*policies), through(*policies, **place))
    changed = [write for write in writes if write.key.kind is not AP]
    names = name_writes(changed)
    switches = [position for position, name in enumerate(names) if name == f"Replace {VS}"]
    assert len(switches) == len(policies)
    assert not any("Delete" in name for name in names[: switches[-1]])
    assert not any("Create" in name for name in names[switches[-1] :])


def test_traffic_settings_of_a_gateway_are_one_write_for_each_tenant() -> None:
    traffic = {"connectionPool": {"maxConnections": 10}}
    _, writes = change(through(SHOP, PAY), through(SHOP, PAY, traffic=traffic))
    assert name_writes(writes) == [f"Replace {DR}"] * 2


def test_restricting_to_service_accounts_switches_the_route_after_the_permission() -> None:
    restricted = build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS)
    _, writes = change(through(SHOP), through(restricted))
    switch = index(writes, f"Replace {VS}")
    assert index(writes, f"Create {AP}") < switch
    assert index(writes, f"Create {GW}") < switch < index(writes, f"Delete {VS}")


def test_a_restriction_that_goes_takes_its_permission_last() -> None:
    restricted = build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS)
    _, writes = change(through(restricted), through(SHOP))
    assert index(writes, f"Replace {VS}") < index(writes, f"Delete {AP}")


def test_a_port_that_turns_opaque_has_objects_of_its_own() -> None:
    web = build_route("a", {"number": 8080, "protocol": "HTTP"}, gateway=SHARED)
    turned = build_route("a", {"number": 8080, "protocol": "TLS"}, gateway=SHARED)
    _, writes = change(through(web), through(turned))
    assert index(writes, f"Create {GW}") < index(writes, f"Replace {VS}")


def test_two_ports_may_go_two_ways() -> None:
    both = (SHOP, build_route("b", TLS))
    watch, _ = change(through(SHOP), through(*both))
    (route,) = [
        item for item in watch.world.observe() if item.key.kind is VS and item.hosts == (HOST,)
    ]
    spec = watch.world.objects[route.key]["spec"]
    assert {name for name in ("http", "tls", "tcp") if name in spec} == {"http", "tls"}
    change(through(*both), through(build_route("b", TLS)))


def test_a_host_restricted_to_workloads_is_closed_after_its_route() -> None:
    direct = build_route("a", HTTP, TLS)
    chosen = build_route("a", HTTP, TLS, source=WORKLOADS)
    _, writes = change(through(direct), through(chosen))
    assert name_writes(writes)[-2:] == [f"Create {VS}", f"Replace {SE}"]
    _, writes = change(through(chosen), through(direct))
    assert name_writes(writes)[:2] == [f"Replace {SE}", f"Delete {VS}"]


def test_another_port_by_the_same_way_waits_for_its_own_objects() -> None:
    """The way to the gateway is there already, but not what the gateway does with the new name."""
    private = build_route("b", {"number": 8080, "protocol": "HTTP"}, source=WORKLOADS)
    moved = build_route("b", {"number": 8080, "protocol": "HTTP"}, gateway=SHARED)
    watch = build_watch(through(SHOP, private))
    start = watch.world.now
    writes = settle(watch, through(SHOP, moved))
    assert index(writes, f"Create {VS}", "-8080-") < index(writes, f"Replace {VS}")
    assert watch.changed_at[writes[index(writes, f"Replace {VS}")].key] >= start + SETTLE


def test_origination_behind_a_gateway_changes_what_is_behind_alone() -> None:
    secure = build_route("a", SECURE, gateway=SHARED)
    _, writes = change(through(SHOP), through(secure))
    assert name_writes(writes) == [f"Create {DR}", f"Replace {SE}", f"Replace {SE}"]


@pytest.mark.parametrize("gateway", ["", SHARED])
def test_origination_that_ends_does_not_last_a_settle_time_longer(gateway: str) -> None:
    """Until the rule is gone the proxies speak TLS to the port that the host has now."""
    watch = build_watch(through(build_route("a", SECURE, gateway=gateway)))
    start = watch.world.now
    writes = settle(watch, through(build_route("a", HTTP, gateway=gateway)))
    assert f"Delete {DR}" in name_writes(writes)
    assert watch.world.now - start < SETTLE


def test_a_second_policy_joins_and_leaves_without_a_gap() -> None:
    both = through(SHOP, build_route("b", HTTP, gateway=SHARED))
    for old, new in ((through(SHOP), both), (both, through(SHOP))):
        _, writes = change(old, new)
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
    """`Watch` looks at every state in between."""
    before = through(SHOP, PAY, authorization=old)
    _, writes = change(before, through(SHOP, PAY, authorization=new))
    assert {write.key.kind for write in writes} == {AP}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: next(iter(place)))
@pytest.mark.parametrize(("old", "new"), TURNS)
def test_no_tenant_is_lost_while_enforcement_and_place_change_at_once(
    old: str, new: str, place: dict[str, Any]
) -> None:
    before = through(SHOP, PAY, authorization=old)
    watch, _ = change(before, through(SHOP, PAY, authorization=new, **place))
    left = [item for item in watch.world.observe() if item.key.kind is AP and not item.tenant]
    enforced = [item.is_closed for item in left if item.group.startswith(SHARED)]
    assert enforced == ([] if new == "None" else [True])


@pytest.mark.parametrize("old", ["DryRun", "None"])
def test_a_gateway_in_use_that_begins_to_enforce_allows_everything_first(old: str) -> None:
    before = through(SHOP, PAY, authorization=old)
    _, writes = change(before, through(SHOP, PAY))
    first, last = writes[0], writes[-1]
    assert isinstance(first, Create | Replace)
    assert isinstance(last, Replace)
    assert first.desired.key == last.desired.key
    assert (first.desired.spec.get("rules"), last.desired.spec.get("rules")) == ([{}], None)


def test_a_gateway_that_ceases_to_enforce_allows_everything_until_the_last_is_gone() -> None:
    _, writes = change(through(SHOP, PAY), through(SHOP, PAY, authorization="None"))
    assert name_writes(writes) == [f"Replace {AP}"] + [f"Delete {AP}"] * 3
    assert writes[0].key == writes[-1].key


def test_a_tenant_that_leaves_in_between_does_not_hold_up_the_denial() -> None:
    watch = build_watch(through(SHOP, PAY, authorization="None"))
    watch.begin(through(SHOP, PAY))
    for step in list_steps(watch):
        for write in step.writes:
            watch.send(write)
    watch.world.remove_owners([Owner("c", "c-uid")])
    settle(watch, through(SHOP))
    (own,) = [
        item
        for item in watch.world.observe()
        if item.key.kind is AP and item.key.namespace == "istio-egress" and not item.tenant
    ]
    assert own.is_closed


def test_a_new_gateway_without_tenants_denies_at_once() -> None:
    watch = build_watch()
    writes = settle(watch, through())
    assert name_writes(writes) == [f"Create {AP}"] * 2
    assert watch.world.now == pytest.approx(1000.01)


@pytest.mark.parametrize("settings", [Settings(dns_capture=True), SCOPED])
def test_permission_that_is_withdrawn_closes_the_host_without_waiting(settings: Settings) -> None:
    policies = (build_route("a", HTTP, gateway=SHARED, source=ACCOUNTS), PAY)
    old = Zone(policies, GATEWAYS, settings=settings)
    watch = build_watch(old)
    start = watch.world.now
    new = Zone(policies, GATEWAYS, frozenset({"pay"}), settings)
    writes = settle(watch, new)
    assert watch.world.now - start < SETTLE
    assert watch.world.is_as_planned(*new.plan(watch.world))
    left = [item for item in watch.world.observe() if item.part == "shop"]
    assert [(item.key.kind, item.is_closed) for item in left] == [(SE, True)]
    host = [write for write in writes if write.key.name.startswith("api-")]
    assert name_writes(host)[0] == f"Delete {AP}"


def test_permission_that_is_withdrawn_closes_what_was_still_open() -> None:
    watch = build_watch(through(build_route("a", HTTP)))
    watch.begin(through(SHOP))
    for step in list_steps(watch):
        for write in step.writes:
            watch.send(write)
    settle(watch, Zone((SHOP,), GATEWAYS, frozenset()))
    left = [item for item in watch.world.observe() if item.part == "shop"]
    assert [(item.key.kind, item.is_closed) for item in left] == [(SE, True)]


def test_a_withdrawal_that_meets_a_gateway_without_its_own_denial_is_no_hot_loop() -> None:
    """Another port is to be restricted by a gateway whose AuthorizationPolicy does not come."""
    web = build_route("a", HTTP, gateway=SHARED)
    restricted = build_route("b", TLS, gateway=OTHER, source=ACCOUNTS)
    closed = build_gateway(SHARED, 2, namespaces={"matchLabels": {"egress": "no"}})
    watch = build_watch(Zone((web,), GATEWAYS))
    for key in [
        key for key in watch.world.objects if key.kind is AP and key.namespace != "istio-egress"
    ]:
        del watch.world.objects[key]
    plan = Zone((web, restricted), (closed, GATEWAYS[1])).plan(watch.world)[0]
    world = watch.world
    for _ in range(30):
        (group,) = [
            group for group in plan.groups.values() if group.is_closing and group.key == HOST
        ]
        step = world.ask(plan, group)
        for write in step.writes:
            world.send(write)
        if not step.writes:
            break
    assert not step.writes
    assert step.wait is not None
    assert step.wait > 0


def test_permission_that_comes_back_opens_the_way_again() -> None:
    withdrawn = Zone((SHOP,), GATEWAYS, frozenset())
    _, writes = change(withdrawn, Zone((SHOP,), GATEWAYS))
    assert name_writes(writes)[-1] == f"Create {VS}"


@pytest.mark.parametrize("settings", [Settings(dns_capture=True), SCOPED])
@pytest.mark.parametrize("source", [None, ACCOUNTS])
@pytest.mark.parametrize("gateway", [build_gateway(), build_gateway(authorization="DryRun")])
def test_nothing_that_a_policy_on_hold_needs_is_pruned(
    settings: Settings, source: dict[str, Any] | None, gateway: GatewaySource
) -> None:
    live = build_route("a", HTTP, TLS, gateway=SHARED, source=source)
    paused = build_route("a", HTTP, TLS, gateway=SHARED, source=source, paused=True)
    watch = build_watch(Zone((live,), GATEWAYS, settings=settings))
    before = set(watch.world.objects)
    settle(watch, Zone((paused,), (gateway, GATEWAYS[1]), settings=settings))
    assert set(watch.world.objects) == before


def test_a_route_that_a_policy_on_hold_keeps_also_keeps_what_only_the_other_asked_for() -> None:
    other = build_route("b", HTTP, TLS, gateway=SHARED)
    paused = build_route("a", HTTP, gateway=SHARED, paused=True)
    watch = build_watch(through(SHOP), through(paused, other))
    (route,) = [
        item for item in watch.world.observe() if item.key.kind is VS and item.hosts == (HOST,)
    ]
    settle(watch, through(paused, build_route("b", HTTP)))
    left = {item.key: item for item in watch.world.observe()}
    offered = {ref for item in left.values() if item.key.kind is not VS for ref in item.refs}
    hosts = {host for item in left.values() if item.key.kind is SE for host in item.hosts}
    assert left[route.key].refs <= offered | hosts


def test_a_gateway_that_moves_leaves_a_paused_policy_where_it_is() -> None:
    paused = build_route("a", HTTP, gateway=SHARED, paused=True)
    watch = build_watch(through(SHOP))
    before = {key for key in watch.world.objects if key.kind is not AP}
    settle(watch, through(paused, service={"name": "egress", "port": 8443}))
    assert before <= set(watch.world.objects)


def test_a_gateway_that_is_deleted_leaves_the_host_closed_until_it_comes_back() -> None:
    watch = build_watch(through(SHOP))
    watch.world.remove_owners([Owner(SHARED, f"{SHARED}-uid", GATEWAY_KIND)])
    gone = Zone((SHOP,), (build_gateway(OTHER),))
    assert settle(watch, gone) == []
    closed = [item.is_closed for item in watch.world.observe() if item.hosts == (HOST,)]
    assert closed.count(True) == 1
    settle(watch, through(SHOP))
    assert watch.world.is_as_planned(*through(SHOP).plan(watch.world))


def test_what_serves_a_tenant_stays_as_long_as_one_host_needs_it() -> None:
    more = build_route("a", HTTP, gateway=SHARED, hosts=[HOST, "www.example.com"])
    _, writes = change(through(more), through(SHOP))
    assert not [write for write in writes if write.key.name.startswith(("shared-", "shop-"))]


def test_two_tenants_meet_in_the_namespace_of_the_gateway_and_stay_apart() -> None:
    old = Zone((SHOP, PAY), GATEWAYS, settings=SCOPED)
    watch = build_watch(old)
    pay = {item.key for item in watch.world.observe() if item.part == "pay"}
    settle(watch, Zone((build_route("a", HTTP), PAY), GATEWAYS, settings=SCOPED))
    assert {item.key for item in watch.world.observe() if item.part == "pay"} == pay


@pytest.mark.parametrize("kind", list(Kind))
def test_drift_of_any_object_is_one_write(kind: Kind) -> None:
    zone = through(build_route("a", SECURE, TLS, gateway=SHARED))
    watch = build_watch(zone)
    for key in [key for key in watch.world.objects if key.kind is kind]:
        watch.world.objects[key]["spec"]["x"] = 1
        assert name_writes(settle(watch, zone)) == [f"Replace {kind}"], key
        watch.pass_time(10 * SETTLE)
