"""A wildcard and names below it, from every mixture of old and new: no name goes a way not its own.

What must hold in every state beside the rules of `InvariantChecker`: a wildcard's ServiceEntry that
leads anywhere for HTTP has its route beside it, which admits no other port; its route is made only
where each host below it has one of its own, and those stay as long as it is there, lest calls go by
the wildcard's that belong to a gateway, or to TLS of the mesh.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.name import build_host_name
from egress_operator.istio.object import Owner
from egress_operator.istio.observed import read_observed
from egress_operator.istio.set_key import HostSet
from egress_operator.istio.traffic import HTTP_LIKE
from egress_operator.plan.source import PolicySource
from egress_operator.rollout.write import Create, Delete, Write
from rollout.convergence import converge, finish, list_steps
from rollout.example import FEW, MANY
from rollout.fake_cluster import SETTLE, FakeCluster
from rollout.invariant import InvariantChecker
from rollout.policy_set import NAMESPACES, SHARED, PolicySet, build_gateway, build_route

pytestmark = pytest.mark.timeout(900)

WILDCARD, NARROW, HOST = "*.example.com", "*.eu.example.com", "api.example.com"
BELOW = {WILDCARD: (NARROW, HOST), NARROW: ()}
HTTP: dict[str, Any] = {"number": 80, "protocol": "HTTP"}
SECURE = {**HTTP, "targetPort": 443, "originateTLS": {}}
TLS: dict[str, Any] = {"number": 443, "protocol": "TLS"}
OTHER = {"hosts": ["other.example.org"]}
ALLOWED = ("HTTP", "HTTPAndTLS", "HTTPAndTLS", "Disabled")
WORKLOADS = {"workloads": {"matchLabels": {"app": "a"}}}
TIMED = {**HTTP, "http": {"timeout": "1s"}}
WIDE: tuple[tuple[Any, ...], ...] = ((HTTP,), (SECURE,), (TLS,), (HTTP, TLS), (TIMED, TLS))
ACCOUNTS = {"serviceAccounts": ["web"]}
OWN: tuple[tuple[tuple[Any, ...], str, Any], ...] = (
    ((HTTP,), "", None),
    ((SECURE,), "", None),
    ((HTTP, TLS), "", None),
    ((HTTP,), "", WORKLOADS),
    ((HTTP,), SHARED, None),
    ((HTTP, TLS), SHARED, None),
    ((TIMED,), "", None),
    ((TLS,), "", None),
)


@st.composite
def build_policies(draw: st.DrawFn, generation: int) -> tuple[PolicySource, ...]:
    """Up to three policies of one tenant: a wildcard, a narrower one, and a name."""
    found = []
    for name, host in (("wide", WILDCARD), ("narrow", NARROW), ("own", HOST)):
        state = draw(st.sampled_from(["live", "live", "paused", "absent"]))
        if state == "absent":
            continue
        gateway, source = "", None
        ports = draw(st.sampled_from(WIDE))
        if host == HOST:
            ports, gateway, source = draw(st.sampled_from(OWN))
        else:
            gateway = draw(st.sampled_from(["", SHARED]))
            chosen = [] if TLS in ports else [WORKLOADS]
            source = draw(st.sampled_from([None, *chosen, *([ACCOUNTS] if gateway else [])]))
        found.append(
            build_route(
                name,
                *ports,
                gateway=gateway,
                source=source,
                hosts=[host],
                namespace="shop",
                created=draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"])),
                paused=state == "paused",
                generation=generation,
            )
        )
    return tuple(found)


@st.composite
def build_policy_sets(draw: st.DrawFn, generation: int) -> PolicySet:
    """All that users wrote at one time."""
    return PolicySet(
        policies=draw(build_policies(generation)),
        gateways=(build_gateway(wildcards=draw(st.sampled_from(ALLOWED))),),
        selected=draw(st.sampled_from([frozenset(NAMESPACES)] * 3 + [frozenset[str]()])),
    )


class WildcardChecker(InvariantChecker):
    """Looks at the wildcards after each write as well."""

    def send(self, write: Write) -> None:
        """Check a write and the state after it."""
        self._check_filter(write)
        before = self._list_parts()
        super().send(write)
        for wildcard in BELOW:
            self._check_guard(wildcard)
        if write.key.kind is not Kind.VIRTUAL_SERVICE:
            return
        new = self._list_parts() - before
        if "http" in new:
            self._check_below(*BELOW[WILDCARD])
        if "tls" in new:
            self._check_held()
        if isinstance(write, Delete):
            own = (host for host in BELOW[WILDCARD] if write.key.name == build_host_name(host))
            self._check_below(*own)

    def _check_filter(self, write: Write) -> None:
        """No listener of TLS comes before what finds its names, and that does not go before it."""
        is_gone = write.key.kind is Kind.ENVOY_FILTER and isinstance(write, Delete)
        if is_gone and not self._is_withdrawn_permission(write.key):
            left = [key for key in self.cluster.objects if key.name == f"{write.key.name}-in"]
            assert not left, f"{left} are still there"
        if write.key.kind is Kind.GATEWAY and isinstance(write, Create):
            (server,) = write.desired.spec["servers"]
            if server.get("bind") and server["port"]["protocol"] == "TLS":
                name = write.key.name.removesuffix("-in")
                filters = {
                    key.name for key in self.cluster.objects if key.kind is Kind.ENVOY_FILTER
                }
                assert name in filters, f"{write.key} comes before its EnvoyFilter"

    def _find(self, kind: Kind, host: str) -> Any:  # noqa: ANN401 - an object
        return self.cluster.objects.get(ObjectKey(kind, "shop", build_host_name(host)))

    def _check_guard(self, wildcard: str) -> None:
        entry = self._find(Kind.SERVICE_ENTRY, wildcard)
        if entry is None or entry["spec"]["resolution"] != "DYNAMIC_DNS":
            return
        if any(port["protocol"] in HTTP_LIKE for port in entry["spec"]["ports"]):
            assert self._find(Kind.VIRTUAL_SERVICE, wildcard), f"{wildcard} has no route"

    def _list_parts(self) -> set[str]:
        """List what the route of the wildcard has rules for."""
        route = self._find(Kind.VIRTUAL_SERVICE, WILDCARD)
        return {part for part in ("http", "tls", "tcp") if route and route["spec"].get(part)}

    def _check_held(self) -> None:
        """No route of TLS is made over a port that stands and that no plan changes."""
        planned = {key for plan in self.plans for key in plan.sets}
        for host in BELOW[WILDCARD]:
            entry = self._find(Kind.SERVICE_ENTRY, host)
            if entry is None or HostSet("shop", host) in planned:
                continue
            ports = {port["number"] for port in entry["spec"]["ports"]}
            is_dead = read_observed(entry).owners.isdisjoint(self.living)
            assert is_dead or 443 not in ports, f"TLS of {host} goes by the wildcard"

    def _find_dropped(self, host: str) -> set[int]:
        """Return the ports of a host that stand, and that its plan does not have; none on hold."""
        key = ObjectKey(Kind.SERVICE_ENTRY, "shop", build_host_name(host))
        if not any(HostSet("shop", host) in plan.sets for plan in self.plans):
            return set()
        there = {port["number"] for port in self.cluster.objects[key]["spec"]["ports"]}
        return there - self.find_wanted_ports(key)

    def _check_below(self, *hosts: str) -> None:
        if "http" not in self._list_parts():
            return
        for host in hosts:
            entry = self._find(Kind.SERVICE_ENTRY, host)
            if entry is None or read_observed(entry).owners.isdisjoint(self.living):
                continue
            # What a policy does not ask for any more goes by the wildcard from now on.
            dropped = self._find_dropped(host)
            ports = [port for port in entry["spec"]["ports"] if port["number"] not in dropped]
            if any(port["protocol"] in HTTP_LIKE for port in ports):
                assert self._find(Kind.VIRTUAL_SERVICE, host), f"{host} has no route of its own"


@FEW
@given(data=st.data())
def test_any_history_converges_and_lets_no_name_go_astray(data: st.DataObject) -> None:
    check_history(data)


@pytest.mark.long("campaign")
@MANY
@given(data=st.data())
def test_any_of_many_histories_converges_and_lets_no_name_go_astray(data: st.DataObject) -> None:
    check_history(data)


def check_history(data: st.DataObject) -> None:
    cluster = FakeCluster()
    checker = WildcardChecker(cluster)
    owners: set[Owner] = set()
    for generation in range(1, data.draw(st.integers(2, 4))):
        policy_set = data.draw(build_policy_sets(generation))
        owners |= policy_set.list_owners()
        checker.begin(policy_set)
        for _ in range(data.draw(st.integers(0, 8))):
            checker.plans = policy_set.plan(cluster)
            writes = [write for step in list_steps(checker) for write in step.writes]
            late = data.draw(st.sampled_from(["", "", build_host_name(HOST)]))
            for write in writes:
                if write.key.name != late or write.key.kind is not Kind.VIRTUAL_SERVICE:
                    checker.send(write)
            if data.draw(st.integers(0, 5)) == 0:
                cluster.restart()
            checker.pass_time(data.draw(st.sampled_from([0.0, 0.1, 1.0, SETTLE])))
    last = data.draw(build_policy_sets(9))
    cluster.remove_owners(owners - last.list_owners())
    finish(checker, last)


def test_a_wildcard_that_is_closed_in_part_waits_for_the_routes_below_it() -> None:
    """The gateway lets its HTTP through and not its TLS; the route of a name below is not there."""
    checker = WildcardChecker(FakeCluster())
    wide = build_route("wide", HTTP, TLS, gateway=SHARED, hosts=[WILDCARD])
    policy_set = PolicySet(
        (wide, build_route("own", SECURE)),
        gateways=(build_gateway(wildcards="HTTP"),),
        selected=frozenset(NAMESPACES),
    )
    checker.begin(policy_set)
    missing = ObjectKey(Kind.VIRTUAL_SERVICE, "shop", build_host_name(HOST))
    for _ in range(8):
        checker.plans = policy_set.plan(checker.cluster)
        for step in list_steps(checker):
            for write in step.writes:
                if write.key != missing:
                    checker.send(write)
        checker.pass_time(SETTLE)
    keys = checker.cluster.objects.keys()
    assert ObjectKey(Kind.VIRTUAL_SERVICE, "shop", build_host_name(WILDCARD)) not in keys
    finish(checker, policy_set)
    assert ObjectKey(Kind.VIRTUAL_SERVICE, "shop", build_host_name(WILDCARD)) in keys


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        pytest.param(((TLS,), ""), ((TLS,), SHARED), id="direct-before"),
        pytest.param(((SECURE,), SHARED), ((HTTP, TLS), SHARED), id="requests-alone-before"),
    ],
)
def test_tls_of_a_wildcard_waits_for_what_is_on_hold_below_it(
    before: tuple[tuple[Any, ...], str], asked: tuple[tuple[Any, ...], str]
) -> None:
    """Its route through a gateway would take the server name of the paused host as well."""
    own = build_route("own", TLS)
    gateways, selected = (build_gateway(wildcards="HTTPAndTLS"),), frozenset(NAMESPACES)
    checker = WildcardChecker(FakeCluster())
    for (ports, gateway), state in ((before, own), (asked, replace(own, paused=True))):
        wide = build_route("wide", *ports, gateway=gateway, hosts=[WILDCARD])
        if state.paused:
            wide = replace(wide, generation=2)
        converge(checker, PolicySet((wide, state), gateways, selected))
    route = ObjectKey(Kind.VIRTUAL_SERVICE, "shop", build_host_name(WILDCARD))
    assert "tls" not in checker.cluster.objects.get(route, {"spec": {}})["spec"]
    checker.cluster.remove_owners({Owner(own.name, own.uid)})
    converge(checker, PolicySet((wide,), gateways, selected))
    assert checker.cluster.objects[route]["spec"]["tls"]


@pytest.mark.parametrize("before", [(HTTP, TLS), (TLS,)], ids=["both", "tls-alone"])
def test_a_wildcard_that_leaves_its_gateway_is_open_before_its_route_leaves_tls_to_it(
    before: tuple[dict[str, Any], ...],
) -> None:
    """Its requests have a route in any case, so it has one before and after."""
    gateways = (build_gateway(wildcards="HTTPAndTLS"),)
    through = build_route("wide", *before, gateway=SHARED, hosts=[WILDCARD])
    direct = build_route("wide", TIMED, TLS, hosts=[WILDCARD], generation=2)
    checker = WildcardChecker(FakeCluster())
    converge(checker, PolicySet((through,), gateways, frozenset(NAMESPACES)))
    start = checker.cluster.now
    writes = converge(checker, PolicySet((direct,), gateways, frozenset(NAMESPACES)))
    name = build_host_name(WILDCARD)
    own = [write for write in writes if write.key.name == name]
    kinds = [write.key.kind for write in own]
    assert kinds[:2] == [Kind.SERVICE_ENTRY, Kind.VIRTUAL_SERVICE]
    assert checker.changed_at[own[1].key] >= start + SETTLE


def test_a_port_of_requests_goes_before_the_route_that_guards_it() -> None:
    """The route was edited a moment before, so the ServiceEntry is older."""
    checker = InvariantChecker(FakeCluster())
    for ports in ((HTTP, TLS), (TIMED, TLS)):
        converge(checker, PolicySet((build_route("wide", *ports, hosts=[WILDCARD]),)))
    writes = converge(checker, PolicySet((build_route("wide", TLS, hosts=[WILDCARD]),)))
    found = [(type(write).__name__, write.key.kind) for write in writes]
    assert found[:2] == [("Replace", Kind.SERVICE_ENTRY), ("Delete", Kind.VIRTUAL_SERVICE)]


def test_a_wildcard_goes_before_the_route_that_guards_it() -> None:
    checker = InvariantChecker(FakeCluster())
    wide = build_route("wide", HTTP, hosts=[WILDCARD])
    converge(checker, PolicySet((wide,)))
    checker.pass_time(10 * SETTLE)
    writes = converge(
        checker, PolicySet((replace(wide, spec={**wide.spec, "destinations": [OTHER]}),))
    )
    gone = [write.key.kind for write in writes if isinstance(write, Delete)]
    assert gone[:2] == [Kind.SERVICE_ENTRY, Kind.VIRTUAL_SERVICE]


def test_a_wildcard_without_a_way_opens_no_port_on_the_way_to_tls() -> None:
    """It was withdrawn from its gateway; its requests wait, and a policy has TLS beside them."""
    narrow = build_route("narrow", HTTP, hosts=[NARROW])
    wide = build_route("wide", SECURE, gateway=SHARED, hosts=[WILDCARD])
    gateways = (build_gateway(wildcards="HTTP"),)
    checker = WildcardChecker(FakeCluster())
    converge(checker, PolicySet((wide, narrow), gateways, frozenset()))
    # For all that is known, the route may have been there until just now.
    checker.cluster.restart()
    opened = build_route("wide", HTTP, TLS, hosts=[WILDCARD], generation=2)
    held = replace(narrow, paused=True)
    converge(checker, PolicySet((opened, held), gateways))
