"""However fast somebody edits, no more than twice a limit stands, and the last edit is applied.

The operator is started anew in the middle.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from egress_operator.istio.kind import Kind
from egress_operator.istio.object import HOST_ANNOTATION
from egress_operator.reconcile.planner import Planner
from egress_operator.reconcile.resource import GATEWAYS, NAMESPACES, POLICIES, RESOURCES

from .history import build_gateway
from .run import start_controller, stop, wait
from .server import Key, Object, Server

pytestmark = pytest.mark.looptime

MOST = 6
RUNS = 6
SLOW_S = 0.1
RESTART_S = 8.0
"""The operator is started anew at a moment before that."""
QUIET_S = 80.0
"""Longer than the operator takes to delete what the garbage collector leaves."""
LATENCIES_S = (0.005, 0.02, 0.1)

Game = Callable[[Server, random.Random], Awaitable[Object]]
"""Edits policies, and returns the last one."""


class CountingServer(Server):
    """Knows the most hosts, and servers of hosts at a gateway, that have stood together."""

    hosts = 0
    servers = 0

    def _store(self, key: Key, body: Object) -> Object:
        stored = super()._store(key, body)
        self.hosts = max(self.hosts, len(list_hosts(self)))
        self.servers = max(self.servers, *count_servers(self).values(), 0)
        return stored


def list_hosts(server: Server) -> list[str]:
    """List the hosts that have an object."""
    entries = server.select(RESOURCES[Kind.SERVICE_ENTRY])
    return sorted({entry["metadata"]["annotations"][HOST_ANNOTATION] for entry in entries})


def count_servers(server: Server) -> Counter[str]:
    """Count the servers of hosts at each gateway."""
    return Counter(
        body["spec"]["selector"]["istio"]
        for body in server.select(RESOURCES[Kind.GATEWAY])
        if HOST_ANNOTATION in body["metadata"]["annotations"]
    )


def build_policy(name: str, hosts: list[str], port: int = 0, gateway: str = "") -> Object:
    """Make a policy, of one port with a server of its own if a gateway is given."""
    destination: Object = {"hosts": hosts}
    spec: Object = {"destinations": [destination]}
    if gateway:
        destination["ports"] = [{"number": port, "protocol": "TLS"}]
        spec["gatewayRef"] = {"name": gateway}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


def read_ready(server: Server) -> tuple[str, str]:
    """Return status and reason of Ready of the one policy, for the present generation."""
    (policy,) = server.select(POLICIES)
    assert policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
    ready = next(item for item in policy["status"]["conditions"] if item["type"] == "Ready")
    return ready["status"], ready["reason"]


def build_hosts(tag: str) -> list[str]:
    return [f"{tag}-{number}.example.com" for number in range(MOST)]


async def swap(server: Server, rng: random.Random) -> Object:
    """Replace all hosts of the one policy again and again."""
    for number in range(rng.randint(2, 12)):
        policy = build_policy("web", build_hosts(f"s{number}"))
        server.apply(POLICIES, policy)
        await asyncio.sleep(rng.choice([0.01, 0.1, 0.5, 1.5]))
    return policy


async def reroute(server: Server, rng: random.Random) -> Object:
    """Change the port of each host, or all hosts, or their way again and again."""
    for number in range(rng.randint(2, 12)):
        hosts = build_hosts(rng.choice(["r", f"r{number}"]))
        gateway = rng.choice(["", "shared", "shared", "other"])
        policy = build_policy("web", hosts, 1000 + number, gateway)
        server.apply(POLICIES, policy)
        await asyncio.sleep(rng.choice([0.1, 0.5, 1.5, 4.0]))
    return policy


async def recreate(server: Server, rng: random.Random) -> Object:
    """Delete the policy and make another one, with other hosts, and leave the objects."""
    for number in range(rng.randint(2, 12)):
        gateway = rng.choice(["", "shared"])
        policy = build_policy(f"web{number}", build_hosts(f"r{number}"), 443, gateway)
        server.remove((POLICIES, "shop", f"web{number - 1}"), orphan=rng.random() < 0.8)
        server.apply(POLICIES, policy)
        await asyncio.sleep(rng.choice([0.1, 1.0, 5.0]))
    return policy


@asynccontextmanager
async def take_slow_turn(*_: object) -> AsyncIterator[None]:
    """Let time pass while a namespace is planned, as where others are planned in between."""
    await asyncio.sleep(SLOW_S)
    yield


@pytest.mark.parametrize("game", [swap, reroute, recreate])
@pytest.mark.parametrize("number", range(RUNS))
async def test_the_last_edit_is_applied_and_no_more_than_twice_the_limits_stand(
    game: Game, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(number)  # noqa: S311 - of a test
    server = CountingServer(random.Random(number), rng.choice(LATENCIES_S))  # noqa: S311
    labels = {"egress": "any"}
    server.apply(NAMESPACES, {"metadata": {"name": "shop", "labels": labels}})
    for name in ("shared", "other"):
        gateway = build_gateway(name)
        gateway["spec"] |= {
            "namespaces": {"matchLabels": labels},
            "limits": {"hosts": MOST, "servers": MOST},
        }
        server.apply(GATEWAYS, gateway)
    if number % 2:
        monkeypatch.setattr(Planner, "_take_turn", take_slow_turn)
    controller = start_controller(server, max_hosts_per_namespace=MOST)
    task = asyncio.ensure_future(game(server, random.Random(number)))  # noqa: S311
    await asyncio.sleep(rng.uniform(0, RESTART_S))
    await stop(controller, server)
    controller = start_controller(server, max_hosts_per_namespace=MOST)
    policy = await task
    await wait(controller, QUIET_S)
    (destination,) = policy["spec"]["destinations"]
    assert list_hosts(server) == destination["hosts"]
    assert count_servers(server).total() == (MOST if "gatewayRef" in policy["spec"] else 0)
    assert read_ready(server) == ("True", "Applied")
    assert server.hosts <= 2 * MOST
    assert server.servers <= 2 * MOST
    await stop(controller, server)
