"""Settings of `traffic`, each with and without it, at the server: directly and through a gateway.

The caller's sidecar acts on a direct way, the gateway's proxy on the other one; both have one
worker, so that what a worker counts for itself is the proxy's own count. All settings are applied
at once, each to a host of its own, and looked at side by side, because most looks are waits.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from mesh.gateway.tenant import SHARED, build_egress_gateway
from mesh.gateway.way import Way
from mesh.traffic.operated_mesh import OperatedMesh
from mesh.traffic.policy import CHECKOUT, HTTP, TCP, build_destination
from mesh.wire import count_empty_segments, serve_nobody
from testbed.client import Object
from testbed.deadline import wait_until
from testbed.gateway import EGRESS, Gateway
from testbed.mesh import Mesh
from testbed.request import BLOCKED, UNAVAILABLE_503, Outcome, Verdict, call
from testbed.workload import PATIENT, Workload

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(240)]

POOL = ("one.example", "two.example", "three.example")
"""Servers behind the hosts that the tests name."""
DEAD = ("1.2.3.4", "1.2.3.5")
"""Addresses to which no way leads here."""
BUSY, BUSY_PORT = "busy.example", 81
"""A server that accepts no connection; no other one listens at this port."""
TCP_PORT = 5432
FIRST_DIALLED = 200
MANY = 24
"""Requests after which a choice at random has met every server but for one time in ten thousand."""
LOCALITY = {"istio-locality": "eu.a"}
NEAR = Workload("shop", "near", labels=LOCALITY, proxy_config=PATIENT)
USERS = 16
"""All of them meet one server of three less than one time in a million."""
DESTINATIONS = 16
"""Of a policy, at most."""
HANDS = 8


@dataclass(frozen=True)
class Host:
    """A host that a policy names, and how it is called."""

    way: Way
    name: str
    protocol: str
    caller: str

    def ask(self, path: str = "/", *, headers: Mapping[str, str] | None = None) -> Outcome:
        """Ask on a connection of its own."""
        text = self._build_text(path)
        return self.way.mesh.request(self.caller, call(text, headers=headers))

    def ask_again(self, session: str) -> Outcome:
        """Ask on the connection that a session keeps; on a new one, if that has ended."""
        order = call(self._build_text("/"), session=f"{self.name} {self.way.verdict} {session}")
        outcome = self.way.mesh.request(self.caller, order)
        return outcome if outcome.answer else self.way.mesh.request(self.caller, order)

    def list_servers(self, times: int, headers: Mapping[str, str] | None = None) -> list[str]:
        """Ask some times, and list the servers that answered."""
        outcomes = [self.ask(headers=headers) for _ in range(times)]
        assert {outcome.verdict for outcome in outcomes} == {self.way.verdict}, outcomes
        return [outcome.server for outcome in outcomes]

    def list_chosen(self, headers: Callable[[int], Mapping[str, str]]) -> list[set[str]]:
        """Ask as several users, some times each, and return the servers that each one met."""
        return [set(self.list_servers(6, headers(number))) for number in range(USERS)]

    def read_connection(self, session: str = "") -> int:
        """Ask, and return the number of the connection at the server."""
        answer = (self.ask_again(session) if session else self.ask()).answer
        assert answer is not None
        return answer.connection

    def list_verdicts(self, times: int, path: str = "/") -> list[Verdict]:
        return [self.ask(path).verdict for _ in range(times)]

    def _build_text(self, path: str) -> str:
        if self.protocol == "TCP":
            return f"TCP {self.name}:{TCP_PORT}"
        return f"GET http://{self.name}{path}"


Check = Callable[[Host, Host], None]
"""Looks at a host with a setting, and at one without it."""


@dataclass(frozen=True)
class Case:
    """A setting, and what shows that it acts."""

    check: Check
    traffic: Object
    other: Object = field(default_factory=dict)
    """Settings of the host without it."""
    port: Object = field(default_factory=lambda: HTTP)
    servers: tuple[str, ...] = POOL
    """Names of servers, or addresses."""
    localities: tuple[str, ...] = ()
    """Of the servers, for the host with it."""
    caller: str = CHECKOUT

    @property
    def name(self) -> str:
        return f"{self.check.__name__[6:]}-{self.port['protocol']}-{len(self.servers)}".lower()

    def build(self, way: Way, number: int) -> tuple[list[Object], list[Host]]:
        """Build two destinations, with the setting and without it, and how to call them."""
        hosts = [f"{kind}-{number}.example" for kind in ("with", "without")]
        settings = ((self.traffic, self.localities), (self.other, ()))
        protocol = self.port["protocol"]
        destinations = [
            self._build_destination(way, host, *own)
            for host, own in zip(hosts, settings, strict=True)
        ]
        return destinations, [Host(way, host, protocol, self.caller) for host in hosts]

    def _build_destination(
        self, way: Way, host: str, traffic: Object, localities: tuple[str, ...]
    ) -> Object:
        places = [
            {"address": way.mesh.outside.address_of(name) if name.endswith("e") else name}
            for name in self.servers
        ]
        for place, locality in zip(places, localities, strict=False):
            place["locality"] = locality
        return build_destination(
            host,
            ports=(self.port,),
            backends=[{"name": "servers", "endpoints": places}],
            # Istio tries again by itself.
            http={"retries": {"attempts": 0}} if self.port["protocol"] == "HTTP" else {},
            addresses=[] if self.port["protocol"] == "HTTP" else [find_dialled(host)],
            traffic=traffic,
        )


def find_dialled(host: str) -> str:
    """Return what clients dial for a host; its servers are elsewhere. Pure."""
    kind, number = host.removesuffix(".example").rsplit("-", 1)
    return f"198.51.100.{FIRST_DIALLED + 2 * int(number) + (kind == 'without')}"


def check_header(hashed: Host, plain: Host) -> None:
    def name_user(number: int) -> Mapping[str, str]:
        return {"x-user": f"user-{number}"}

    chosen = hashed.list_chosen(name_user)
    assert {len(servers) for servers in chosen} == {1}
    assert len(set.union(*chosen)) > 1
    assert max(map(len, plain.list_chosen(name_user))) > 1


def check_cookie(given: Host, kept: Host) -> None:
    """Expect a cookie of the proxy only where there is a time for it to live."""
    for host in (given, kept):
        chosen = host.list_chosen(lambda number: {"cookie": f"session={number}"})
        assert {len(servers) for servers in chosen} == {1}
        assert len(set.union(*chosen)) > 1
    first = given.ask()
    cookie = first.headers["set-cookie"]
    assert "Max-Age=3600" in cookie
    own = {"cookie": cookie.partition(";")[0]}
    assert set(given.list_servers(6, own)) == {first.server}
    assert "set-cookie" not in kept.ask().headers


def check_source(hashed: Host, plain: Host) -> None:
    assert len(set(hashed.list_servers(MANY))) == 1
    assert len(set(plain.list_servers(MANY))) > 1


def check_turns(turns: Host, random: Host) -> None:
    def takes_turns(host: Host) -> bool:
        order = host.list_servers(MANY)
        return all(one == other for one, other in zip(order, order[len(POOL) :], strict=False))

    assert takes_turns(turns)
    assert not takes_turns(random)


def check_connections(limited: Host, plain: Host) -> None:
    """Open more connections than the limit."""
    for host, verdict in ((limited, BLOCKED), (plain, plain.way.verdict)):
        assert host.ask_again("first").verdict is host.way.verdict
        assert host.ask_again("second").verdict is verdict


def check_pending(limited: Host, plain: Host) -> None:
    """Let one request be on its way and one wait; the others are answered with 503.

    While its connection is being opened, the one on its way waits as well.
    """
    for host, is_refused in ((limited, True), (plain, False)):
        with ThreadPoolExecutor(5) as hands:
            calls = [hands.submit(host.ask, "/slow?seconds=2")]
            time.sleep(1.0)
            calls += [hands.submit(host.ask, "/slow?seconds=1") for _ in range(4)]
            verdicts = [call.result().verdict for call in calls]
        assert (UNAVAILABLE_503 in verdicts) is is_refused, verdicts
        assert verdicts.count(host.way.verdict) >= 2


def check_requests(limited: Host, plain: Host) -> None:
    """Count the connections of so many requests."""
    for host, count in ((limited, 4), (plain, 1)):
        assert len({host.read_connection() for _ in range(4)}) == count


def check_idle(limited: Host, plain: Host) -> None:
    before = [host.read_connection("kept") for host in (limited, plain)]
    time.sleep(2.5)
    after = [host.read_connection("kept") for host in (limited, plain)]
    assert after[0] != before[0]
    assert after[1] == before[1]


def check_age(limited: Host, plain: Host) -> None:
    """Use a connection all the time: it is closed at its age."""
    numbers = [(limited.read_connection("used"), plain.read_connection("used"))]
    for _ in range(10):
        time.sleep(0.3)
        numbers.append((limited.read_connection("used"), plain.read_connection("used")))
    assert len({number for number, _ in numbers}) > 1
    assert len({number for _, number in numbers}) == 1


def check_opening(limited: Host, patient: Host) -> None:
    assert limited.ask().seconds < 1.5 < patient.ask().seconds


def check_probes(probed: Host, plain: Host) -> None:
    """See segments without data on the wire while nobody says anything."""
    for host, is_probed in ((plain, False), (probed, True)):
        outcome = host.ask_again("probed")
        assert outcome.answer is not None, outcome
        address = outcome.answer.address
        # Both have one server, so what is not probed comes first.
        sent = count_empty_segments(host.way.proxy, address, TCP_PORT, 3.5)
        assert sent >= 2 if is_probed else sent == 0, sent


def check_only_one(limited: Host, plain: Host) -> None:
    """Let the only endpoint fail: then the proxy answers, and the server is left in peace."""
    for host, is_left_out in ((limited, True), (plain, False)):
        path = f"/status?code=500&host={host.name}"
        assert [host.ask(path).status for _ in range(3)] == [500] * 3
        time.sleep(0.5)
        verdicts = set(host.list_verdicts(5, path))
        assert verdicts == {UNAVAILABLE_503 if is_left_out else host.way.verdict}
        assert host.way.mesh.outside.count(POOL[0], path) == (3 if is_left_out else 8)


def check_some(limited: Host, plain: Host) -> None:
    """Ask often: in the end nobody is sent to those that fail any more.

    Each of them has to fail twice before, and which one is asked is chance.
    """
    wait_until(
        lambda: UNAVAILABLE_503 not in limited.list_verdicts(MANY), LEFT_OUT_S, "they are left out"
    )
    assert set(limited.list_verdicts(MANY)) == {limited.way.verdict}
    plain.list_verdicts(MANY)
    assert set(plain.list_verdicts(MANY)) == {UNAVAILABLE_503, plain.way.verdict}


def check_near(placed: Host, plain: Host) -> None:
    assert set(placed.list_servers(MANY)) == {POOL[0]}
    assert len(set(plain.list_servers(MANY))) > 1


def check_far(placed: Host, _: Host) -> None:
    """Let the near endpoint fail: the far one serves."""
    placed.list_verdicts(MANY)
    assert set(placed.list_servers(MANY)) == {POOL[0]}


def balance(**settings: object) -> Object:
    return {"loadBalancer": settings}


def limit(**settings: object) -> Object:
    return {"connectionPool": settings}


ONE = POOL[:1]
LEFT_OUT_S = 10.0
OUTLIERS = {"consecutive5xxErrors": 2, "interval": "200ms", "baseEjectionTime": "60s"}
PROBES = {"time": "1s", "interval": "1s", "probes": 3}
SOON = limit(connectTimeout="100ms")
LEFT_OUT = {**SOON, "outlierDetection": OUTLIERS}
CASES = (
    Case(check_header, balance(consistentHash={"header": "x-user"})),
    Case(
        check_cookie,
        balance(consistentHash={"cookie": {"name": "session", "ttl": "1h"}}),
        balance(consistentHash={"cookie": {"name": "session"}}),
    ),
    Case(check_source, balance(consistentHash={"sourceIP": {}})),
    Case(check_source, balance(consistentHash={"sourceIP": {}}), port=TCP),
    Case(check_turns, balance(policy="RoundRobin"), balance(policy="Random")),
    Case(check_connections, limit(maxConnections=1), port=TCP, servers=ONE),
    Case(check_pending, limit(maxConnections=1, maxPendingRequests=1), servers=ONE),
    Case(check_requests, limit(maxRequestsPerConnection=1), servers=ONE),
    Case(check_idle, limit(idleTimeout="1s"), servers=ONE),
    Case(check_idle, limit(idleTimeout="1s"), port=TCP, servers=ONE),
    Case(check_age, limit(maxConnectionDuration="1s"), servers=ONE),
    Case(check_age, limit(maxConnectionDuration="1s"), port=TCP, servers=ONE),
    Case(
        check_opening,
        limit(connectTimeout="200ms"),
        limit(connectTimeout="2s"),
        port={**HTTP, "targetPort": BUSY_PORT},
        servers=(BUSY,),
    ),
    Case(check_probes, limit(tcpKeepalive=PROBES), port=TCP, servers=("probed.example",)),
    Case(
        check_only_one, {"outlierDetection": {**OUTLIERS, "consecutive5xxErrors": 3}}, servers=ONE
    ),
    Case(check_some, LEFT_OUT, SOON, servers=(*DEAD[:1], *ONE)),
    Case(check_some, LEFT_OUT, SOON, servers=(*DEAD, *ONE)),
    Case(check_near, {}, localities=("eu/a", "us/b", "us/b"), caller=NEAR.key),
    Case(check_near, {}, localities=("eu/a", "us/b", "us/b"), caller=NEAR.key, port=TCP),
    Case(
        check_far,
        LEFT_OUT,
        servers=(*DEAD[:1], *ONE),
        localities=("eu/a", "us/b"),
        caller=NEAR.key,
    ),
    Case(
        check_far,
        LEFT_OUT,
        port=TCP,
        servers=(*DEAD[:1], *ONE),
        localities=("eu/a", "us/b"),
        caller=NEAR.key,
    ),
)


@pytest.fixture(scope="module")
def gateway(mesh: Mesh) -> Iterator[Gateway]:
    """Give a gateway with one pod, in Europe, and a workload there."""
    mesh.add(NEAR)
    labels = {**EGRESS.labels, **LOCALITY}
    with mesh.start_gateway(replace(EGRESS, labels=labels, proxy_config=PATIENT)) as gateway:
        yield gateway


@pytest.fixture
def servers(mesh: Mesh) -> Iterator[None]:
    """Give the servers, among them one that accepts nothing."""
    for case in CASES:
        for host in case.servers:
            if host not in DEAD:
                mesh.outside.add(host)
    with serve_nobody(mesh.outside.netns, mesh.outside.address_of(BUSY), BUSY_PORT):
        yield


@pytest.mark.usefixtures("servers")
def test_each_setting_acts(way: Way) -> None:
    built = [case.build(way, number) for number, case in enumerate(CASES)]
    hosts = [host for _, pair in built for host in pair]
    for host in hosts:
        way.mesh.names.set(host.name, find_dialled(host.name))
    destinations = [item for pair, _ in built for item in pair]
    for start in range(0, len(destinations), DESTINATIONS):
        some = destinations[start : start + DESTINATIONS]
        way.apply(f"traffic-{start}", *some)
    way.mesh.settle()
    with ThreadPoolExecutor(HANDS) as hands:
        running = {
            case.name: hands.submit(case.check, *pair)
            for case, (_, pair) in zip(CASES, built, strict=True)
        }
    assert len(running) == len(CASES), "two cases have one name"
    errors = {name: error for name, item in running.items() if (error := item.exception())}
    assert not errors, "\n\n".join(f"{name}: {error!r}"[:2000] for name, error in errors.items())


@pytest.mark.usefixtures("labelled")
def test_times_of_the_gateway_hold_for_what_is_no_http(
    operated: OperatedMesh, mesh: Mesh, gateway: Gateway
) -> None:
    """Sidecars do not read them from a subset, so the gateway's proxy keeps them."""
    address = mesh.outside.add("timed.example")
    traffic = limit(idleTimeout="1s")
    mesh.apply(build_egress_gateway(gateway, traffic=traffic))
    operated.wait_gateway(SHARED, "Ready", "True")
    way = Way(operated, gateway)
    way.apply("timed", build_destination("timed.example", ports=(TCP,), addresses=[address]))
    mesh.expect(CHECKOUT, f"TCP timed.example:{TCP_PORT}", way.verdict)
    mesh.settle()
    host = Host(way, "timed.example", "TCP", CHECKOUT)
    before = host.read_connection("timed")
    time.sleep(2.5)
    assert host.read_connection("timed") != before
