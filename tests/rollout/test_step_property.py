"""Whatever is there and whatever happens, the steps converge and no route loses its port."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from egress_operator.istio.manifest import build_manifest
from egress_operator.istio.object import Owner
from egress_operator.istio.set_key import HostSet
from egress_operator.plan.plan import Plan, plan_namespace
from egress_operator.plan.source import NamespaceInput, PolicySource, Settings
from egress_operator.rollout.write import Delete, Write
from rollout.fake_cluster import SE, SETTLE, VS, FakeCluster, build_policy, find_host

UNTIMED = settings(deadline=None)
HOST = "api.example.com"
SHAPES: dict[str, dict[str, str | int]] = {
    "plain": {"protocol": "HTTP"},
    "timed": {"protocol": "HTTP", "timeout": "1s"},
    "slower": {"protocol": "HTTP", "timeout": "2s"},
    "moved": {"protocol": "HTTP", "target": 9000, "timeout": "1s"},
    "opaque": {"protocol": "TLS"},
    "raw": {"protocol": "TCP"},
}
NUMBERS = (8080, 8081, 8082)

Shape = dict[int, str]
shapes = st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from(sorted(SHAPES)))
states = st.sampled_from(["live", "live", "live", "paused", "refused", "absent"])


@dataclass(frozen=True)
class Wish:
    """What one policy asks for the host."""

    shape: Shape
    state: str

    def build(self, name: str, created: str, generation: int) -> PolicySource | None:
        """Make the policy; None when there is none."""
        if self.state == "absent":
            return None
        destinations = []
        for number, key in sorted(self.shape.items()):
            made = SHAPES[key]
            port: dict[str, object] = {"number": number, "protocol": made["protocol"]}
            if "target" in made:
                port["targetPort"] = made["target"]
            destination: dict[str, object] = {"hosts": [HOST], "ports": [port]}
            if "timeout" in made:
                destination["http"] = {"timeout": made["timeout"]}
            destinations.append(destination)
        if not destinations:
            destinations.append({"hosts": ["other.example.com"]})
        if self.state == "refused":
            destinations.append({"hosts": ["x.y.svc"]})
        return build_policy(
            name,
            *destinations,
            created=created,
            paused=self.state == "paused",
            generation=generation,
        )


wishes = st.builds(Wish, shapes, states)
pairs = st.tuples(wishes, wishes)


def build_policies(pair: tuple[Wish, Wish], generation: int) -> list[PolicySource]:
    made = (
        pair[0].build("a", "2026-01-01T00:00:00Z", generation),
        pair[1].build("b", "2026-02-01T00:00:00Z", generation),
    )
    return [policy for policy in made if policy is not None]


def build_plan(policies: list[PolicySource]) -> Plan:
    return plan_namespace(NamespaceInput("shop", tuple(policies), Settings(dns_capture=True)))


@dataclass
class PortChecker:
    """Checks the ports of one host in every state between two writes."""

    cluster: FakeCluster
    tolerated: set[str] = field(default_factory=set)
    """What was missing before we began, or since the garbage collector removed something."""
    needed: dict[int, float] = field(default_factory=dict)
    """When a route of ours last needed a port."""
    allocated: set[str] = field(default_factory=set)
    """By uid, the ServiceEntries whose host has an address."""

    def look(self) -> None:
        """Check that every port that a route needs is there, and every address that a port needs.

        An address stays as long as the object.
        """
        missing = set(self.cluster.find_missing_ports())
        assert missing <= self.tolerated, missing
        entries = [item for item in self.cluster.observe() if item.key.kind is SE]
        for item in entries:
            raw = any(port.protocol == "TCP" for port in item.facts.ports)
            assert item.allocate == (raw or item.uid in self.allocated)
        self.allocated = {item.uid for item in entries if item.allocate}
        self.tolerated = missing
        self.note_needs()

    def note_needs(self) -> None:
        """Remember which ports are needed now."""
        for item in self.cluster.observe():
            if item.ours:
                for number in item.facts.needs:
                    self.needed[number] = self.cluster.now

    def check(self, write: Write) -> None:
        """No port is taken away within the settle time after a route needed it."""
        key = write.key
        if key.kind is not SE or key.name != self.name:
            return
        kept = (
            set()
            if isinstance(write, Delete)
            else {port.number for port in write.desired.facts.ports}
        )
        before = {
            port.number
            for item in self.cluster.observe()
            if item.key == key
            for port in item.facts.ports
        }
        for number in before - kept:
            since = self.cluster.now - self.needed.get(number, float("-inf"))
            assert since >= SETTLE, f"{number} is taken away after {since} s"

    name: str = ""


def run_steps(cluster: FakeCluster, plan: Plan, checker: PortChecker, data: st.DataObject) -> None:
    """Carry out some writes, in any order, with crashes and time in between."""
    for _ in range(data.draw(st.integers(0, 4))):
        for group in cluster.list_sets(plan):
            step = cluster.compute_step(plan, group)
            for write in data.draw(st.permutations(step.writes)):
                if data.draw(st.integers(0, 9)) == 0:
                    continue
                checker.check(write)
                cluster.send(write)
                checker.look()
        if data.draw(st.integers(0, 4)) == 0:
            cluster.restart()
        cluster.now += data.draw(st.sampled_from([0.0, 0.1, 1.0, SETTLE]))
        checker.note_needs()


def finish(cluster: FakeCluster, plan: Plan, checker: PortChecker) -> None:
    """Go on to the end."""
    for _ in range(40):
        busy = False
        for group in cluster.list_sets(plan):
            step = cluster.compute_step(plan, group)
            busy |= bool(step.writes) or step.wait is not None
            for write in step.writes:
                checker.check(write)
                cluster.send(write)
                checker.look()
            cluster.now += step.wait or 0.01
        if not busy:
            return
    message = "it does not converge"
    raise AssertionError(message)


@UNTIMED
@given(st.data())
def test_any_history_converges_and_no_route_loses_its_port(data: st.DataObject) -> None:
    cluster = FakeCluster()
    checker = PortChecker(
        cluster, name=find_host(build_plan([build_policy("a", {"hosts": [HOST]})]), HOST).name
    )
    living: set[Owner] = set()
    plan = build_plan([])
    for generation in range(1, data.draw(st.integers(2, 4)) + 1):
        policies = build_policies(data.draw(pairs), generation)
        now_living = {Owner(policy.name, policy.uid) for policy in policies}
        plan = build_plan(policies)
        if data.draw(st.booleans()):
            cluster.remove_owners(living - now_living)
            checker.tolerated = set(cluster.find_missing_ports())
            living = now_living
        living |= now_living
        run_steps(cluster, plan, checker, data)
    cluster.remove_owners(living - {*plan.held, *plan.live})
    checker.tolerated = set(cluster.find_missing_ports())
    finish(cluster, plan, checker)
    assert cluster.find_missing_ports() == []
    assert cluster.converge(plan) == []
    if not plan.held:
        assert cluster.is_as_planned(plan)


@UNTIMED
@given(shapes, shapes, shapes, st.data())
def test_any_mixture_of_objects_converges(
    one: Shape, other: Shape, wish: Shape, data: st.DataObject
) -> None:
    """The ServiceEntry of one state and the VirtualService of another, just after a start."""
    cluster = FakeCluster()
    for shape, kind in ((one, SE), (other, VS)):
        plan = build_plan(build_policies((Wish(shape, "live"), Wish({}, "absent")), 1))
        group = plan.sets.get(HostSet("shop", HOST))
        for desired in group.objects if group and data.draw(st.booleans()) else ():
            if desired.key.kind is kind:
                cluster.put(build_manifest(desired, desired.owners))
    cluster.restart()
    plan = build_plan(build_policies((Wish(wish, "live"), Wish({}, "absent")), 2))
    checker = PortChecker(cluster, set(cluster.find_missing_ports()))
    for number in NUMBERS:
        checker.needed[number] = cluster.now
    checker.name = find_host(build_plan([build_policy("a", {"hosts": [HOST]})]), HOST).name
    checker.look()
    finish(cluster, plan, checker)
    assert cluster.is_as_planned(plan)
    assert cluster.converge(plan) == []


@UNTIMED
@given(shapes, shapes)
def test_an_edit_takes_no_write_too_many(old: Shape, new: Shape) -> None:
    """One per object that changes, and one more only where a ServiceEntry is united in between."""
    absent = Wish({}, "absent")
    before = build_plan(build_policies((Wish(old, "live"), absent), 1))
    after = build_plan(build_policies((Wish(new, "live"), absent), 2))
    cluster = FakeCluster()
    cluster.converge(before)
    cluster.now += 10 * SETTLE
    start = cluster.strip()
    writes = cluster.converge(after)
    end = cluster.strip()
    changed = sum(start.get(key) != end.get(key) for key in start.keys() | end.keys())
    assert changed <= len(writes) <= changed + 1
    if changed < 2:
        assert len(writes) == changed
