"""Several backends of a host, counted at the servers: directly and through a gateway."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from mesh.gateway.way import Way
from mesh.outage import down
from mesh.traffic.policy import CHECKOUT, HTTP, TCP, TLS, build_destination
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.mesh import Mesh
from testbed.request import REACHED, Outcome

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(240)]

SERVERS = ("one.example", "two.example", "three.example")
SECURE = {**HTTP, "targetPort": 443}
MANY = 150
SPREAD = 0.2
"""By so much a share of so many requests is off less than one time in a hundred thousand."""
FEW = 8
LIMIT_S = 40.0
SOON = {"consecutive5xxErrors": 2, "interval": "200ms", "baseEjectionTime": "5s"}
"""When a server counts as down, and for how long."""
ONCE = {"retries": {"attempts": 0}}
"""Istio tries again by itself."""


@dataclass(frozen=True)
class Host:
    """A host with backends, and how it is called."""

    way: Way
    name: str
    port: Object
    is_originated: bool = False

    def ask(self, path: str = "/") -> Outcome:
        return self.way.mesh.request(CHECKOUT, self._build_text(path))

    def count(self, times: int) -> Counter[str]:
        """Ask some times, and count by server who answered; the empty text: nobody."""
        return Counter(self._find_server() for _ in range(times))

    def wait_reached(self, server: str, path: str = "/") -> None:
        """Ask until this server has answered."""
        wait_until(
            lambda: self.ask(path).server == server, LIMIT_S, f"{self} does not lead to {server}"
        )

    def wait_for(self, server: str) -> None:
        """Ask until nobody else answers any more.

        Now and then a request fails: a server that is down is tried again after a while.
        """

        def look() -> bool:
            met = self.count(FEW)
            return met.keys() <= {server, ""} and met[server] >= FEW / 2

        wait_until(look, LIMIT_S, f"{self} does not lead to {server}")

    def build(
        self, backends: Iterable[Object], http: Object | None = None, **more: object
    ) -> Object:
        """Build its destination."""
        tls = {"originateTLS": {"serverName": SERVERS[0]}} if self.is_originated else {}
        is_http = self.port["protocol"] == "HTTP"
        return build_destination(
            self.name,
            ports=(self.port,),
            backends=list(backends),
            addresses=[] if is_http else [self.address],
            http={**ONCE, **(http or {})} if is_http else {},
            **tls,
            **more,
        )

    @property
    def address(self) -> str:
        """What clients dial."""
        return self.way.mesh.outside.address_of(self.name)

    def _find_server(self) -> str:
        outcome = self.ask()
        return outcome.server if outcome.verdict in REACHED else ""

    def _build_text(self, path: str) -> str:
        match self.port["protocol"]:
            case "TCP":
                return f"TCP {self.name}:{self.port['number']}"
            case "TLS":
                return f"GET https://{self.name}{path}"
        return f"GET http://{self.name}{path}"


@pytest.fixture
def hosts(way: Way) -> list[Host]:
    """Give a host of each kind, with the servers of their backends."""
    for name in SERVERS:
        way.mesh.outside.add(name)
    ports = {"http": HTTP, "tls": TLS, "tcp": TCP}
    hosts = [Host(way, f"{kind}.split.example", port) for kind, port in ports.items()]
    hosts.append(Host(way, "secure.split.example", SECURE, is_originated=True))
    for host in hosts:
        way.mesh.outside.add(host.name)
    return hosts


def build_backends(
    mesh: Mesh, *weights: int | None, by_name: bool = False, servers: tuple[str, ...] = SERVERS
) -> list[Object]:
    """Build a backend for each weight; without weights they have an order."""
    return [
        {
            "name": server.partition(".")[0],
            "endpoints": [{"address": server if by_name else mesh.outside.address_of(server)}],
            **({} if weight is None else {"weight": weight}),
        }
        for server, weight in zip(servers, weights, strict=False)
    ]


def apply(way: Way, destinations: Iterable[Object]) -> None:
    way.apply("backends", *destinations)
    way.mesh.settle()


def test_each_backend_gets_its_share(way: Way, hosts: list[Host]) -> None:
    """One of them has a name in place of an address."""
    for weights in ((25, 75, 0), (0, 0, 1)):
        backends = build_backends(way.mesh, *weights)
        backends[1] = build_backends(way.mesh, *weights, by_name=True)[1]
        apply(way, [host.build(backends) for host in hosts])
        leading = SERVERS[weights.index(max(weights))]
        for host in hosts:
            host.wait_reached(leading)
            met = host.count(MANY)
            for server, weight in zip(SERVERS, weights, strict=True):
                share = weight / sum(weights)
                spread = 0 if share in {0, 1} else SPREAD
                assert abs(met[server] / MANY - share) <= spread, (host.name, weights, met)


def test_the_first_healthy_backend_gets_everything(way: Way, hosts: list[Host]) -> None:
    """By address and by name: proxies find the endpoints of the one and of the other apart.

    Also without settings, where five failures are needed and it takes long to come back.
    """
    mesh = way.mesh
    one, two, three = SERVERS
    named, plain = (
        [replace(host, name=f"{kind}.{host.name}") for host in hosts[1:]]
        for kind in ("named", "plain")
    )
    for host in (*named, *plain):
        mesh.outside.add(host.name)
    apply(
        way,
        [
            host.build(
                build_backends(mesh, None, None, None, by_name=host in named),
                failover=True,
                traffic={} if host in plain else {"outlierDetection": SOON},
            )
            for host in (*hosts, *named, *plain)
        ],
    )
    wait_for_each([*hosts, *named, *plain], one)
    with down(mesh, one):
        wait_for_each([*hosts, *named, *plain], two)
    with down(mesh, one, two):
        wait_for_each([*hosts, *named], three)
    wait_for_each([*hosts, *named], one)


def wait_for_each(hosts: Sequence[Host], server: str) -> None:
    """Wait until each host leads to a server; most of that is waiting."""
    with ThreadPoolExecutor(len(hosts)) as hands:
        list(hands.map(lambda host: host.wait_for(server), hosts))


def test_a_share_does_not_turn_to_another_backend(way: Way, hosts: list[Host]) -> None:
    """The same servers with weights in place of failover: what falls to the one that is down."""
    mesh = way.mesh
    shared = build_backends(mesh, 50, 50)
    traffic = {"outlierDetection": SOON}
    apply(way, [host.build(shared, traffic=traffic) for host in hosts])
    for host in hosts:
        host.wait_reached(SERVERS[0])
        host.wait_reached(SERVERS[1])
    with down(mesh, SERVERS[0]):
        for host in hosts:
            met = host.count(3 * FEW)
            assert met.keys() == {"", SERVERS[1]}, (host.name, met)


def wait_counted(mesh: Mesh, server: str, path: str) -> int:
    """Count the requests of a server, as soon as for a second no more have come."""
    before = -1
    while (count := mesh.outside.count(server, path)) != before:
        before = count
        time.sleep(1.0)
    return count


def test_copies_are_counted_at_both_servers(way: Way) -> None:
    mesh = way.mesh
    main, copies, _ = SERVERS
    for name in SERVERS:
        mesh.outside.add(name)
    host = Host(way, "copied.example", HTTP)
    mesh.outside.add(host.name)
    backends = build_backends(mesh, 1, 0)
    mirrors: dict[str, Object] = {
        "none": {},
        "all": {"mirror": {"backend": "two"}},
        "half": {"mirror": {"backend": "two", "percentage": 50}},
    }
    counts = {}
    for case, http in mirrors.items():
        apply(way, [host.build(backends, http)])
        host.wait_reached(main, "/first")
        path = f"/?case={case}"
        outcomes = [host.ask(path) for _ in range(MANY)]
        assert {(outcome.verdict, outcome.server) for outcome in outcomes} == {(way.verdict, main)}
        assert mesh.outside.count(main, path) == MANY
        # Copies are sent without waiting for them.
        counts[case] = wait_counted(mesh, copies, path)
    assert (counts["none"], counts["all"]) == (0, MANY)
    assert abs(counts["half"] / MANY - 0.5) < SPREAD
    # What becomes of the copies is nobody's business.
    with down(mesh, copies):
        assert host.count(FEW) == {main: FEW}
