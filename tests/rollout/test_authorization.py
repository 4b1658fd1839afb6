"""The AuthorizationPolicies of a gateway: every way from one state to another, write by write."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.kinds import build_desired
from egress_operator.istio.name import build_gateway_label, build_tenant_name
from egress_operator.istio.object import DRY_RUN_ANNOTATION, Desired
from egress_operator.istio.object_set import Access
from egress_operator.istio.set_key import GatewaySet
from egress_operator.rollout.authorization import order_access
from egress_operator.rollout.pair import Clock
from egress_operator.rollout.write import Create, Delete, Replace, Step, Write
from rollout.fake_cluster import SETTLE, FakeCluster

GATEWAY = GatewaySet("shared", "egress")
LABEL = build_gateway_label("shared", "egress")
NAMESPACES = ("pay", "shop", "web")
BASELINE = ObjectKey(Kind.AUTHORIZATION_POLICY, "egress", LABEL)
MODES = ("Managed", "DryRun", "None")


def build_allow(name: str, rules: list[dict[str, Any]], *, dry_run: bool = False) -> Desired:
    spec = {
        "action": "ALLOW",
        "selector": {"matchLabels": {"istio": "egress"}},
        **({"rules": rules} if rules else {}),
    }
    key = ObjectKey(Kind.AUTHORIZATION_POLICY, "egress", name)
    tenant = "" if name == LABEL else name.partition("-")[0]
    return build_desired(key, GATEWAY, (), spec, dry_run=dry_run, tenant=tenant, place=LABEL)


def build_tenant(namespace: str, *, dry_run: bool = False) -> Desired:
    rules = [{"from": [{"source": {"namespaces": [namespace]}}]}]
    return build_allow(build_tenant_name(namespace, LABEL), rules, dry_run=dry_run)


def build_access(
    mode: str, tenants: Iterable[str], *, in_use: bool, withdrawn: Iterable[str] = ()
) -> Access:
    dry_run = mode == "DryRun"
    wanted = () if mode == "None" else sorted(tenants)
    return Access(
        baseline=build_allow(LABEL, [], dry_run=dry_run),
        enforces=mode == "Managed",
        is_final=mode != "None",
        allows=tuple(build_tenant(namespace, dry_run=dry_run) for namespace in wanted),
        withdrawn=frozenset(build_tenant(namespace).key for namespace in withdrawn),
        in_use=in_use,
    )


@dataclass
class Gateway:
    """The AuthorizationPolicies at the API server, in the order in which istiod sees them."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    broken: frozenset[ObjectKey] = frozenset()
    """Writes that the API server refuses."""

    def ask(self, access: Access, refused: Iterable[Write] = ()) -> Step:
        cluster = self.cluster
        clock = Clock(cluster.now, cluster.started_at, cluster.written_at, SETTLE)
        return order_access(GATEWAY, access, cluster.observe(), clock, frozenset(refused))

    def advance(self, access: Access, rng: random.Random) -> Iterable[Write]:
        """Give each write until nothing is left, those of a step in any order."""
        for _ in range(50):
            step = self.ask(access)
            writes = [write for write in step.writes if write.key not in self.broken]
            if not step.writes and step.wait is None:
                return
            self.cluster.now += step.wait or (0.01 if writes else 0.5)
            rng.shuffle(writes)
            for write in writes:
                self.cluster.send(write)
                yield write
            if step.writes and not writes and not self.ask(access).writes:
                return
        assert self.broken, "the steps do not end"

    def lets_in(self, namespace: str) -> bool:
        """Judge as Istio does: nothing enforced allows all, else one of them has to."""
        enforced = [
            item["spec"].get("rules", [])
            for item in self.cluster.objects.values()
            if item["metadata"]["annotations"].get(DRY_RUN_ANNOTATION) != "true"
        ]
        allowed = {"from": [{"source": {"namespaces": [namespace]}}]}
        return not enforced or any(rule in ({}, allowed) for rules in enforced for rule in rules)

    def denies_strangers(self) -> bool:
        return not self.lets_in("stranger")


TENANTS = st.sets(st.sampled_from(NAMESPACES))


@given(
    modes=st.lists(st.sampled_from(MODES), min_size=2, max_size=4),
    tenants=TENANTS,
    coming=TENANTS,
    leaving=TENANTS,
    cut=st.integers(0, 6),
    rng=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=300)
def test_every_change_converges_and_denies_nobody_in_between(
    modes: list[str],
    tenants: set[str],
    coming: set[str],
    leaving: set[str],
    cut: int,
    rng: random.Random,
) -> None:
    gateway = Gateway()
    first = build_access(modes[0], tenants, in_use=False)
    list(gateway.advance(first, rng))
    staying = tenants - leaving
    after = staying | (coming - leaving)
    for mode in modes[1:]:
        access = build_access(mode, after, in_use=bool(tenants), withdrawn=leaving)
        for index, _ in enumerate(gateway.advance(access, rng)):
            assert all(map(gateway.lets_in, staying)), "a tenant is denied in between"
            if index == cut:
                # Another edit, and another process that remembers nothing.
                gateway.cluster.restart()
                break
    access = build_access(modes[-1], after, in_use=bool(tenants), withdrawn=leaving)
    for _ in gateway.advance(access, rng):
        assert all(map(gateway.lets_in, staying)), "a tenant is denied in between"
    wanted = {item.key for item in access.allows} | ({BASELINE} if access.is_final else set())
    assert gateway.cluster.objects.keys() == wanted
    assert gateway.denies_strangers() == (modes[-1] == "Managed")
    assert gateway.ask(access) == Step()


@given(tenants=TENANTS, leaving=TENANTS, rng=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_gateway_that_denies_goes_on_denying(
    tenants: set[str], leaving: set[str], rng: random.Random
) -> None:
    gateway = Gateway()
    list(gateway.advance(build_access("Managed", tenants, in_use=False), rng))
    after = {*NAMESPACES} - leaving
    access = build_access("Managed", after, in_use=True, withdrawn=leaving)
    for index, write in enumerate(gateway.advance(access, rng)):
        assert gateway.denies_strangers()
        if index < len(tenants & leaving):
            assert isinstance(write, Delete), "a withdrawn permission goes first"
    assert not any(map(gateway.lets_in, leaving))


@pytest.mark.parametrize("mode", ["DryRun", "None"])
def test_nobody_is_denied_while_a_gateway_that_serves_nobody_yet_stops_enforcing(mode: str) -> None:
    """A tenant may get its server between two of the writes."""
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop"}, in_use=False), rng))
    for _ in gateway.advance(build_access(mode, {"shop"}, in_use=False), rng):
        assert gateway.lets_in("shop")


def test_a_gateway_without_tenants_denies_with_its_first_write() -> None:
    gateway = Gateway()
    access = build_access("Managed", (), in_use=False)
    (write,) = gateway.ask(access).writes
    assert write.key == BASELINE
    list(gateway.advance(access, random.Random(0)))  # noqa: S311
    assert gateway.denies_strangers()


def test_a_baseline_that_somebody_deletes_is_back_at_once() -> None:
    """Also beside a permission that is new: whoever is let in has an ALLOW of their own."""
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop"}, in_use=True), rng))
    del gateway.cluster.objects[BASELINE]
    access = build_access("Managed", {"shop", "pay"}, in_use=True)
    assert BASELINE in {write.key for write in gateway.ask(access).writes}
    for _ in gateway.advance(access, rng):
        assert gateway.denies_strangers()


@pytest.mark.parametrize("before", ["DryRun", "None"])
def test_an_allow_that_cannot_be_written_does_not_hold_up_the_denial(before: str) -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access(before, NAMESPACES, in_use=True), rng))
    gateway.broken = frozenset({build_tenant("shop").key})
    start = gateway.cluster.now
    access = build_access("Managed", NAMESPACES, in_use=True)
    for _ in gateway.advance(access, rng):
        if gateway.denies_strangers():
            break
    assert gateway.denies_strangers()
    assert gateway.cluster.now - start <= SETTLE + 5
    assert gateway.lets_in("pay")
    assert not gateway.lets_in("shop")


def test_what_is_kept_stays_as_it_is_and_what_is_not_goes() -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop", "pay"}, in_use=True), rng))
    access = replace(
        build_access("Managed", (), in_use=True), kept=frozenset({build_tenant("shop").key})
    )
    list(gateway.advance(access, rng))
    assert gateway.lets_in("shop")
    assert not gateway.lets_in("pay")


def test_without_its_gateway_what_is_withdrawn_goes_and_the_denial_stays() -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop"}, in_use=True), rng))
    shop = build_tenant("shop").key
    gone = Access(None, kept=frozenset({BASELINE}), withdrawn=frozenset({shop}))
    list(gateway.advance(gone, rng))
    assert gateway.denies_strangers()
    assert not gateway.lets_in("shop")
    list(gateway.advance(Access(None), rng))
    assert not gateway.cluster.objects


def test_what_cannot_be_deleted_lets_nobody_in_and_holds_up_nothing() -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop", "pay"}, in_use=True), rng))
    access = build_access("Managed", {"pay", "web"}, in_use=True, withdrawn={"shop"})
    (delete,) = gateway.ask(access).writes
    (disarm,) = gateway.ask(access, {delete}).writes
    assert (disarm.key, type(disarm)) == (delete.key, Replace)
    step = gateway.ask(access, {delete, disarm})
    assert step.refused == (delete, disarm)
    assert [write.key for write in step.writes] == [build_tenant("web").key]
    gateway.cluster.send(disarm)
    assert not gateway.lets_in("shop")
    gateway.cluster.send(step.writes[0])
    assert all(map(gateway.lets_in, ("pay", "web")))
    assert gateway.ask(access, {delete}) == Step(refused=(delete,))
    back = build_access("Managed", {"pay", "web", "shop"}, in_use=True)
    list(gateway.advance(back, rng))
    assert gateway.lets_in("shop")


@pytest.mark.parametrize("mode", ["DryRun", "None"])
def test_what_cannot_be_deleted_denies_nobody_where_nothing_is_enforced(mode: str) -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("DryRun", {"shop", "pay"}, in_use=True), rng))
    access = build_access(mode, {"pay"}, in_use=True, withdrawn={"shop"})
    refused = gateway.ask(access).writes
    while writes := gateway.ask(access, refused).writes:
        for write in writes:
            gateway.cluster.send(write)
            assert gateway.lets_in("stranger")
    assert build_tenant("shop").key in gateway.cluster.objects


@given(
    before=st.sampled_from(MODES),
    after=st.sampled_from(MODES),
    tenants=TENANTS,
    leaving=TENANTS,
    refused_names=st.sets(st.sampled_from([LABEL, *NAMESPACES])),
    rng=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=300)
def test_writes_come_to_an_end_whatever_is_refused(
    before: str,
    after: str,
    tenants: set[str],
    leaving: set[str],
    refused_names: set[str],
    rng: random.Random,
) -> None:
    gateway = Gateway()
    list(gateway.advance(build_access(before, tenants, in_use=True), rng))
    access = build_access(after, tenants - leaving, in_use=True, withdrawn=leaving)
    keys = {BASELINE if name == LABEL else build_tenant(name).key for name in refused_names}
    refused: set[Write] = set()
    for _ in range(30):
        step = gateway.ask(access, refused)
        if not step.writes and step.wait is None:
            break
        gateway.cluster.now += step.wait or 0.01
        refused |= {write for write in step.writes if write.key in keys}
        for write in step.writes:
            if write.key not in keys:
                gateway.cluster.send(write)
    else:
        pytest.fail("the steps do not end")
    if after != "Managed" and BASELINE not in keys:
        assert all(map(gateway.lets_in, tenants - leaving)), "a tenant is denied"


@pytest.mark.parametrize("mode", ["DryRun", "None"])
def test_what_denies_elsewhere_and_cannot_be_deleted_opens_nothing_here(mode: str) -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access(mode, {"shop"}, in_use=True), rng))
    spec = {"action": "ALLOW", "selector": {"matchLabels": {"istio": "former"}}}
    place = build_gateway_label("shared", "former")
    key = ObjectKey(Kind.AUTHORIZATION_POLICY, "egress", build_tenant_name("pay", place))
    former = build_desired(key, GATEWAY, (), spec, dry_run=False, tenant="pay", place=place)
    gateway.cluster.send(Create(former, ()))
    access = build_access(mode, {"shop"}, in_use=True)
    (delete,) = gateway.ask(access).writes
    assert delete.key == former.key
    assert gateway.ask(access, {delete}) == Step(refused=(delete,))


def test_what_has_lost_its_selector_is_closed_for_the_pods_of_the_gateway_alone() -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    list(gateway.advance(build_access("Managed", {"shop", "pay"}, in_use=True), rng))
    shop = build_tenant("shop").key
    gateway.cluster.objects[shop]["spec"] = {}
    access = build_access("Managed", {"pay"}, in_use=True, withdrawn={"shop"})
    (delete,) = gateway.ask(access).writes
    (disarm,) = gateway.ask(access, {delete}).writes
    assert isinstance(disarm, Replace)
    assert disarm.desired.spec["selector"] == {"matchLabels": {"istio": "egress"}}
    kept = frozenset({BASELINE, build_tenant("pay").key})
    gone = Access(None, kept=kept, withdrawn=frozenset({shop}))
    assert not gateway.ask(gone, {delete}).writes, "it would deny every pod of the namespace"


SOCKET_RULE = {"from": [{"source": {"notIpBlocks": ["0.0.0.0/0", "::/0"]}}]}


def test_what_comes_by_a_socket_is_no_opening() -> None:
    """The baseline denies with it as without it, and loses or gets it with one write."""
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    plain = build_access("Managed", {"shop"}, in_use=True)
    wild = replace(plain, baseline=build_allow(LABEL, [SOCKET_RULE]))
    list(gateway.advance(plain, rng))
    for access in (wild, plain):
        (write,) = gateway.advance(access, rng)
        assert write.key == BASELINE
        assert gateway.denies_strangers()
        assert gateway.ask(access) == Step()


def test_a_place_that_was_left_goes_on_to_hand_on_what_it_let_in() -> None:
    gateway, rng = Gateway(), random.Random(0)  # noqa: S311
    access = build_access("Managed", {"shop"}, in_use=True)
    wild = replace(access, baseline=build_allow(LABEL, [SOCKET_RULE]))
    list(gateway.advance(wild, rng))
    kept = frozenset({BASELINE})
    left = Access(None, kept=kept | {build_tenant("shop").key}, denials=kept)
    assert gateway.ask(left) == Step()
    gateway.cluster.objects[BASELINE]["spec"]["rules"] = [SOCKET_RULE, {}]
    list(gateway.advance(left, rng))
    assert gateway.denies_strangers()
    assert gateway.cluster.objects[BASELINE]["spec"]["rules"] == [SOCKET_RULE]


def test_a_permission_of_a_tenant_with_another_rule_is_not_sound() -> None:
    """Only a baseline may let in what comes by a socket."""
    rules = [SOCKET_RULE, {"from": [{"source": {"namespaces": ["shop"]}}]}]
    assert "unix:" in build_allow(build_tenant_name("shop", LABEL), rules).facts.refs
    assert build_allow(LABEL, [SOCKET_RULE]).facts.is_closed
    assert not build_allow(LABEL, [SOCKET_RULE, {}]).facts.is_closed
