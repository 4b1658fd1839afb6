"""What is there at one moment, and what of it the clients' routes need."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from egress_operator.istio.kind import Kind, ObjectKey
from egress_operator.istio.object import Observed, Owner
from egress_operator.istio.set_key import SetKey, TenantSet
from egress_operator.istio.virtual_service import MESH
from rollout.fake_cluster import AP, DR, GW, SE, VS, FakeCluster


def list_rules(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """List the rules of a VirtualService."""
    for name in ("http", "tls", "tcp"):
        yield from spec.get(name) or ()


def leads_to(rule: Mapping[str, Any], hosts: Collection[str]) -> bool:
    """Whether a rule of a VirtualService leads to one of these hosts."""
    return any(way["destination"]["host"] in hosts for way in list_ways(rule))


def list_ways(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """List where a rule of a VirtualService leads, copies of requests included."""
    yield from rule.get("route") or ()
    yield from rule.get("mirrors") or ()


@dataclass(frozen=True)
class Need:
    """A VirtualService on the mesh leads to something of a kind."""

    route: ObjectKey
    via: ObjectKey
    """The VirtualService that says so: the route itself, or the one on the gateway after it."""
    group: SetKey
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

    cluster: FakeCluster
    living: set[Owner]
    """Policies and gateways that are there."""
    observed: dict[ObjectKey, Observed] = field(init=False)

    def __post_init__(self) -> None:
        self.observed = {item.key: item for item in self.cluster.observe() if item.ours}

    def select(self, kind: Kind) -> list[Observed]:
        """List our objects of a kind."""
        return [item for item in self.observed.values() if item.key.kind is kind]

    def spec(self, item: Observed) -> Mapping[str, Any]:
        """Return the spec of an object."""
        spec: Mapping[str, Any] = self.cluster.objects[item.key]["spec"]
        return spec

    def is_client(self, item: Observed) -> bool:
        """Whether it is a VirtualService that leads the clients of a host.

        Not one that closes a private name: what that leads to is closed, or not there.
        """
        spec = self.spec(item)
        private = any(name.endswith("direct.internal") for name in spec["hosts"])
        return spec["gateways"] == [MESH] and (not private or item.key.name == str(item.set_key))

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
            assert route.set_key is not None
            for via, kind, name, key in self._follow(route):
                needs[Need(route.key, via, route.set_key, kind, name)] = key
        return needs

    def _follow(self, route: Observed) -> Iterator[tuple[ObjectKey, Kind, str, ObjectKey | None]]:
        for rule in list_rules(self.spec(route)):
            for way in list_ways(rule):
                destination = way["destination"]
                if destination["host"] in route.facts.hosts:
                    continue
                if "subset" not in destination:
                    name = destination["host"]
                    yield route.key, SE, name, self._find_host(name)
                    continue
                ref = f"{destination['host']}#{destination['subset']}"
                rule_key = self._find_offer(DR, ref, route.key.namespace)
                yield route.key, DR, ref, rule_key
                host = (rule.get("rewrite") or {}).get("authority", "")
                if not host and rule_key is not None:
                    host = self._find_sni(rule_key)
                if host:
                    yield from self._follow_gateway(route.key, host)

    def _follow_gateway(
        self, route: ObjectKey, host: str
    ) -> Iterator[tuple[ObjectKey, Kind, str, ObjectKey | None]]:
        found = [item for item in self.select(VS) if host in item.facts.hosts]
        yield route, VS, host, found[0].key if found else None
        for item in found:
            yield from self._follow_last(route, item)

    def _follow_last(
        self, route: ObjectKey, item: Observed
    ) -> Iterator[tuple[ObjectKey, Kind, str, ObjectKey | None]]:
        """Follow a VirtualService on a gateway, also through a socket to the next one."""
        for ref in self.spec(item)["gateways"]:
            yield route, GW, ref, self._find_offer(GW, ref)
        for rule in list_rules(self.spec(item)):
            for way in list_ways(rule):
                name = way["destination"]["host"]
                key = self._find_host(name)
                yield item.key, SE, name, key
                for endpoint in (
                    self.cluster.objects[key]["spec"].get("endpoints", ()) if key else ()
                ):
                    if endpoint["address"].startswith("unix:"):
                        yield from self._follow_socket(route, endpoint["address"])

    def _follow_socket(
        self, route: ObjectKey, socket: str
    ) -> Iterator[tuple[ObjectKey, Kind, str, ObjectKey | None]]:
        servers = [
            item
            for item in self.select(GW)
            if any(server.get("bind") == socket for server in self.spec(item)["servers"])
        ]
        yield route, GW, socket, servers[0].key if servers else None
        for server in servers:
            found = [item for item in self.select(VS) if item.facts.refs >= server.facts.refs]
            yield route, VS, socket, found[0].key if found else None
            for item in found:
                yield from self._follow_last(route, item)

    def _find_sni(self, key: ObjectKey) -> str:
        (subset,) = self.cluster.objects[key]["spec"]["subsets"]
        return str(subset["trafficPolicy"]["tls"]["sni"])

    def _find_host(self, host: str) -> ObjectKey | None:
        return next((item.key for item in self.select(SE) if host in item.facts.hosts), None)

    def _find_offer(self, kind: Kind, ref: str, namespace: str = "") -> ObjectKey | None:
        return next(
            (
                item.key
                for item in self.select(kind)
                if ref in item.facts.refs and namespace in {"", item.key.namespace}
            ),
            None,
        )

    def find_unruled(self) -> set[tuple[ObjectKey, int]]:
        """Name the ports of ServiceEntries that are closed and for which there is no rule.

        A rule for requests that leads to the host itself is none: it leads to what is closed. One
        for connections is how these are refused.
        """
        unruled = set()
        for entry in self.select(SE):
            if not entry.facts.is_closed:
                continue
            route = self.observed.get(entry.key._replace(kind=VS))
            spec = self.spec(route) if route else {}
            ruled = {
                match["port"]
                for rule in list_rules(spec)
                if rule not in spec.get("http", ()) or not leads_to(rule, entry.facts.hosts)
                for match in rule["match"]
            }
            unruled |= {
                (entry.key, port.number) for port in entry.facts.ports if port.number not in ruled
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
            if need.kind is not DR or key is None or label != str(self.observed[key].set_key):
                continue
            place, tenant = host.split(".")[1], need.route.namespace
            there = list(self._find_enforced(place, tenant, label))
            if there:
                yield (
                    (tenant, place),
                    any(
                        (not item.tenant and not item.facts.is_closed)
                        or (item.tenant, item.place) == (tenant, label)
                        for item in there
                    ),
                )

    def _find_enforced(self, place: str, tenant: str, label: str) -> Iterator[Observed]:
        """List the enforced AuthorizationPolicies on the pods that serve a tenant."""
        pods = {
            item.facts.selector
            for item in self.select(GW)
            if item.set_key == TenantSet(tenant, label)
        }
        for item in self.select(AP):
            labels = self.spec(item)["selector"]["matchLabels"]
            selected = item.key.namespace == place and tuple(sorted(labels.items())) in pods
            if selected and not item.dry_run:
                yield item
