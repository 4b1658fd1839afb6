"""Namespaces, gateways and policies, what is planned for them, and an eye on what is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compiler.world import AP, DR, GW, SE, SETTLE, VS, World, build_policy
from egress_operator.compiler.gateway import judge_gateways
from egress_operator.compiler.gateway_plan import find_access, plan_gateways
from egress_operator.compiler.group import Group
from egress_operator.compiler.object import (
    GATEWAY_KIND,
    MESH,
    Kind,
    ObjectKey,
    Observed,
    Owner,
)
from egress_operator.compiler.observed import read_observed
from egress_operator.compiler.plan import Plan, plan_namespace
from egress_operator.compiler.source import (
    GatewaySource,
    NamespaceInput,
    PolicySource,
    Settings,
)
from egress_operator.compiler.write import Delete, Step, Write

HOST = "api.example.com"
SHARED, OTHER = "shared", "other"
PLACES = {SHARED: "istio-egress", OTHER: "egress-two"}
NEVER = float("-inf")
EPSILON = 1e-6
NAMESPACES = ("shop", "pay")


def build_gateway(name: str = SHARED, generation: int = 1, **more: object) -> GatewaySource:
    """Make an EgressGateway that every namespace with the label `egress: yes` may use."""
    spec: dict[str, Any] = {
        "namespace": PLACES[name],
        "selector": {"istio": name},
        "service": {"name": "egress", "port": 443},
        "namespaces": {"matchLabels": {"egress": "yes"}},
        "authorization": "Managed",
        **more,
    }
    return GatewaySource(name, f"{name}-uid", generation, "2026-01-01T00:00:00Z", spec)


def build_route(
    name: str,
    *ports: Mapping[str, Any],
    gateway: str = "",
    source: Mapping[str, Any] | None = None,
    hosts: Iterable[str] = (HOST,),
    **more: Any,  # noqa: ANN401 - arguments of build_policy
) -> PolicySource:
    """Make a policy for one host; in each port `originateTLS` and `http` are the destination's."""
    destinations = []
    for port in ports:
        entry = {key: port[key] for key in ("originateTLS", "http") if key in port}
        rest = {key: value for key, value in port.items() if key not in entry}
        destinations.append({"hosts": list(hosts), "ports": [rest], **entry})
    policy = build_policy(name, *destinations, **more)
    extra: dict[str, Any] = {"gatewayRef": {"name": gateway}} if gateway else {}
    if source:
        extra["from"] = source
    return replace(policy, spec={**policy.spec, **extra})


@dataclass(frozen=True)
class Zone:
    """All that users wrote."""

    policies: tuple[PolicySource, ...] = ()
    gateways: tuple[GatewaySource, ...] = ()
    selected: frozenset[str] = frozenset(NAMESPACES)
    """The namespaces with the label that gateways ask for."""
    settings: Settings = field(default_factory=lambda: Settings(dns_capture=True))

    def list_owners(self) -> set[Owner]:
        """List every policy and gateway as an owner."""
        return {Owner(policy.name, policy.uid) for policy in self.policies} | {
            Owner(gateway.name, gateway.uid, GATEWAY_KIND) for gateway in self.gateways
        }

    def plan(self, world: World) -> list[Plan]:
        """Plan each namespace, and the gateways, whose plan alone reads what is there."""
        plans = [
            plan_namespace(
                NamespaceInput(
                    namespace,
                    tuple(item for item in self.policies if item.namespace == namespace),
                    self.settings,
                    gateways=self.gateways,
                    labels={"egress": "yes"} if namespace in self.selected else {},
                )
            )
            for namespace in NAMESPACES
        ]
        verdicts = judge_gateways(self.gateways, self.settings)
        observed = world.observe()
        access = {
            verdict.gateway.label: find_access(verdict.gateway, observed)
            for verdict in verdicts.values()
            if verdict.gateway is not None
        }
        return [*plans, plan_gateways(verdicts, access)]


def list_rules(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """List the rules of a VirtualService."""
    for name in ("http", "tls", "tcp"):
        yield from spec.get(name) or ()


@dataclass(frozen=True)
class Need:
    """A VirtualService on the mesh leads to something of a kind."""

    route: ObjectKey
    group: str
    kind: Kind
    name: str
    """A subset, a host, or a Gateway, as references name it."""


def find_tenant(need: Need) -> tuple[str, str]:
    """Return the namespace and that of the gateway, of a way to a gateway's Service."""
    return need.route.namespace, need.name.split(".")[1]


def find_broken(needs: Mapping[Need, ObjectKey | None]) -> set[ObjectKey]:
    """Name the routes that lead to something that is not there."""
    return {need.route for need, key in needs.items() if key is None}


def find_broken_tenants(needs: Mapping[Need, ObjectKey | None]) -> set[tuple[str, str]]:
    """Name those that no gateway serves whatever it allows."""
    broken = find_broken(needs)
    return {find_tenant(need) for need in needs if need.kind is DR and need.route in broken}


@dataclass
class Snapshot:
    """What is there now, and what of it is needed."""

    world: World
    living: set[Owner]
    """Policies and gateways that are there."""
    observed: dict[ObjectKey, Observed] = field(init=False)

    def __post_init__(self) -> None:
        self.observed = {item.key: item for item in self.world.observe() if item.ours}

    def select(self, kind: Kind) -> list[Observed]:
        """List our objects of a kind."""
        return [item for item in self.observed.values() if item.key.kind is kind]

    def spec(self, item: Observed) -> Mapping[str, Any]:
        """Return the spec of an object."""
        spec: Mapping[str, Any] = self.world.objects[item.key]["spec"]
        return spec

    def is_client(self, item: Observed) -> bool:
        """Whether it is a VirtualService that leads the clients of a host.

        Not one that closes a private name: what that leads to is closed, or not there.
        """
        spec = self.spec(item)
        private = any(name.endswith("direct.internal") for name in spec["hosts"])
        return spec["gateways"] == [MESH] and (not private or item.key.name == item.group)

    def find_clients(self) -> list[Observed]:
        """List those VirtualServices."""
        return [item for item in self.select(VS) if self.is_client(item)]

    def find_dead(self) -> set[ObjectKey]:
        """Name those that nobody owns any more: they are the garbage collector's."""
        return {item.key for item in self.find_clients() if item.owners.isdisjoint(self.living)}

    def find_needs(self) -> dict[Need, ObjectKey | None]:
        """Return what every client needs, and the object that offers it, if there is one."""
        needs: dict[Need, ObjectKey | None] = {}
        for route in self.find_clients():
            for kind, name, key in self._follow(route):
                needs[Need(route.key, route.group, kind, name)] = key
        return needs

    def _follow(self, route: Observed) -> Iterator[tuple[Kind, str, ObjectKey | None]]:
        for rule in list_rules(self.spec(route)):
            for way in rule.get("route") or ():
                destination = way["destination"]
                if destination["host"] in route.hosts:
                    continue
                if "subset" not in destination:
                    yield SE, destination["host"], self._find_host(destination["host"])
                    continue
                ref = f"{destination['host']}#{destination['subset']}"
                rule_key = self._find_offer(DR, ref, route.key.namespace)
                yield DR, ref, rule_key
                host = (rule.get("rewrite") or {}).get("authority", "")
                if not host and rule_key is not None:
                    host = self._find_sni(rule_key)
                if host:
                    yield from self._follow_gateway(host)

    def _follow_gateway(self, host: str) -> Iterator[tuple[Kind, str, ObjectKey | None]]:
        yield SE, host, self._find_host(host)
        found = [item for item in self.select(VS) if host in item.hosts]
        yield VS, host, found[0].key if found else None
        for item in found:
            for ref in self.spec(item)["gateways"]:
                yield GW, ref, self._find_offer(GW, ref)

    def _find_sni(self, key: ObjectKey) -> str:
        (subset,) = self.world.objects[key]["spec"]["subsets"]
        return str(subset["trafficPolicy"]["tls"]["sni"])

    def _find_host(self, host: str) -> ObjectKey | None:
        return next((item.key for item in self.select(SE) if host in item.hosts), None)

    def _find_offer(self, kind: Kind, ref: str, namespace: str = "") -> ObjectKey | None:
        return next(
            (
                item.key
                for item in self.select(kind)
                if ref in item.refs and namespace in {"", item.key.namespace}
            ),
            None,
        )

    def find_unruled(self) -> set[tuple[ObjectKey, int]]:
        """Name the ports of ServiceEntries that are closed and for which there is no rule."""
        unruled = set()
        for entry in self.select(SE):
            if not entry.is_closed:
                continue
            route = self.observed.get(replace(entry.key, kind=VS))
            ruled = {
                match["port"]
                for rule in (list_rules(self.spec(route)) if route else ())
                for match in rule["match"]
            }
            unruled |= {
                (entry.key, port.number) for port in entry.ports if port.number not in ruled
            }
        return unruled

    def find_locked_out(self) -> set[tuple[str, str]]:
        """Name (tenant, gateway's namespace) that no enforced policy lets in, while one is there.

        Of those whose clients are led there by the tenant's own way.
        """
        return {pair for pair, let_in in self._judge_access() if not let_in}

    def find_let_in(self) -> set[tuple[str, str]]:
        """Name those that an enforced policy lets in."""
        return {pair for pair, let_in in self._judge_access() if let_in}

    def _judge_access(self) -> Iterator[tuple[tuple[str, str], bool]]:
        for need, key in self.find_needs().items():
            host, _, label = need.name.partition("#")
            if need.kind is not DR or key is None or label != self.observed[key].group:
                continue
            place, tenant = host.split(".")[1], need.route.namespace
            there = list(self._find_enforced(place, tenant, label))
            if there:
                yield (
                    (tenant, place),
                    any(
                        (not item.tenant and not item.is_closed)
                        or (item.tenant == tenant and item.group == label)
                        for item in there
                    ),
                )

    def _find_enforced(self, place: str, tenant: str, label: str) -> Iterator[Observed]:
        """List the enforced AuthorizationPolicies on the pods that serve a tenant."""
        pods = {
            item.selector for item in self.select(GW) if (item.part, item.group) == (tenant, label)
        }
        for item in self.select(AP):
            labels = self.spec(item)["selector"]["matchLabels"]
            selected = item.key.namespace == place and tuple(sorted(labels.items())) in pods
            if selected and not item.dry_run:
                yield item


@dataclass
class Watch:
    """Looks at every state between two writes."""

    world: World
    living: set[Owner] = field(default_factory=set)
    before: set[Need] = field(default_factory=set)
    plans: list[Plan] = field(default_factory=list)
    tolerated: set[Need] = field(default_factory=set)
    """What was missing before we began, or since the garbage collector removed something."""
    unruled: set[tuple[ObjectKey, int]] = field(default_factory=set)
    locked_out: set[tuple[str, str]] = field(default_factory=set)
    changed_at: dict[ObjectKey, float] = field(default_factory=dict)
    needed: set[ObjectKey] = field(default_factory=set)
    needed_at: dict[ObjectKey, float] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)

    def begin(self, zone: Zone) -> None:
        """Know what is wanted from now on, and take what is there as it is."""
        self.plans = zone.plan(self.world)
        if self.living - zone.list_owners():
            self.needed_at = {}
        self.living = zone.list_owners()
        snapshot = Snapshot(self.world, self.living)
        needs = snapshot.find_needs()
        self.tolerated = {need for need, key in needs.items() if key is None}
        self.unruled = snapshot.find_unruled()
        self.locked_out = snapshot.find_locked_out() | find_broken_tenants(needs)
        self._note_needs(snapshot, needs)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and remember what was needed until then."""
        self.world.now += seconds
        self.needed_at |= dict.fromkeys(self.needed, self.world.now)

    def _note_needs(self, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]) -> None:
        broken = find_broken(needs) | snapshot.find_dead()
        self.before = set(needs)
        self.needed = {
            key for need, key in needs.items() if key is not None and need.route not in broken
        }
        self.pass_time(0.0)

    def is_closing(self, namespace: str, group: str) -> bool:
        """Whether permission is withdrawn."""
        return any(
            plan.namespace == namespace and key == group and found.is_closing
            for plan in self.plans
            for key, found in plan.groups.items()
        )

    def find_wanted_ports(self, key: ObjectKey) -> set[int]:
        """Return the ports of a ServiceEntry that is wanted; none while permission is withdrawn."""
        return {
            port.number
            for plan in self.plans
            for group in plan.groups.values()
            if plan.namespace == key.namespace and not group.is_closing
            for desired in group.objects
            if desired.key == key
            for port in desired.ports
        }

    def send(self, write: Write) -> None:
        """Check a write and the state after it."""
        self._check_deletion(write)
        self.world.send(write)
        self.changed_at[write.key] = self.world.now
        self.writes.append(write)
        self._look(write)

    def _check_deletion(self, write: Write) -> None:
        """Nothing that a route needed goes within the settle time."""
        if not isinstance(write, Delete):
            return
        item = read_observed(self.world.objects[write.key])
        if self._may_miss(item.part, item.group):
            return
        since = self.world.now - self.needed_at.get(write.key, NEVER)
        assert since >= SETTLE - EPSILON, f"{write.key} is deleted {since} s after it was needed"

    def _look(self, write: Write) -> None:
        snapshot = Snapshot(self.world, self.living)
        needs = snapshot.find_needs()
        self._check_needs(write, snapshot, needs)
        if write.key.kind is VS:
            self._check_fresh(write, needs)
        self._check_access(snapshot, needs)
        self._note_needs(snapshot, needs)
        unruled = {
            (key, port)
            for key, port in snapshot.find_unruled()
            if port in self.find_wanted_ports(key)
        }
        assert unruled <= self.unruled, f"closed without a rule: {unruled}"
        self.unruled = unruled

    def _check_access(self, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]) -> None:
        """No tenant that a gateway let in is turned away."""
        locked = {pair for pair in snapshot.find_locked_out() if not self._is_withdrawn(pair[0])}
        led = {find_tenant(need) for need in needs if need.kind is DR}
        self.locked_out |= led - {find_tenant(need) for need in self.before if need.kind is DR}
        assert locked <= self.locked_out, f"locked out: {locked - self.locked_out}"
        self.locked_out -= snapshot.find_let_in()
        self.locked_out |= find_broken_tenants(needs)

    def _check_needs(
        self, write: Write, snapshot: Snapshot, needs: Mapping[Need, ObjectKey | None]
    ) -> None:
        """No route leads to what is not there, but for one that was broken and still is."""
        missing = {
            need
            for need, key in needs.items()
            if key is None and not self._may_miss(need.route.namespace, need.group)
        }
        broken = {need.route for need in self.tolerated} - {write.key}
        broken |= snapshot.find_dead()
        fresh = {need for need in missing - self.tolerated if need.route not in broken}
        assert not fresh, f"they lead to what is not there: {fresh}"
        self.tolerated = missing

    def _may_miss(self, namespace: str, group: str) -> bool:
        """Whether the route may lose what it leads to: it, or its tenant, is being closed."""
        return self.is_closing(namespace, group) or self._is_withdrawn(namespace)

    def _is_withdrawn(self, namespace: str) -> bool:
        """Whether a gateway is not open to the namespace any more."""
        return any(
            group.is_closing
            for plan in self.plans
            if plan.namespace == namespace
            for group in plan.groups.values()
        )

    def _check_fresh(self, write: Write, needs: Mapping[Need, ObjectKey | None]) -> None:
        """Check that what a route newly leads to has been there for the settle time."""
        for need, key in needs.items():
            if need in self.before or key is None or need.route != write.key:
                continue
            if self.is_closing(need.route.namespace, need.group):
                continue
            since = self.world.now - self.changed_at.get(key, NEVER)
            assert since >= SETTLE - EPSILON, f"{need.route} leads to {key} after {since} s"


def list_steps(watch: Watch) -> list[Step]:
    """Ask for the next step of every group, all from the same state."""
    world = watch.world
    observed = world.observe()
    steps = []
    for plan in watch.plans:
        for group in world.list_groups(plan):
            step = world.ask(plan, group, observed)
            check_step(observed, group, step)
            steps.append(step)
    return steps


def settle(watch: Watch, zone: Zone, limit: int = 40) -> list[Write]:
    """Go on to the end with every group in turn; the writes in their order.

    What waits for a policy on hold, or for the garbage collector, waits for ever.
    """
    watch.begin(zone)
    start = len(watch.writes)
    idle = 0
    while idle < limit:
        watch.plans = zone.plan(watch.world)
        steps = list_steps(watch)
        writes = [write for step in steps for write in step.writes]
        waits = [step.wait for step in steps if step.wait is not None]
        for write in writes:
            watch.send(write)
        idle = 0 if writes else idle + 1
        if not writes and not waits:
            return watch.writes[start:]
        watch.pass_time(0.01 if writes else max(EPSILON, min(waits)))
        assert len(watch.writes) < start + 500, "it does not converge"
    gone = Snapshot(watch.world, watch.living).find_dead()
    assert gone or any(plan.held for plan in watch.plans), "it waits for ever"
    return watch.writes[start:]


def check_step(observed: Iterable[Observed], group: Group, step: Step) -> None:
    """When permission is withdrawn the AuthorizationPolicies go before anything else."""
    if not group.is_closing:
        return
    there = [
        item
        for item in observed
        if item.key.kind is AP and (item.part, item.group) == (group.namespace, group.key)
    ]
    first = [write.key for write in step.writes if write.key.kind is AP]
    wanted = {desired.key for desired in group.objects}
    if first and {item.key for item in there} - wanted:
        assert all(write.key.kind is AP for write in step.writes)
